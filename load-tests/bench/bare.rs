//! The least that an answer in JSON costs: an axum handler that serialises a body it holds, and nothing else.
//!
//! `bare GET_BODY PAGE_BODY` reads the two files, bodies that Convoke answered, and prints the address on which it serves
//! them at `/get` and `/page` until it is ended.

use std::{error::Error, fs, io::Write, net::Ipv4Addr};

use axum::{Json, Router, routing::get, serve::ListenerExt};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    date_time: String,
    time_zone: String,
}

/// As `Event` of the API, field by field.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    id: String,
    uid: String,
    organizer_id: String,
    title: String,
    description: String,
    location: String,
    start: When,
    end: When,
    start_utc: String,
    end_utc: String,
    capacity: Option<i64>,
    seats_taken: i64,
    waitlist_enabled: bool,
    visibility: String,
    status: String,
    tags: Vec<String>,
    metadata: serde_json::Map<String, serde_json::Value>,
    version: i64,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    items: Vec<Event>,
    next_cursor: Option<String>,
}

fn body<T: DeserializeOwned>(file: Option<String>) -> Result<&'static T, Box<dyn Error>> {
    let file = file.ok_or("usage: bare GET_BODY PAGE_BODY")?;
    Ok(Box::leak(Box::new(serde_json::from_slice(&fs::read(
        file,
    )?)?)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut files = std::env::args().skip(1);
    let event: &Event = body(files.next())?;
    let page: &Page = body(files.next())?;
    let table = Router::new()
        .route("/get", get(async move || Json(event)))
        .route("/page", get(async move || Json(page)));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    let listener = listener.tap_io(|stream| {
        // Without it an answer may wait; a failure shows in the figures.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, table).await?)
}
