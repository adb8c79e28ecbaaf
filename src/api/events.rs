//! `/events/`: making, finding, changing, calling off and deleting events.

use axum::extract::State;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::{
    Api,
    conditional::{fresh, if_match},
    event_wire::{self, EventBody, EventInput, patched},
    extract::{Caller, Id, Json, NoBody, NoParams, Params, parse_id},
    layers::idempotency::Once,
    listing::{PageBody, Pager},
    problem::Problem,
    reply::{Answered, Reply},
};
use crate::{
    domain::{
        event::{Event, EventStatus, TAG_MAX, Visibility},
        page::{CursorError, Page},
        when::{parse_instant, storable},
    },
    store::{self, EventKey, EventQuery, Receipt, Sort},
    telemetry::instruments::product,
};

/// Longest search, in characters.
const SEARCH_MAX: usize = 200;
/// What the list of events can be asked.
const FILTERS: &[&str] = &[
    "limit",
    "cursor",
    "from",
    "to",
    "status",
    "organizer_id",
    "participant",
    "visibility",
    "tag",
    "q",
    "sort",
];

fn created(event: &Event) -> Reply {
    let location = format!("/api/v1/events/{}", event.id);
    event_wire::reply(StatusCode::CREATED, event).with(header::LOCATION, location)
}

/// Make an event
///
/// The caller becomes its organizer.
#[utoipa::path(post, path = "/api/v1/events/", tag = "events", operation_id = "createEvent",
    request_body = EventInput, responses((status = 201, description = "The event", body = EventBody)))]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    _: NoParams,
    once: Once,
    Json(input): Json<EventInput>,
) -> Answered<axum::response::Response> {
    let content = input.read().map_err(Problem::invalid)?;
    let render = api.keeping(created);
    let event = api
        .store
        .create_event(caller.actor, &content, &Receipt::new(once.0, &render))
        .await?;
    product::event_written("create");
    Ok(created(&event).kept())
}

/// Find events
///
/// Those that the caller may see: public ones, their own, and those in which they take part.
#[utoipa::path(get, path = "/api/v1/events/", tag = "events", operation_id = "listEvents",
    responses((status = 200, description = "A page of events", body = PageBody<EventBody>)))]
pub(super) async fn list(State(api): State<Api>, caller: Caller, mut params: Params) -> Answered {
    let query = read_query(&mut params);
    let (pager, page) = Pager::read::<EventKey>(
        &mut params,
        caller.actor.user_id,
        api.store.clock(),
        api.limits.cursor_ttl,
    )?;
    params.check(FILTERS)?;
    // A cursor is not signed: what it holds may be anything.
    if page.after.is_some_and(|(micros, _)| {
        jiff::Timestamp::from_microsecond(micros).map_or(true, |at| !storable(at))
    }) {
        return Err(CursorError::Invalid.into());
    }
    let found = api.store.events(caller.actor, &query, &page).await?;
    let items = api.bodies.of(&api.store, caller.actor, &found.items);
    let shown = Page {
        items: items.await?,
        next: found.next,
    };
    Ok(pager.reply(&params, shown, |body| body))
}

fn read_query(params: &mut Params) -> EventQuery {
    let accepted = "an RFC 3339 instant such as 2026-12-01T17:00:00Z";
    let (sort, descending) = params
        .parse(
            "sort",
            "start, -start, created, -created, updated or -updated",
            |text| {
                let (name, descending) = text
                    .strip_prefix('-')
                    .map_or((text, false), |name| (name, true));
                let sort = match name {
                    "start" => Sort::Start,
                    "created" => Sort::Created,
                    "updated" => Sort::Updated,
                    _ => return None,
                };
                Some((sort, descending))
            },
        )
        .unwrap_or((Sort::Start, false));
    EventQuery {
        from: params.parse("from", accepted, parse_instant),
        to: params.parse("to", accepted, parse_instant),
        status: params.parse(
            "status",
            "draft, tentative, confirmed or cancelled",
            EventStatus::parse,
        ),
        organizer_id: params.parse("organizer_id", "a UUID", parse_id),
        participating: params
            .parse("participant", "me", |text| (text == "me").then_some(()))
            .is_some(),
        visibility: params.parse("visibility", "public or private", Visibility::parse),
        tag: params.parse("tag", "1 to 50 characters", |text| bounded(text, TAG_MAX)),
        text: params.parse("q", "1 to 200 characters", |text| bounded(text, SEARCH_MAX)),
        sort,
        descending,
    }
}

fn bounded(text: &str, max: usize) -> Option<String> {
    ((1..=max).contains(&text.chars().count()) && !text.contains('\0')).then(|| text.to_owned())
}

/// Fetch an event
#[utoipa::path(get, path = "/api/v1/events/{event_id}", tag = "events", operation_id = "getEvent",
    responses((status = 200, description = "The event", body = EventBody)))]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: NoParams,
    headers: HeaderMap,
) -> Answered {
    let event = api.store.event(caller.actor, id).await?;
    let (tag, updated_at) = (event.tag(), event.updated_at);
    fresh(&headers, &tag, updated_at, || {
        Reply::json(StatusCode::OK, &EventBody::from(event))
    })
}

/// Replace an event
///
/// What is left out gets its default.
#[utoipa::path(put, path = "/api/v1/events/{event_id}", tag = "events", operation_id = "replaceEvent",
    request_body = EventInput, responses((status = 200, description = "The event", body = EventBody)))]
pub(super) async fn replace(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: NoParams,
    headers: HeaderMap,
    Json(input): Json<EventInput>,
) -> Answered {
    let content = input.read().map_err(Problem::invalid)?;
    let expected = if_match(&headers)?;
    let event = api
        .store
        .update_event(caller.actor, id, &expected, |_| Ok(content.clone()))
        .await?;
    product::event_written("update");
    Ok(event_wire::reply(StatusCode::OK, &event))
}

/// Change an event
///
/// A JSON Merge Patch (RFC 7396): what is left out stays, null gives the default.
#[utoipa::path(patch, path = "/api/v1/events/{event_id}", tag = "events", operation_id = "changeEvent",
    request_body = EventInput, responses((status = 200, description = "The event", body = EventBody)))]
pub(super) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: NoParams,
    headers: HeaderMap,
    Json(patch): Json<Value>,
) -> Answered {
    let expected = if_match(&headers)?;
    let change = |content: &_| patched(content, &patch).map_err(store::Error::Invalid);
    let event = api
        .store
        .update_event(caller.actor, id, &expected, change)
        .await?;
    product::event_written("update");
    Ok(event_wire::reply(StatusCode::OK, &event))
}

/// Delete an event
///
/// Its participants are told.
#[utoipa::path(delete, path = "/api/v1/events/{event_id}", tag = "events", operation_id = "deleteEvent",
    responses((status = 204, description = "It is deleted")))]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: NoParams,
    headers: HeaderMap,
) -> Answered {
    let expected = if_match(&headers)?;
    api.store.delete_event(caller.actor, id, &expected).await?;
    product::event_written("delete");
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// Call an event off
///
/// It stays readable, with status `cancelled`, and its participants are told.
#[utoipa::path(post, path = "/api/v1/events/{event_id}/cancel", tag = "events", operation_id = "cancelEvent",
    responses((status = 200, description = "The event", body = EventBody)))]
pub(super) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    _: NoParams,
    headers: HeaderMap,
    once: Once,
    _: NoBody,
) -> Answered<axum::response::Response> {
    let expected = if_match(&headers)?;
    let answer = |event: &Event| event_wire::reply(StatusCode::OK, event);
    let render = api.keeping(answer);
    let event = api
        .store
        .cancel_event(caller.actor, id, &expected, &Receipt::new(once.0, &render))
        .await?;
    product::event_written("cancel");
    Ok(answer(&event).kept())
}
