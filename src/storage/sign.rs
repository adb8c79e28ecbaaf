//! URLs that the store itself answers, for a short time and without our credentials.

use std::time::Duration;

use http::Method;
use object_store::path::Path;
use object_store::signer::SignedUrlOptions;

use super::Storage;
use super::error::{Error, words};

/// How the store has to present a file that it sends in our place.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The value of `Content-Disposition`.
    pub disposition: &'a str,
    /// The value of `Content-Type`.
    pub media_type: &'a str,
}

impl Storage {
    /// Whether it can sign.
    pub fn signs(&self) -> bool {
        self.0.signer.is_some()
    }

    /// A URL from which anyone can read this file for a while, or `None` where the store cannot sign, or where the file still lies in
    /// the store before it. Only for that is anything asked of the store.
    ///
    /// # Errors
    /// When there are no credentials to sign with, or the store fails.
    pub async fn signed_url(
        &self,
        key: &str,
        valid: Duration,
        presented: Presented<'_>,
    ) -> Result<Option<String>, Error> {
        let Some(signer) = &self.0.signer else {
            return Ok(None);
        };
        if self.0.fallback.is_some() {
            match self.head_here(key).await {
                Ok(_) => {}
                Err(failure) if failure.reason() == super::Reason::NotFound => return Ok(None),
                Err(failure) => return Err(failure),
            }
        }
        let path: Path = self.path(key)?;
        let options = SignedUrlOptions::new().with_query([
            ("response-content-disposition", presented.disposition),
            ("response-content-type", presented.media_type),
        ]);
        let made = signer.signed_url_opts(Method::GET, &path, valid, &options);
        match made.await {
            Ok(url) => Ok(Some(url.to_string())),
            Err(failure) => {
                let reason = super::Reason::of(self.kind(), &failure);
                let detail = words(&failure, &self.0.secrets);
                Err(Error::new(self.kind(), "sign", reason, detail))
            }
        }
    }
}
