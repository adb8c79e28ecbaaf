//! An event's history, read the way the tests need it.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::client::{Client, id};

/// The event's entries of the change log, oldest first.
pub(crate) async fn history(reader: &Client, event: &Value) -> Vec<Value> {
    let mut entries = reader.all(&format!("/events/{}/history", id(event))).await;
    // Whichever way the list runs, an event's first entry is its creation.
    if entries
        .first()
        .is_some_and(|entry| entry["kind"] != "event.created")
    {
        entries.reverse();
    }
    entries
}

/// How many entries are of this kind.
pub(crate) fn count(entries: &[Value], kind: &str) -> usize {
    entries.iter().filter(|entry| entry["kind"] == kind).count()
}

/// Whom an entry is about.
pub(crate) fn about(entry: &Value) -> &str {
    let user = entry["user_id"].as_str();
    user.unwrap_or_else(|| panic!("nobody in {entry}"))
}

/// What the participant holds after this `participant.admission_changed`.
pub(crate) fn admission_after(entry: &Value) -> &str {
    let found = entry.pointer("/data/admission/to").and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no admission in {entry}"))
}

/// Replays the admission changes against the rules: never more seats than there are, nobody waits while one
/// is free, and a seat that frees goes to whoever has waited longest. Gives how often each user's changed.
pub(crate) fn replay_admissions(entries: &[Value], capacity: usize) -> HashMap<String, usize> {
    let mut seated: Vec<&str> = Vec::new();
    let mut waiting: VecDeque<&str> = VecDeque::new();
    let mut changes: HashMap<String, usize> = HashMap::new();
    for entry in entries
        .iter()
        .filter(|e| e["kind"] == "participant.admission_changed")
    {
        let user = about(entry);
        *changes.entry(user.to_owned()).or_default() += 1;
        match admission_after(entry) {
            "confirmed" => {
                if let Some(first) = waiting.front() {
                    assert_eq!(
                        *first, user,
                        "a seat went past whoever waited longest: {entry}"
                    );
                    waiting.pop_front();
                }
                assert!(
                    !seated.contains(&user),
                    "a second seat for the same person: {entry}"
                );
                seated.push(user);
                assert!(
                    seated.len() <= capacity,
                    "seat {} of {capacity}: {entry}",
                    seated.len()
                );
            }
            "waitlisted" => {
                assert_eq!(
                    seated.len(),
                    capacity,
                    "made to wait while a seat was free: {entry}"
                );
                assert!(!waiting.contains(&user), "waits twice: {entry}");
                waiting.push_back(user);
            }
            "none" => {
                let before = seated.len() + waiting.len();
                seated.retain(|other| *other != user);
                waiting.retain(|other| *other != user);
                assert_eq!(
                    seated.len() + waiting.len(),
                    before - 1,
                    "gave back nothing: {entry}"
                );
            }
            other => panic!("no such admission: {other}"),
        }
    }
    changes
}
