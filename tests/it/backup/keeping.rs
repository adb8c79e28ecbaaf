//! Which backups are kept, and whose they are.

use super::{Site, execute, last_line, names, said};
use crate::support::commands;
use crate::support::engines::Engine;
use crate::support::moto::Moto;

/// The part of a backup's name that tells the database.
fn database(name: &str) -> String {
    name.split('-').nth(2).unwrap().to_owned()
}

on_both_engines! {
    async fn old_backups_are_deleted_and_nothing_else_is(engine: Engine) {
        let site = Site::filled(engine, 1).await;
        let folder = site.backups();
        let first = site.backup(&[]);
        let ours = database(first.file_name().unwrap().to_str().unwrap());
        let copy = |name: &str| {
            std::fs::copy(&first, folder.join(name)).unwrap();
        };
        let old: Vec<String> = ["20200101T030000Z", "20260110T030000Z", "20260111T020000Z", "20260111T030000Z"]
            .iter()
            .map(|time| format!("convoke-{time}-{ours}-00000001.backup"))
            .collect();
        // A clock was wrong when this one was made.
        let future = format!("convoke-20990101T030000Z-{ours}-00000001.backup");
        let others = [
            "notes.txt",
            "convoke-20200101T030000Z.backup.gz",
            "other-20200101T030000Z.backup",
            // Of an earlier version, and of another database.
            "convoke-20200101T030000Z.backup",
            "convoke-20200101T030000Z-000000000abc-00000001.backup",
        ];
        for name in old.iter().map(String::as_str).chain(others).chain([&*future]) {
            copy(name);
        }
        std::fs::remove_file(&first).unwrap();
        let output = site.run(&["backup", "--to", folder.to_str().unwrap(), "--keep-daily", "3", "--keep-monthly", "2"]);
        assert!(output.status.success());
        let warned = said(&output);
        assert!(warned.contains(&format!("{future} is dated in the future")), "{warned}");
        let told = String::from_utf8(output.stdout).unwrap();
        for gone in [&old[0], &old[2]] {
            assert!(told.contains(&format!("deleted {gone}\n")), "{told}");
        }
        let newest = last_line(&told);
        let newest = newest.rsplit('/').next().unwrap();
        let mut expected = vec![newest, &*old[1], &*old[3], &*future];
        expected.extend(others);
        expected.sort_unstable();
        assert_eq!(names(&folder), expected);
        let listed = site.must(&["backup", "list", "--to", folder.to_str().unwrap()]);
        let listed: Vec<&str> = listed.lines().map(|line| line.rsplit('\t').next().unwrap()).collect();
        assert_eq!(listed, [others[3], others[4], &*old[1], &*old[3], newest, &*future]);
    }

    async fn two_databases_in_one_place_leave_each_others_backups_alone(engine: Engine) {
        let (one, mut other) = (Site::filled(engine, 1).await, Site::filled(engine, 1).await);
        let first = one.backup(&["--keep-daily", "1"]);
        let to = one.backups().display().to_string();
        let second = last_line(&other.must(&["backup", "--to", &to, "--keep-daily", "1"]));
        let third = one.backup(&["--keep-daily", "1"]);
        let mut expected = vec![third.display().to_string(), second.clone()];
        expected.sort();
        let found: Vec<String> = names(&one.backups()).iter().map(|name| format!("{to}/{name}")).collect();
        assert_eq!(found, expected, "{} is superseded by {}", first.display(), third.display());

        // What was restored lives beside the one that its backup is of.
        execute(&other.url, "DELETE FROM meta WHERE name LIKE 'fill-%'").await;
        other = Site::new(engine).await;
        other.restore(&third);
        assert_eq!(other.count("meta WHERE name = 'database_id'").await, 0);
        let fourth = last_line(&other.must(&["backup", "--to", &to, "--keep-daily", "1"]));
        assert_ne!(database(&fourth), database(&third.display().to_string()));
        assert_eq!(names(&one.backups()).len(), 3);
        for whole in [&second, &fourth] {
            one.must(&["backup", "verify", whole]);
        }
    }

    async fn backups_of_one_moment_do_not_overwrite_each_other(engine: Engine) {
        let site = Site::filled(engine, 1).await;
        let to = site.backups().display().to_string();
        let running: Vec<_> = (0..4)
            .map(|_| {
                let (to, settings) = (to.clone(), site.settings.clone());
                std::thread::spawn(move || commands::run(&["backup", "--to", &to], &settings))
            })
            .collect();
        for one in running {
            let output = one.join().unwrap();
            assert!(output.status.success(), "{}", said(&output));
        }
        let found = names(&site.backups());
        assert_eq!(found.len(), 4, "{found:?}");
        let of: std::collections::BTreeSet<String> = found.iter().map(|name| database(name)).collect();
        assert_eq!(of.len(), 1, "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_keeps_the_backups_of_two_databases_apart() {
    let moto = Moto::start().await;
    moto.make_bucket("backups").await;
    let mut sites = [
        Site::filled(Engine::Sqlite, 1).await,
        Site::filled(Engine::Postgres, 1).await,
    ];
    for site in &mut sites {
        site.settings.extend(moto.settings("backups"));
        site.settings
            .retain(|(name, _)| name != "CONVOKE_STORAGE_URL");
    }
    let mut last = Vec::new();
    for _ in 0..2 {
        last.clear();
        for site in &sites {
            let made = site.must(&["backup", "--to", "s3://backups/all", "--keep-daily", "1"]);
            last.push(last_line(&made).replace("s3://backups/", ""));
        }
    }
    last.sort();
    let mut left = moto.keys("backups").await;
    left.sort();
    assert_eq!(left, last);
}

#[tokio::test]
async fn a_role_that_may_only_read_makes_backups_that_nothing_deletes() {
    let site = Site::filled(Engine::Postgres, 1).await;
    let read_only = site.url.clone()
        + if site.url.contains('?') { "&" } else { "?" }
        + "options=-c%20default_transaction_read_only%3Don";
    let settings = [
        site.settings.clone(),
        vec![("CONVOKE_DATABASE_URL".to_owned(), read_only)],
    ]
    .concat();
    let to = site.backups().display().to_string();
    for made in 1..=2 {
        let arguments = ["backup", "--to", &to, "--keep-daily", "1"];
        let output = commands::run(&arguments, &settings);
        let told = said(&output);
        assert!(output.status.success(), "{told}");
        assert!(
            told.contains("no --keep will ever count or delete"),
            "{told}"
        );
        assert_eq!(names(&site.backups()).len(), made);
    }
}
