//! Tokens: signed ones for access, random ones for refreshing and for machines; and the key that seals what is kept.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce, aead::Aead};
use hmac::{Hmac, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{config::Secret, domain::clock::Clock};

/// How an API key begins, so that people and scanners know one.
pub(crate) const KEY_PREFIX: &str = "cvk_";
/// Issuer and audience of access tokens.
const ISSUER: &str = "convoke";

/// What an access token says (RFC 9068, as far as it serves one service).
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    /// The user.
    sub: Uuid,
    /// Seconds since 1970.
    iat: i64,
    exp: i64,
    jti: Uuid,
}

/// Makes and reads tokens.
#[derive(Clone)]
pub(crate) struct Tokens {
    inner: Arc<Inner>,
}

struct Inner {
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
    seal: ChaCha20Poly1305,
    clock: Clock,
    ttl: Duration,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
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

impl Tokens {
    /// Tokens signed with the secret.
    pub(crate) fn new(secret: &Secret, clock: Clock, ttl: Duration) -> Self {
        let secret = secret.expose().as_bytes();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 0;
        // By our own clock, below.
        validation.validate_exp = false;
        let seal = ChaCha20Poly1305::new(&Key::from(derive(secret, "convoke kept answers v1")));
        let (signing, verifying) = (
            EncodingKey::from_secret(secret),
            DecodingKey::from_secret(secret),
        );
        Self {
            inner: Arc::new(Inner {
                signing,
                verifying,
                validation,
                seal,
                clock,
                ttl,
            }),
        }
    }

    /// A new access token, and for how many seconds it is good.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub(crate) fn issue(
        &self,
        user_id: Uuid,
    ) -> Result<(String, u64), jsonwebtoken::errors::Error> {
        let now = self.inner.clock.now().as_second();
        let ttl = self.inner.ttl.as_secs();
        let claims = Claims {
            iss: ISSUER.into(),
            aud: ISSUER.into(),
            sub: user_id,
            iat: now,
            exp: now.saturating_add_unsigned(ttl),
            jti: Uuid::new_v4(),
        };
        Ok((
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.inner.signing)?,
            ttl,
        ))
    }

    /// Whose access token this is, if it is good.
    pub(crate) fn verify(&self, token: &str) -> Option<Uuid> {
        let token =
            jsonwebtoken::decode::<Claims>(token, &self.inner.verifying, &self.inner.validation)
                .ok()?;
        (token.claims.exp > self.inner.clock.now().as_second()).then_some(token.claims.sub)
    }

    /// Encrypts what is kept of an answer: it may hold what is shown only once.
    pub(crate) fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; 12] = random();
        let sealed = self
            .inner
            .seal
            .encrypt(&Nonce::from(nonce), plain)
            .unwrap_or_default();
        [nonce.as_slice(), &sealed].concat()
    }

    /// What [`Self::seal`] encrypted.
    pub(crate) fn unseal(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<12>()?;
        self.inner.seal.decrypt(&Nonce::from(*nonce), sealed).ok()
    }
}

/// A token of 256 random bits, and its hash, which alone is stored.
pub(crate) fn random_token(prefix: &str) -> (String, Vec<u8>) {
    let token = format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(random::<32>()));
    let hash = hash_token(&token);
    (token, hash)
}

/// SHA-256 of a token. One of 256 random bits needs no salt and no slow hash.
pub(crate) fn hash_token(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The generator is seeded by the system and cannot fail once the process runs.
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    fn tokens(secret: &str, now: &Arc<AtomicI64>) -> Tokens {
        let now = Arc::clone(now);
        let clock = Clock::from_fn(move || {
            jiff::Timestamp::from_second(now.load(Ordering::SeqCst)).unwrap()
        });
        Tokens::new(&Secret::new(secret), clock, Duration::from_mins(1))
    }

    #[test]
    fn an_access_token_is_good_for_its_time_and_its_secret() {
        let now = Arc::new(AtomicI64::new(1_800_000_000));
        let tokens_a = tokens("a secret of at least thirty-two bytes", &now);
        let user = Uuid::new_v4();
        let (token, ttl) = tokens_a.issue(user).unwrap();
        assert_eq!((tokens_a.verify(&token), ttl), (Some(user), 60));
        assert_eq!(
            tokens("another secret of thirty-two bytes!!", &now).verify(&token),
            None
        );
        now.store(1_800_000_060, Ordering::SeqCst);
        assert_eq!(tokens_a.verify(&token), None);
    }

    #[test]
    fn what_is_sealed_can_be_read_with_the_same_secret_only() {
        let now = Arc::new(AtomicI64::new(0));
        let sealed = tokens("a", &now).seal(b"shown once");
        assert!(!sealed.windows(5).any(|w| w == b"shown"));
        assert_eq!(tokens("a", &now).unseal(&sealed).unwrap(), b"shown once");
        assert_eq!(tokens("b", &now).unseal(&sealed), None);
    }
}
