//! Metrics of what the product does; every label is a bounded word of the domain.

use metrics::Counter;

use super::family::Family;

static EVENTS: Family<Counter, 1> = Family::new("events_written_total");
static STATUSES: Family<Counter, 1> = Family::new("participant_status_changes_total");
static ADMISSIONS: Family<Counter, 1> = Family::new("participant_admission_changes_total");
static INVITED: Family<Counter, 0> = Family::new("participants_invited_total");
static USERS: Family<Counter, 0> = Family::new("users_registered_total");
static API_KEYS: Family<Counter, 0> = Family::new("api_keys_created_total");
static NOTIFICATIONS: Family<Counter, 1> = Family::new("notifications_created_total");

/// Makes every series exist; the lists are the domain's.
pub fn prime(
    statuses: &[&'static str],
    admissions: &[&'static str],
    notification_kinds: &[&'static str],
) {
    for operation in ["create", "update", "cancel", "delete"] {
        EVENTS.prime([operation]);
    }
    for status in statuses {
        STATUSES.prime([status]);
    }
    for admission in admissions {
        ADMISSIONS.prime([admission]);
    }
    for kind in notification_kinds {
        NOTIFICATIONS.prime([kind]);
    }
    INVITED.prime([]);
    USERS.prime([]);
    API_KEYS.prime([]);
}

/// Counts an event written: create, update, cancel or delete.
pub fn event_written(operation: &'static str) {
    EVENTS.with([operation], |one| one.increment(1));
}

/// Counts a participant's answer by its new status.
pub fn participant_status_changed(status: &'static str) {
    STATUSES.with([status], |one| one.increment(1));
}

/// Counts a change of a participant's place by the new one.
pub fn participant_admission_changed(admission: &'static str) {
    ADMISSIONS.with([admission], |one| one.increment(1));
}

/// Counts participants invited.
pub fn participants_invited(count: u64) {
    INVITED.with([], |one| one.increment(count));
}

/// Counts a user registered.
pub fn user_registered() {
    USERS.with([], |one| one.increment(1));
}

/// Counts an API key created.
pub fn api_key_created() {
    API_KEYS.with([], |one| one.increment(1));
}

/// Counts notifications written to the outbox.
pub fn notifications_created(kind: &'static str, count: u64) {
    NOTIFICATIONS.with([kind], |one| one.increment(count));
}
