//! The judge of the seats: it must see each way of overselling or jumping the queue.

use serde_json::{Value, json};

use crate::support::history::replay_admissions;

fn log(changes: &[(&str, &str)]) -> Vec<Value> {
    let entry = |(user, to): &(&str, &str)| json!({"kind": "participant.admission_changed", "user_id": user, "data": {"admission": {"to": to}}});
    changes.iter().map(entry).collect()
}

#[test]
fn a_queue_in_order_is_accepted_and_counted() {
    let entries = log(&[
        ("a", "confirmed"),
        ("b", "waitlisted"),
        ("c", "waitlisted"),
        ("a", "none"),
        ("b", "confirmed"),
    ]);
    let changes = replay_admissions(&entries, 1);
    assert_eq!((changes["a"], changes["b"], changes["c"]), (2, 2, 1));
}

#[test]
#[should_panic(expected = "went past whoever waited longest")]
fn jumping_the_queue_is_seen() {
    let changes = [
        ("a", "confirmed"),
        ("b", "waitlisted"),
        ("c", "waitlisted"),
        ("a", "none"),
    ];
    replay_admissions(&log(&[&changes[..], &[("c", "confirmed")]].concat()), 1);
}

#[test]
#[should_panic(expected = "seat 2 of 1")]
fn overselling_is_seen() {
    replay_admissions(&log(&[("a", "confirmed"), ("b", "confirmed")]), 1);
}

#[test]
#[should_panic(expected = "while a seat was free")]
fn waiting_for_nothing_is_seen() {
    replay_admissions(&log(&[("a", "waitlisted")]), 1);
}
