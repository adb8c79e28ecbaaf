//! The names of all database operations, so that each has its series before it first runs.

/// Every name given to a statement, and what surrounds a transaction, in alphabetical order.
pub const OPERATIONS: &[&str] = &[
    "BEGIN",
    "COMMIT",
    "api_keys.by_hash",
    "api_keys.count",
    "api_keys.insert",
    "api_keys.list",
    "api_keys.revoke",
    "attachments.delete",
    "attachments.find",
    "attachments.forget",
    "attachments.insert",
    "attachments.list",
    "attachments.of_event",
    "attachments.of_user",
    "backups.damaged",
    "backups.insert",
    "backups.state",
    "backups.verified",
    "changes.after",
    "changes.append",
    "changes.of_event",
    "database.clock",
    "deleted_files.delete",
    "deleted_files.insert",
    "deleted_files.list",
    "deliveries.bury",
    "deliveries.count",
    "deliveries.finish",
    "deliveries.forget",
    "deliveries.give_back",
    "deliveries.lease",
    "deliveries.lock_claims",
    "deliveries.next_due",
    "deliveries.retry_later",
    "deliveries.select_due",
    "event_tags.delete",
    "event_tags.insert",
    "events.begin_locked",
    "events.create",
    "events.find",
    "events.list",
    "events.lock",
    "events.move",
    "events.tombstone",
    "events.update",
    "events.zoned",
    "files.list",
    "files.retire",
    "files.unknown",
    "idempotency_keys.find",
    "idempotency_keys.insert",
    "idempotency_keys.keep",
    "idempotency_keys.release",
    "idempotency_keys.sweep",
    "idempotency_keys.take_over",
    "invalidations.beginning",
    "invalidations.listen",
    "invalidations.probe",
    "invalidations.publish",
    "invalidations.say",
    "leases.collected_at",
    "leases.give_back",
    "leases.renew",
    "leases.take",
    "meta.note_zone_rules",
    "meta.unfinished_copy",
    "meta.zone_rules",
    "notifications.insert",
    "notifications.list",
    "notifications.list_read",
    "notifications.list_unread",
    "notifications.mark_all_read",
    "notifications.mark_read",
    "participants.answer",
    "participants.delete",
    "participants.exists",
    "participants.find",
    "participants.find_place",
    "participants.first_waiting",
    "participants.invite",
    "participants.list",
    "participants.promote",
    "participants.remove",
    "ping",
    "refresh_tokens.find",
    "refresh_tokens.insert",
    "refresh_tokens.sweep",
    "refresh_tokens.use",
    "token_families.insert",
    "token_families.lock",
    "token_families.revoke",
    "token_families.revoke_user",
    "token_families.sweep",
    "users.avatar",
    "users.by_email",
    "users.exists",
    "users.find",
    "users.id_by_email",
    "users.insert",
    "users.lock",
    "users.lock_id",
    "users.set_avatar",
    "users.standing",
    "users.update",
    "wal.cluster",
    "wal.position",
    "wal.replayed",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::OPERATIONS;

    /// The names in `statement!(session, "name", …)`, and those of a table of statements: `("name", SQL)`.
    fn names(source: &str) -> impl Iterator<Item = &str> {
        let literal = |text: &'static str| {
            source
                .split(text)
                .skip(1)
                .filter_map(|rest| rest.split('"').nth(1))
        };
        let statements = literal("statement!(");
        let timings = literal("Timing::start(");
        let written = [".write_as(tx, ", ".write_as(session, "]
            .into_iter()
            .flat_map(literal);
        let choices = source
            .split("=> (\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next());
        statements
            .chain(timings)
            .chain(written)
            .chain(choices)
            .filter(|name| {
                let word = |part: &str| {
                    !part.is_empty() && part.chars().all(|c| c.is_ascii_alphabetic() || c == '_')
                };
                name.split('.').all(word)
            })
    }

    #[test]
    fn every_statement_of_the_store_is_in_the_list_and_nothing_else() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && path.file_name() != Some("operations.rs".as_ref()) {
                let source = std::fs::read_to_string(path).unwrap();
                // The comments of the macros give examples.
                let code: Vec<&str> = source
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .collect();
                found.extend(names(&code.join("\n")).map(str::to_owned));
            }
        }
        let listed: BTreeSet<String> = OPERATIONS.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(found, listed);
        assert!(OPERATIONS.is_sorted(), "the list is in alphabetical order");
    }
}
