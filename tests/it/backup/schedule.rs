//! Backups that the service makes by itself.

use std::time::Duration;

use super::names;
use crate::support::engines::Engine;
use crate::support::polling::eventually;
use crate::support::scrape::Metrics;
use crate::support::service::Service;

const LIMIT: Duration = Duration::from_mins(1);

async fn told(service: &Service) -> Metrics {
    eventually("a backup is told of", LIMIT, || async {
        let metrics = service.scrape().await;
        let at = metrics.value("backup_last_success_timestamp_seconds", &[]);
        (at > Some(0.5)).then_some(metrics)
    })
    .await
}

on_both_engines! {
    async fn of_two_replicas_one_makes_the_backup_and_both_tell_of_it(engine: Engine) {
        let folder = tempfile::tempdir().unwrap();
        let to = format!("file://{}", folder.path().display());
        let settings = [
            ("CONVOKE_BACKUP_EVERY", "1h"),
            ("CONVOKE_BACKUP_TO", &*to),
            ("CONVOKE_BACKUP_VERIFY", "true"),
        ];
        let first = Service::start(engine, &settings).await;
        let second = first.start_replica().await;
        for replica in [&first, &second] {
            let metrics = told(replica).await;
            let expected = |job| metrics.value("backup_expected_interval_seconds", &[("task", job)]);
            assert_eq!((expected("backup"), expected("trial")), (Some(3600.0), Some(3600.0)));
            eventually("its trial is told of", LIMIT, || async {
                let metrics = replica.scrape().await;
                let at = metrics.value("backup_last_verified_timestamp_seconds", &[]);
                (at > Some(0.5)).then_some(())
            })
            .await;
        }
        // Both have looked several times by the end of this: a third look would have come within seconds of the start.
        let made = |service: &Service| {
            let lines = service.log_lines();
            lines.iter().filter(|line| line["message"] == "a backup was made").count()
        };
        assert_eq!(made(&first) + made(&second), 1);
        assert_eq!(names(folder.path()).len(), 1);
    }

    async fn a_backup_that_fails_is_told_of(engine: Engine) {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        std::fs::write(&blocked, "").unwrap();
        let to = format!("file://{}/below", blocked.display());
        let settings = [("CONVOKE_BACKUP_EVERY", "1h"), ("CONVOKE_BACKUP_TO", &*to)];
        let service = Service::start(engine, &settings).await;
        let failed = |line: &serde_json::Value| line["message"] == "a backup failed";
        let line = service.wait_for_log("a backup fails", LIMIT, failed).await;
        assert_eq!(line["level"], "ERROR");
        eventually("its failure is counted", LIMIT, || async {
            let metrics = service.scrape().await;
            assert_eq!(metrics.value("backup_last_success_timestamp_seconds", &[]), Some(0.0));
            (metrics.value("backup_failures_total", &[]) == Some(1.0)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn without_a_schedule_none_is_expected() {
    let service = Service::start(Engine::Sqlite, &[]).await;
    let metrics = service.scrape().await;
    for job in ["backup", "trial"] {
        let expected = metrics.value("backup_expected_interval_seconds", &[("task", job)]);
        assert_eq!(expected, Some(0.0));
    }
}
