//! Passwords: argon2id, off the async threads, a bounded number at a time.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

use crate::config;
use crate::telemetry::recording::{self, StepKind};
use crate::telemetry::scope;

/// A password could not be hashed: a fault of the service.
#[derive(Debug, thiserror::Error)]
#[error("a password could not be hashed: {0}")]
pub struct HashError(String);

/// Hashes and verifies passwords (RFC 9106).
#[derive(Clone, Debug)]
pub struct Passwords {
    argon: Argon2<'static>,
    /// Each hash takes a core and its memory: more at once would only make all of them late.
    turns: Arc<Semaphore>,
    /// What an unknown address is checked against, so that it takes as long as a wrong password.
    nobody: Arc<str>,
}

impl Passwords {
    /// By the settings.
    ///
    /// # Errors
    /// When argon2 does not accept its parameters.
    pub fn new(settings: &config::Auth) -> Result<Self, HashError> {
        let params = Params::new(settings.hash_memory_kib, settings.hash_iterations, 1, None)
            .map_err(fault)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = hash(&argon, "nobody has this password")?;
        Ok(Self {
            argon,
            turns: Arc::new(Semaphore::new(settings.hash_concurrency)),
            nobody: nobody.into(),
        })
    }

    /// The password's hash in the PHC string format.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn hash(&self, password: String) -> Result<String, HashError> {
        let argon = self.argon.clone();
        self.run(move || hash(&argon, &password)).await?
    }

    /// Whether the password has this hash; `None` takes as long and is never right.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn verify(
        &self,
        password: String,
        expected: Option<String>,
    ) -> Result<bool, HashError> {
        let argon = self.argon.clone();
        let nobody = Arc::clone(&self.nobody);
        self.run(move || {
            let known = expected.is_some();
            let expected =
                PasswordHash::new(expected.as_deref().unwrap_or(&nobody)).map_err(fault)?;
            Ok(argon
                .verify_password(password.as_bytes(), &expected)
                .is_ok()
                && known)
        })
        .await?
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let _doing = scope::doing("password hash");
        recording::timed(StepKind::Hash, "password", async {
            let turn = Arc::clone(&self.turns)
                .acquire_owned()
                .await
                .map_err(fault)?;
            let done = tokio::task::spawn_blocking(move || {
                let result = work();
                drop(turn);
                result
            });
            done.await.map_err(fault)
        })
        .await
    }
}

fn hash(argon: &Argon2<'_>, password: &str) -> Result<String, HashError> {
    let hash: PasswordHash = argon.hash_password(password.as_bytes()).map_err(fault)?;
    Ok(hash.to_string())
}

fn fault(cause: impl std::fmt::Display) -> HashError {
    HashError(cause.to_string())
}
