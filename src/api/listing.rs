//! Lists: `limit` and `cursor` in, `items`, `next_cursor` and `Link` out.

use std::time::Duration;

use http::{StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    Api,
    extract::{Caller, Params},
    problem::Problem,
    reply::Reply,
};
use crate::domain::{
    clock::Clock,
    page::{LIMIT_DEFAULT, LIMIT_MAX, Page, PageRequest, decode_cursor, encode_cursor},
};

/// One page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PageBody<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Where the next page begins; null on the last.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// Reads which page of something of an event is wanted, by somebody who sees the event.
pub(super) async fn page_of_event<'a, K: DeserializeOwned>(
    api: &'a Api,
    caller: Caller,
    event_id: Uuid,
    params: &mut Params,
) -> Result<(Pager<'a>, PageRequest<K>), Problem> {
    let read = Pager::read(
        params,
        caller.actor.user_id,
        api.store.clock(),
        api.limits.cursor_ttl,
    )?;
    params.check(&["limit", "cursor"])?;
    api.store.event(caller.actor, event_id).await?;
    Ok(read)
}

/// Turns pages of one list for one reader.
pub(super) struct Pager<'a> {
    clock: &'a Clock,
    fingerprint: String,
}

impl<'a> Pager<'a> {
    /// Reads which page is wanted; takes `limit` and `cursor` from the parameters.
    pub(super) fn read<K: DeserializeOwned>(
        params: &mut Params,
        reader: Uuid,
        clock: &'a Clock,
        ttl: Duration,
    ) -> Result<(Self, PageRequest<K>), Problem> {
        let limit = params.parse("limit", "a number from 1 to 200", |text| {
            // Digits alone: `+5` is a number to Rust but not to the contract.
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse()
                .ok()
                .filter(|limit| digits && (1..=LIMIT_MAX).contains(limit))
        });
        let pager = Self {
            clock,
            fingerprint: format!("{reader}{}", params.fingerprint()),
        };
        let after = match params.text("cursor") {
            Some(cursor) => Some(decode_cursor(cursor, &pager.fingerprint, clock.now(), ttl)?),
            None => None,
        };
        Ok((
            pager,
            PageRequest {
                limit: limit.unwrap_or(LIMIT_DEFAULT),
                after,
            },
        ))
    }

    /// The page as an answer.
    pub(super) fn reply<T, K: Serialize, W: Serialize>(
        &self,
        params: &Params,
        page: Page<T, K>,
        wire: impl Fn(T) -> W,
    ) -> Reply {
        let cursor = page
            .next
            .map(|key| encode_cursor(&self.fingerprint, &key, self.clock.now()));
        let link = cursor
            .as_ref()
            .map(|cursor| format!("<{}>; rel=\"next\"", params.with_cursor(cursor)));
        let body = PageBody {
            items: page.items.into_iter().map(wire).collect(),
            next_cursor: cursor,
        };
        let reply = Reply::json(StatusCode::OK, &body);
        match link {
            Some(link) => reply.with(header::LINK, link),
            None => reply,
        }
    }
}
