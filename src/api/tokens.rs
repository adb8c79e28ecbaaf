//! Tokens: signed ones for access, random ones for refreshing and for machines; and the key that seals what is kept.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Header, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::keyring::{Keyring, Used};
use crate::{config::Secret, domain::clock::Clock};

/// How an API key begins, so that people and scanners know one.
pub(crate) const KEY_PREFIX: &str = "cvk_";
/// Access tokens that are remembered.
const KNOWN_MAX: usize = 16_384;
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
    keys: Keyring,
    header: Header,
    validation: Validation,
    clock: Clock,
    ttl: Duration,
    /// What access tokens say that were found good, by their hashes: a token is sent many times.
    known: Cache<[u8; 32], Known>,
}

/// Which key signed a token, whose it is, and when it expires, in seconds since 1970.
type Known = (Used, Uuid, i64);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// Tokens signed with the secret; those signed with a previous one are good as well.
    pub(crate) fn new(secret: &Secret, previous: &[Secret], clock: Clock, ttl: Duration) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 0;
        // By our own clock, below.
        validation.validate_exp = false;
        let keys = Keyring::new(secret, previous);
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(keys.id().to_owned());
        Self {
            inner: Arc::new(Inner {
                keys,
                header,
                validation,
                clock,
                ttl,
                known: Cache::new(KNOWN_MAX),
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
        let token = jsonwebtoken::encode(&self.inner.header, &claims, &self.inner.keys.signing)?;
        Ok((token, ttl))
    }

    /// Whose access token this is, if it is good, and which key says so.
    pub(crate) fn verify(&self, token: &str) -> Option<(Used, Uuid)> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let (used, user_id, expires) = if let Some(known) = self.inner.known.get(&hash) {
            known
        } else {
            let read = self.read(token)?;
            self.inner.known.insert(hash, read);
            read
        };
        (expires > self.inner.clock.now().as_second()).then_some((used, user_id))
    }

    /// Checks a token's signature and what it says, except for its time.
    fn read(&self, token: &str) -> Option<Known> {
        let (used, claims) = self.inner.keys.candidates(token).find_map(|(used, key)| {
            let read =
                jsonwebtoken::decode::<Claims>(token, &key.verifying, &self.inner.validation);
            Some((used, read.ok()?.claims))
        })?;
        Some((used, claims.sub, claims.exp))
    }

    /// Encrypts what is kept of an answer: it may hold what is shown only once.
    pub(crate) fn seal(&self, plain: &[u8]) -> Vec<u8> {
        self.inner.keys.seal(random(), plain)
    }

    /// What [`Self::seal`] encrypted, and which key opens it.
    pub(crate) fn unseal(&self, sealed: &[u8]) -> Option<(Used, Vec<u8>)> {
        self.inner.keys.unseal(sealed)
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

    const OLD: &str = "a secret of at least thirty-two bytes";
    const NEW: &str = "another secret of thirty-two bytes!!";

    fn rolled(secret: &str, previous: &[&str], now: &Arc<AtomicI64>) -> Tokens {
        let now = Arc::clone(now);
        let clock = Clock::from_fn(move || {
            jiff::Timestamp::from_second(now.load(Ordering::SeqCst)).unwrap()
        });
        let previous: Vec<Secret> = previous.iter().map(|one| Secret::new(*one)).collect();
        Tokens::new(
            &Secret::new(secret),
            &previous,
            clock,
            Duration::from_mins(1),
        )
    }

    fn tokens(secret: &str) -> Tokens {
        rolled(secret, &[], &Arc::new(AtomicI64::new(1_800_000_000)))
    }

    fn accepting(secret: &str, previous: &[&str]) -> Tokens {
        rolled(secret, previous, &Arc::new(AtomicI64::new(1_800_000_000)))
    }

    #[test]
    fn an_access_token_is_good_for_its_time_and_its_secret() {
        let now = Arc::new(AtomicI64::new(1_800_000_000));
        let tokens_a = rolled(OLD, &[], &now);
        let user = Uuid::new_v4();
        let (token, ttl) = tokens_a.issue(user).unwrap();
        assert_eq!(
            (tokens_a.verify(&token), ttl),
            (Some((Used::Current, user)), 60)
        );
        assert_eq!(rolled(NEW, &[], &now).verify(&token), None);
        now.store(1_800_000_060, Ordering::SeqCst);
        assert_eq!(tokens_a.verify(&token), None);
        assert_eq!(rolled(NEW, &[OLD], &now).verify(&token), None, "expired");
    }

    #[test]
    fn a_token_of_a_previous_or_next_secret_is_good_and_told_apart() {
        let user = Uuid::new_v4();
        let (old, _) = tokens(OLD).issue(user).unwrap();
        let (new, _) = accepting(NEW, &[OLD]).issue(user).unwrap();
        let prepared = accepting(OLD, &["a third secret of thirty-two bytes", NEW]);
        assert_eq!(prepared.verify(&new), Some((Used::Previous, user)));
        assert_eq!(prepared.verify(&old), Some((Used::Current, user)));
        let switched = accepting(NEW, &[OLD]);
        assert_eq!(switched.verify(&old), Some((Used::Previous, user)));
        assert_eq!(switched.verify(&new), Some((Used::Current, user)));
        assert_eq!(tokens(NEW).verify(&old), None, "removed");
    }

    #[test]
    fn a_token_without_a_key_id_is_tried_with_every_secret() {
        let user = Uuid::new_v4();
        // As the version before wrote them.
        let claims = Claims {
            iss: ISSUER.into(),
            aud: ISSUER.into(),
            sub: user,
            iat: 1_800_000_000,
            exp: 1_800_000_060,
            jti: Uuid::new_v4(),
        };
        let key = jsonwebtoken::EncodingKey::from_secret(OLD.as_bytes());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
        assert_eq!(
            accepting(NEW, &[OLD]).verify(&token),
            Some((Used::Previous, user))
        );
        assert_eq!(tokens(OLD).verify(&token), Some((Used::Current, user)));
    }

    #[test]
    fn a_token_that_names_another_key_than_it_was_signed_with_is_refused() {
        let (token, _) = tokens(OLD).issue(Uuid::new_v4()).unwrap();
        let (other, _) = tokens(NEW).issue(Uuid::new_v4()).unwrap();
        let (head, _) = other.split_once('.').unwrap();
        let (_, rest) = token.split_once('.').unwrap();
        let both = accepting(NEW, &[OLD]);
        assert_eq!(both.verify(&format!("{head}.{rest}")), None);
        // `none`, or another algorithm, never.
        let none = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        assert_eq!(both.verify(&format!("{none}.{rest}")), None);
    }

    #[test]
    fn a_key_id_is_the_secrets_own_and_tells_nothing_of_it() {
        let id = |secret: &str| Keyring::new(&Secret::new(secret), &[]).id().to_owned();
        assert_eq!(id(OLD), id(OLD));
        assert_ne!(id(OLD), id(NEW));
        assert_eq!(id(OLD).len(), 12);
    }

    #[test]
    fn what_is_sealed_can_be_read_with_the_same_secret_only() {
        let sealed = tokens("a").seal(b"shown once");
        assert!(!sealed.windows(5).any(|w| w == b"shown"));
        let opened = |used| Some((used, b"shown once".to_vec()));
        assert_eq!(tokens("a").unseal(&sealed), opened(Used::Current));
        assert_eq!(tokens("b").unseal(&sealed), None);
        assert_eq!(
            accepting("b", &["c", "a"]).unseal(&sealed),
            opened(Used::Previous)
        );
        assert_eq!(accepting("b", &["a"]).unseal(&sealed[..12]), None);
    }
}
