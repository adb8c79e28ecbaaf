//! The two things that are cached, and how each is written down for Redis.

use std::hash::Hash;

use uuid::Uuid;

use crate::{
    domain::user::{Role, Scope},
    store::{KeyGrant, Standing, Subject},
};

/// Something that is cached.
pub(super) trait Kind: 'static {
    /// What it is looked up by.
    type Key: Copy + Eq + Hash + AsRef<[u8]> + Send + Sync + 'static;
    /// What is found.
    type Value: Copy + Send + Sync + 'static;
    /// The cache's name in metrics.
    const NAME: &'static str;

    /// What changes it.
    fn subject(key: &Self::Key) -> Subject;
    /// Whether it lets anybody in. What does not is kept a moment only.
    fn grants(value: &Self::Value) -> bool;
    /// Written down; what the form is, the version in the key of Redis says.
    fn encode(value: &Self::Value) -> Vec<u8>;
    /// Read again, if it can be.
    fn decode(bytes: &[u8]) -> Option<Self::Value>;
}

/// Users' standing, by id.
#[derive(Debug)]
pub(super) enum Users {}

impl Kind for Users {
    type Key = Uuid;
    type Value = Standing;
    const NAME: &'static str = "users";

    fn subject(key: &Uuid) -> Subject {
        Subject::user(*key)
    }

    fn grants(value: &Standing) -> bool {
        !value.disabled
    }

    fn encode(value: &Standing) -> Vec<u8> {
        let mut bytes = vec![u8::from(value.disabled)];
        bytes.extend(value.role.as_str().bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Standing> {
        let (disabled, role) = bytes.split_first()?;
        Some(Standing {
            role: Role::parse(std::str::from_utf8(role).ok()?)?,
            disabled: *disabled != 0,
        })
    }
}

/// API keys, by hash.
#[derive(Debug)]
pub(super) enum Keys {}

impl Kind for Keys {
    type Key = [u8; 32];
    type Value = KeyGrant;
    const NAME: &'static str = "api_keys";

    fn subject(key: &[u8; 32]) -> Subject {
        Subject::key(key)
    }

    fn grants(_: &KeyGrant) -> bool {
        true
    }

    fn encode(value: &KeyGrant) -> Vec<u8> {
        let expires_at = value
            .expires_at
            .map_or(i64::MAX, jiff::Timestamp::as_microsecond);
        let mut bytes = value.user_id.as_bytes().to_vec();
        bytes.extend(value.key_id.as_bytes());
        bytes.extend(expires_at.to_be_bytes());
        bytes.extend(value.scope.as_str().bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<KeyGrant> {
        let (user_id, rest) = bytes.split_first_chunk::<16>()?;
        let (key_id, rest) = rest.split_first_chunk::<16>()?;
        let (expires_at, scope) = rest.split_first_chunk::<8>()?;
        let expires_at = match i64::from_be_bytes(*expires_at) {
            i64::MAX => None,
            micros => Some(jiff::Timestamp::from_microsecond(micros).ok()?),
        };
        Some(KeyGrant {
            user_id: Uuid::from_bytes(*user_id),
            key_id: Uuid::from_bytes(*key_id),
            scope: Scope::parse(std::str::from_utf8(scope).ok()?)?,
            expires_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_again() {
        for role in Role::ALL {
            for disabled in [false, true] {
                let standing = Standing {
                    role: *role,
                    disabled,
                };
                assert_eq!(Users::decode(&Users::encode(&standing)), Some(standing));
            }
        }
        for scope in Scope::ALL {
            for expires_at in [None, Some(jiff::Timestamp::from_microsecond(-7).unwrap())] {
                let grant = KeyGrant {
                    user_id: Uuid::now_v7(),
                    key_id: Uuid::now_v7(),
                    scope: *scope,
                    expires_at,
                };
                assert_eq!(Keys::decode(&Keys::encode(&grant)), Some(grant));
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        for bytes in [&b""[..], b"\0", b"\0root", b"\0\xff\xfe"] {
            assert_eq!(Users::decode(bytes), None);
        }
        let whole = Keys::encode(&KeyGrant {
            user_id: Uuid::nil(),
            key_id: Uuid::nil(),
            scope: Scope::Read,
            expires_at: None,
        });
        for length in 0..whole.len() {
            assert_eq!(Keys::decode(&whole[..length]), None);
        }
    }
}
