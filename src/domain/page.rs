//! Pages over a keyset: how many, and from where on.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Items on a page unless the client says otherwise.
pub const LIMIT_DEFAULT: i64 = 50;
/// Most items on a page.
pub const LIMIT_MAX: i64 = 200;

/// Which page of a list is wanted: at most `limit` items after `after`.
#[derive(Clone, Debug)]
pub struct PageRequest<K> {
    /// 1 to [`LIMIT_MAX`].
    pub limit: i64,
    /// The last key of the page before; `None` for the first page.
    pub after: Option<K>,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Page<T, K> {
    /// The items, in order.
    pub items: Vec<T>,
    /// The key of the last item when more follow.
    pub next: Option<K>,
}

impl<T, K> Page<T, K> {
    /// A page from up to `limit + 1` items: the one too many only says that there is more.
    pub fn from_items(mut items: Vec<T>, limit: i64, key: impl Fn(&T) -> K) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(key) } else { None };
        Self { items, next }
    }
}

/// Why a cursor cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorError {
    /// It is none of ours, or belongs to another query.
    Invalid,
    /// It was handed out too long ago.
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Cursor<K> {
    /// When it was made, in seconds since 1970.
    t: i64,
    /// Which query it belongs to.
    q: String,
    /// The key.
    k: K,
}

fn fingerprint(query: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(query.as_bytes())[..9])
}

/// An opaque cursor for `key` in the list that `query` describes.
pub fn encode_cursor<K: Serialize>(query: &str, key: &K, now: Timestamp) -> String {
    let cursor = Cursor {
        t: now.as_second(),
        q: fingerprint(query),
        k: key,
    };
    BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).unwrap_or_default())
}

/// The key in a cursor.
///
/// # Errors
/// [`CursorError`] when it cannot be used for this query now.
pub fn decode_cursor<K: for<'a> Deserialize<'a>>(
    text: &str,
    query: &str,
    now: Timestamp,
    ttl: std::time::Duration,
) -> Result<K, CursorError> {
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| CursorError::Invalid)?;
    let cursor: Cursor<K> = serde_json::from_slice(&bytes).map_err(|_| CursorError::Invalid)?;
    if cursor.q != fingerprint(query) {
        return Err(CursorError::Invalid);
    }
    let age = now
        .as_second()
        .checked_sub(cursor.t)
        .and_then(|age| u64::try_from(age.max(0)).ok());
    match age {
        Some(age) if age <= ttl.as_secs() => Ok(cursor.k),
        Some(_) => Err(CursorError::Expired),
        None => Err(CursorError::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const TTL: Duration = Duration::from_mins(1);

    #[test]
    fn a_cursor_serves_its_own_query_for_its_time() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let cursor = encode_cursor("q", &(5, "x".to_owned()), now);
        assert_eq!(
            decode_cursor::<(i64, String)>(&cursor, "q", now, TTL),
            Ok((5, "x".to_owned()))
        );
        assert_eq!(
            decode_cursor::<(i64, String)>(&cursor, "other", now, TTL),
            Err(CursorError::Invalid)
        );
        let later = Timestamp::from_second(1_000_061).unwrap();
        assert_eq!(
            decode_cursor::<(i64, String)>(&cursor, "q", later, TTL),
            Err(CursorError::Expired)
        );
        assert_eq!(
            decode_cursor::<(i64, String)>("nonsense", "q", now, TTL),
            Err(CursorError::Invalid)
        );
    }

    #[test]
    fn the_item_too_many_says_that_more_follow() {
        let page = Page::from_items(vec![1, 2, 3], 2, |n| *n);
        assert_eq!((page.items, page.next), (vec![1, 2], Some(2)));
        let page = Page::from_items(vec![1, 2], 2, |n| *n);
        assert_eq!((page.items, page.next), (vec![1, 2], None));
    }
}
