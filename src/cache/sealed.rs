//! What stands in Redis: unreadable, and of no use in another place or by another hand, without the service's secret.

use std::fmt::Write as _;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit as _, Nonce};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::config::Secret;

/// The form of keys and values: another version of the program that writes another one misses, and misreads nothing.
const FORM: &str = "1";

/// Names, seals and opens entries.
pub(super) struct Seal {
    cipher: ChaCha20Poly1305,
    prefix: String,
}

impl Seal {
    pub(super) fn new(secret: &Secret, prefix: &str) -> Self {
        let mut key = [0; 32];
        // HMAC takes keys of any length.
        let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(secret.expose().as_bytes());
        if let Ok(mut mac) = mac {
            mac.update(b"convoke shared cache v1");
            key.copy_from_slice(&mac.finalize().into_bytes());
        }
        Self {
            cipher: ChaCha20Poly1305::new(&Key::from(key)),
            prefix: prefix.to_owned(),
        }
    }

    /// The key of an entry: a hash, in which the database is part of what is hashed.
    pub(super) fn name(&self, database: &str, cache: &str, key: &[u8]) -> String {
        let mut hash = Sha256::new();
        for part in [database.as_bytes(), cache.as_bytes(), key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut name = format!("{}:{FORM}:", self.prefix);
        for byte in &hash.finalize()[..16] {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    /// What is kept under a name, or none if it cannot be sealed.
    pub(super) fn seal(&self, name: &str, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; 12];
        rand::RngCore::fill_bytes(&mut rand::rng(), &mut nonce);
        let payload = Payload {
            msg: plain,
            aad: name.as_bytes(),
        };
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload).ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    /// What was sealed under this name with this secret.
    pub(super) fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<12>()?;
        let payload = Payload {
            msg: sealed,
            aad: name.as_bytes(),
        };
        self.cipher.decrypt(&Nonce::from(*nonce), payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secret: &str) -> Seal {
        Seal::new(&Secret::new(secret), "convoke")
    }

    #[test]
    fn an_entry_opens_under_its_name_and_its_secret_only() {
        let sealed = seal("a").seal("name", b"standing").unwrap();
        assert!(!sealed.windows(8).any(|part| part == b"standing"));
        assert_eq!(seal("a").open("name", &sealed).unwrap(), b"standing");
        assert_eq!(seal("a").open("other", &sealed), None);
        assert_eq!(seal("b").open("name", &sealed), None);
        for at in 0..sealed.len() {
            let mut garbled = sealed.clone();
            garbled[at] ^= 1;
            assert_eq!(seal("a").open("name", &garbled), None);
        }
        assert_eq!(seal("a").open("name", b"garbage"), None);
    }

    #[test]
    fn a_name_tells_databases_caches_and_keys_apart_and_shows_none() {
        let name = |database, cache, key: &str| seal("a").name(database, cache, key.as_bytes());
        let names = [
            name("one", "users", "key"),
            name("two", "users", "key"),
            name("one", "keys", "key"),
            name("one", "users", "yek"),
            name("oneu", "sers", "key"),
        ];
        for (n, one) in names.iter().enumerate() {
            assert!(one.starts_with("convoke:1:") && one.len() == 42, "{one}");
            assert!(!names[..n].contains(one));
        }
    }
}
