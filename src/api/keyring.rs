//! The keys derived from the secrets: one that signs and seals, and others that are only accepted while the secret is changed.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce, aead::Aead};
use hmac::{Hmac, Mac};
use jsonwebtoken::{DecodingKey, EncodingKey};
use sha2::Sha256;

use crate::config::Secret;

/// Which of the keys was good for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Used {
    /// The one that signs.
    Current,
    /// One that is accepted beside it.
    Previous,
}

impl Used {
    /// As the metric names it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
        }
    }
}

/// What one secret is good for.
pub(super) struct KeySet {
    /// Names the secret in a token's header (RFC 7515 §4.1.4) without telling anything of it: 72 bits of a MAC.
    pub(super) id: String,
    pub(super) verifying: DecodingKey,
    seal: ChaCha20Poly1305,
}

impl KeySet {
    fn new(secret: &Secret) -> Self {
        let secret = secret.expose().as_bytes();
        let id = derive(secret, "convoke key id v1");
        Self {
            id: BASE64_URL_SAFE_NO_PAD.encode(&id[..9]),
            verifying: DecodingKey::from_secret(secret),
            seal: ChaCha20Poly1305::new(&Key::from(derive(secret, "convoke kept answers v1"))),
        }
    }
}

/// A key for one purpose, derived from the secret, so that none serves two.
fn derive(secret: &[u8], purpose: &str) -> [u8; 32] {
    // HMAC takes keys of any length.
    let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(secret);
    let mut key = [0; 32];
    if let Ok(mut mac) = mac {
        mac.update(purpose.as_bytes());
        key.copy_from_slice(&mac.finalize().into_bytes());
    }
    key
}

/// Every key that is accepted, the one that signs first.
pub(super) struct Keyring {
    pub(super) signing: EncodingKey,
    current: KeySet,
    previous: Vec<KeySet>,
}

impl Keyring {
    pub(super) fn new(secret: &Secret, previous: &[Secret]) -> Self {
        Self {
            signing: EncodingKey::from_secret(secret.expose().as_bytes()),
            current: KeySet::new(secret),
            previous: previous.iter().map(KeySet::new).collect(),
        }
    }

    /// The id of the key that signs.
    pub(super) fn id(&self) -> &str {
        &self.current.id
    }

    fn all(&self) -> impl Iterator<Item = (Used, &KeySet)> {
        let previous = self.previous.iter().map(|key| (Used::Previous, key));
        std::iter::once((Used::Current, &self.current)).chain(previous)
    }

    /// The keys that may have signed a token: the one that its header names, or each, for a version that named none.
    pub(super) fn candidates<'a>(
        &'a self,
        token: &str,
    ) -> impl Iterator<Item = (Used, &'a KeySet)> {
        // With one key there is nothing to choose, and its header need not be read twice.
        let named = if self.previous.is_empty() {
            None
        } else {
            jsonwebtoken::decode_header(token)
                .ok()
                .and_then(|header| header.kid)
        };
        self.all()
            .filter(move |(_, key)| named.as_ref().is_none_or(|named| *named == key.id))
    }

    /// Encrypts with the key that signs.
    pub(super) fn seal(&self, nonce: [u8; 12], plain: &[u8]) -> Vec<u8> {
        let sealed = self.current.seal.encrypt(&Nonce::from(nonce), plain);
        [nonce.as_slice(), &sealed.unwrap_or_default()].concat()
    }

    /// What [`Self::seal`] encrypted. Nothing in it names its key, because the version before wrote none and must read
    /// what this one writes; a wrong key is known by the MAC before anything is decrypted.
    pub(super) fn unseal(&self, sealed: &[u8]) -> Option<(Used, Vec<u8>)> {
        let (nonce, sealed) = sealed.split_first_chunk::<12>()?;
        let nonce = Nonce::from(*nonce);
        self.all()
            .find_map(|(used, key)| Some((used, key.seal.decrypt(&nonce, sealed).ok()?)))
    }
}
