//! Values that nobody writes and everybody may: the longest, the oddest, none at all, in a row of every table.

use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use super::change_log::open_url;
use super::copy::{Link, copy, dump, empty_postgres, file_in, sums};

/// Every character that has ever made trouble but NUL, which PostgreSQL keeps no text with.
const ODD: &str = "\u{1}\t\r\n '\"\\ %_$1 ${x} </script> ä ß ﷽ e\u{301} \u{200f}א\u{200e} 👩\u{200d}👩\u{200d}👧 \u{feff} \u{fffd} \u{10ffff} \u{e000}\u{7f}";
/// Years 1 and 9999, in microseconds since 1970.
const FAR: (i64, i64) = (-62_135_596_800_000_000, 253_402_300_799_999_999);
/// As the service writes it on SQLite: no blanks, keys in the order of their bytes.
const JSON: &str = r#"{"":[],"A":{"Z":{},"é":[[[1,-2.5,18446744073709551615,-9223372036854775808,0.1,true,false,null]]]},"a\"\\\n\u0001":"😀","z":"𝄞"}"#;

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn id(byte: &str) -> String {
    format!("x'{}'", byte.repeat(16))
}

/// Two rows for each table, for SQLite: all that can be none, and all that can be odd.
fn rows() -> String {
    let (long, big) = (
        text(&"😀é".repeat(5000)),
        format!("[{}]", vec![JSON; 100].join(",")),
    );
    let (odd, json, big) = (text(ODD), text(JSON), text(&big));
    let (low, high) = FAR;
    let (zero, full, one) = (id("00"), id("ff"), id("7f"));
    let max = i64::MAX;
    let bytes: String = (0..=255_u8).fold(String::new(), |all, byte| all + &format!("{byte:02x}"));
    format!(
        "INSERT INTO meta VALUES ('', ''), ({odd}, {long});
         INSERT INTO users VALUES ({zero}, '', '', '', '', '', 'user', NULL, {max}, {low}, {high}, NULL, NULL, NULL, NULL, NULL),
           ({full}, {odd}, {odd}, {long}, {odd}, {odd}, 'admin', {high}, {}, 0, -1, {odd}, {odd}, {max}, x'{bytes}', {low});
         INSERT INTO token_families VALUES ({zero}, {full}, {low}, NULL), ({full}, {zero}, 1, {high});
         INSERT INTO refresh_tokens VALUES (x'', {zero}, {low}, {high}, NULL), (x'{bytes}', {full}, 0, 1, -1);
         INSERT INTO api_keys VALUES ({zero}, {full}, '', 'read', '', x'', {low}, NULL, NULL),
           ({full}, {zero}, {odd}, 'write', {odd}, x'{bytes}', 0, {high}, {low});
         INSERT INTO events VALUES (7, {zero}, '', {full}, '', '', '', '', NULL, '', NULL, {low}, {high}, NULL, 0, {max}, 0, 'public',
             'draft', '[]', '{{}}', '', {max}, {low}, {high}, NULL),
           (5, {full}, {odd}, {zero}, {odd}, {long}, {odd}, {odd}, {odd}, {odd}, {odd}, -1, 0, {max}, {max}, {max}, 1, 'private',
             'cancelled', '[\"\",\"ü\"]', {big}, 'words of a title', 1, 0, 1, {high});
         INSERT INTO attachments VALUES ({zero}, {full}, {zero}, '', '', 0, x'', '', {low}),
           ({full}, {zero}, {full}, {odd}, {odd}, {max}, x'{bytes}', {odd}, {high});
         INSERT INTO deleted_files VALUES ('', {low}), ({odd}, {high});
         INSERT INTO event_tags VALUES ('', {zero}), ({odd}, {full}), ('A', {full}), ('a', {zero}), ('ä', {zero}), ('Z', {zero});
         INSERT INTO participants VALUES ({zero}, {zero}, 'chair', 'needs_action', 'none', NULL, NULL, NULL, 1, {low}, {high}),
           ({full}, {full}, 'optional', 'tentative', 'waitlisted', {max}, {odd}, {high}, {max}, 0, -1);
         INSERT INTO changes VALUES ({max}, 0, {zero}, 'event.created', {zero}, NULL, 1, NULL, '{{}}', NULL, {low}),
           (1, 0, {full}, {odd}, {full}, {zero}, {max}, {full}, {json}, {odd}, {high});
         INSERT INTO deliveries VALUES (1, {zero}, {one}, {one}, '', 'pending', 0, {low}, NULL, {high}, NULL),
           ({max}, {full}, {zero}, {full}, {odd}, 'dead', {max}, {high}, {long}, 0, -1);
         INSERT INTO notifications VALUES ({zero}, {zero}, {one}, '', {one}, '[]', {low}, NULL),
           ({full}, {full}, {full}, {odd}, {zero}, {big}, 0, {high});
         INSERT INTO idempotency_keys VALUES (x'', x'', {zero}, NULL, {low}, 0, {high}), (x'{bytes}', x'00', {full}, x'{bytes}', 0, -1, 1);",
        i64::MIN
    )
}

async fn odd(folder: &TempDir) -> String {
    let url = file_in(folder, "odd.db");
    open_url(&url).await.close().await;
    let Link::Sqlite(mut link) = Link::open(&url).await else {
        unreachable!("it is a file")
    };
    sqlx::raw_sql(AssertSqlSafe(rows()))
        .execute(&mut link)
        .await
        .unwrap();
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_every_table_with_odd_values_comes_back_as_it_was() {
    let folder = TempDir::new().unwrap();
    let (from, there, back) = (
        odd(&folder).await,
        empty_postgres().await,
        file_in(&folder, "back.db"),
    );
    let same = file_in(&folder, "same.db");
    let report = copy(&from, &there).unwrap();
    assert_eq!(sums(&report), sums(&copy(&there, &back).unwrap()));
    copy(&from, &same).unwrap();
    for (table, (rows, _)) in sums(&report) {
        assert!(rows >= 2, "a new table needs its odd rows here: {table}");
    }
    let before = dump(&from).await;
    for other in [back, same] {
        for (table, rows) in dump(&other).await {
            // The row numbers of SQLite's own are given anew, in the order in which rows arrive.
            if table != "events" {
                assert_eq!(before[&table], rows, "{table}");
            }
        }
    }
    let kept = |url: &str| {
        let url = url.to_owned();
        async move {
            let columns = "SELECT 'quote(' || name || ')' FROM pragma_table_info('events') WHERE name <> 'row_id'";
            let mut link = Link::open(&url).await;
            let columns = link.texts(columns).await.join("||','||");
            link.texts(&format!("SELECT {columns} FROM events ORDER BY id"))
                .await
        }
    };
    assert_eq!(kept(&from).await, kept(&file_in(&folder, "back.db")).await);
    let found = "SELECT title FROM events e JOIN events_search s ON s.rowid & 1073741823 = e.row_id WHERE s.words MATCH 'title'";
    assert_eq!(
        Link::open(&file_in(&folder, "back.db"))
            .await
            .texts(found)
            .await,
        [ODD]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgresql_cannot_keep_is_refused_by_name() {
    for (sql, said) in [
        (
            "UPDATE users SET display_name = 'a' || char(0) WHERE email = ''",
            "a row of users, id 00000000",
        ),
        (
            "UPDATE events SET metadata = 'no json' WHERE uid = ''",
            "metadata",
        ),
        (
            "UPDATE events SET waitlist_enabled = 2 WHERE uid = ''",
            "a row of events, id 00000000",
        ),
        (
            "UPDATE users SET created_at = -900000000000000000 WHERE email = ''",
            "created_at",
        ),
        (
            "INSERT INTO token_families VALUES (x'0102', x'00000000000000000000000000000000', 1, NULL)",
            "a row of token_families",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let (from, to) = (odd(&folder).await, empty_postgres().await);
        Link::open(&from).await.run(sql).await;
        let refused = copy(&from, &to).unwrap_err();
        assert!(refused.contains(said), "{sql}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_in_json_keep_their_value_though_not_their_spelling() {
    let folder = TempDir::new().unwrap();
    let (from, there, back) = (
        odd(&folder).await,
        empty_postgres().await,
        file_in(&folder, "back.db"),
    );
    let spelt = r#"{"b": 1E3, "a": [1.50, 0e0, -0.0, 1e-7], "b": 2e2, "c": 1e20}"#;
    Link::open(&from)
        .await
        .run(&format!(
            "UPDATE events SET metadata = '{spelt}' WHERE uid = ''"
        ))
        .await;
    let report = copy(&from, &there).unwrap();
    assert_eq!(
        sums(&report)["events"],
        sums(&copy(&there, &back).unwrap())["events"]
    );
    let found = Link::open(&back)
        .await
        .texts("SELECT metadata FROM events WHERE uid = ''")
        .await;
    assert_eq!(
        found,
        [r#"{"a":[1.50,0,0.0,0.0000001],"b":200,"c":100000000000000000000}"#]
    );
}
