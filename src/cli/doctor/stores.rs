//! Where uploaded files are and where backups go: can they be reached and written to, and can a backup be made and tried?

use std::future::Future;
use std::time::Duration;

use axum::body::Bytes;

use super::Finding;
use crate::backup::{self, Outlook, Progress};
use crate::config::Config;
use crate::domain::new_id;
use crate::storage::{Error, Reason, Storage};
use crate::store::chain;

/// Longest wait for a store.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![storage(config).await];
    findings.extend(fallback(config).await);
    findings.extend(place(config).await);
    findings.extend(postgres(config).await);
    findings
}

async fn within<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(done) => done.map_err(|failure| failure.to_string()),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    }
}

/// The store of uploaded files, by writing, reading and deleting one where it is a bucket. A folder is asked, for writing would make it.
async fn storage(config: &Config) -> Finding {
    const NAME: &str = "storage";
    let advice = "give the service the right to read, write and delete there, or correct CONVOKE_STORAGE_URL";
    let store = match Storage::open_url(&config.storage.url, config) {
        Ok(store) => store,
        Err(failure) => return Finding::broken(NAME, failure.to_string(), advice),
    };
    let tried = within(async {
        store.reach().await?;
        if store.folder().is_some() {
            return Ok(());
        }
        // Where the collector of orphans finds it, should this end half-way.
        let key = format!("attachments/doctor-{}", new_id());
        store
            .put(&key, Bytes::from_static(b"convoke doctor\n"))
            .await?;
        store.head(&key).await?;
        store.delete(&key).await
    });
    told(NAME, &store, tried.await, "can be read and written", advice)
}

async fn fallback(config: &Config) -> Option<Finding> {
    const NAME: &str = "storage_fallback";
    let url = config.storage.fallback_url.as_ref()?;
    let advice = "correct CONVOKE_STORAGE_FALLBACK_URL, or take it away when all files are moved";
    Some(match Storage::open_url(url, config) {
        Ok(store) => told(
            NAME,
            &store,
            within(store.reach()).await,
            "can be reached",
            advice,
        ),
        Err(failure) => Finding::broken(NAME, failure.to_string(), advice),
    })
}

fn told(
    name: &'static str,
    store: &Storage,
    tried: Result<(), String>,
    good: &str,
    advice: &str,
) -> Finding {
    let shown = store.shown();
    match tried {
        Ok(()) => Finding::fine(name, format!("{shown} {good}")),
        Err(failure) => Finding::broken(name, format!("{shown}: {failure}"), advice),
    }
}

/// The place of backups. Nothing is written: keys for it need not be able to delete.
async fn place(config: &Config) -> Option<Finding> {
    const NAME: &str = "backup_place";
    let advice =
        "let the service, or whoever makes the backups, write there, or correct CONVOKE_BACKUP_TO";
    let url = config.backup.to.as_ref()?;
    let context = super::super::backup::context(config, None, Progress::silent());
    let store = match context.open_place(url) {
        Ok(store) => store,
        Err(failure) => return Some(Finding::broken(NAME, chain(&failure), advice)),
    };
    let shown = store.shown().to_owned();
    Some(match tokio::time::timeout(LIMIT, store.reach()).await {
        Ok(Err(failure)) if failure.reason() == Reason::Denied && store.folder().is_none() => {
            let what = format!("{shown} may not be listed");
            let advice = "fine for keys that may only add: then leave CONVOKE_BACKUP_KEEP_* at 0, and delete by a rule of the bucket's";
            Finding::doubtful(NAME, what, advice)
        }
        Ok(reached) => {
            let reached = reached.map_err(|failure| failure.to_string());
            told(NAME, &store, reached, "can be reached", advice)
        }
        Err(_) => {
            let failure = format!("no answer within {} s", LIMIT.as_secs());
            told(NAME, &store, Err(failure), "", advice)
        }
    })
}

async fn postgres(config: &Config) -> Vec<Finding> {
    let context = super::super::backup::context(config, None, Progress::silent());
    let asked = tokio::time::timeout(LIMIT, backup::outlook(&context)).await;
    // One that does not answer was told of already.
    let Ok(Ok(Some(found))) = asked else {
        return Vec::new();
    };
    let own = &config.backup;
    let wanted = own.to.is_some() || own.expected_every.is_some();
    let trials = own.verify || own.verified_every.is_some();
    of_postgres(&found, wanted, trials)
}

fn of_postgres(found: &Outlook, wanted: bool, trials: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if wanted {
        findings.push(match &found.tools {
            Ok(()) => Finding::fine("backup_tools", "pg_dump and pg_restore fit the server"),
            Err(failure) => Finding::broken(
                "backup_tools",
                chain(failure),
                "fine where backups are made on another machine that has them",
            ),
        });
        let what = "the database's role may not make databases, and a trial of a backup needs one";
        let advice =
            "ALTER ROLE … CREATEDB, or try backups by `convoke backup verify` with a role that may";
        findings.push(match (found.may_try, trials) {
            (true, _) => Finding::fine(
                "backup_trial",
                "the database's role may make one for a trial",
            ),
            (false, true) => Finding::broken("backup_trial", what, advice),
            (false, false) => Finding::doubtful("backup_trial", what, advice),
        });
    }
    if !found.replaced.is_empty() {
        findings.push(Finding::doubtful(
            "backup_leftovers",
            format!(
                "a restore that was killed left the schema {} with what it was to replace",
                found.replaced.join(", ")
            ),
            "docs/disaster-recovery.md, \"Putting one back\": move its tables back, or drop it",
        ));
    }
    if !found.trials.is_empty() {
        findings.push(Finding::doubtful(
            "backup_leftovers",
            format!("databases of trials: {}", found.trials.join(", ")),
            "nothing if one is under way; the next trial drops what is older than an hour, or DROP DATABASE",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn outlook(may_try: bool) -> Outlook {
        Outlook {
            tools: Ok(()),
            may_try,
            replaced: Vec::new(),
            trials: Vec::new(),
        }
    }

    fn verdicts(found: &Outlook, wanted: bool, trials: bool) -> Vec<Verdict> {
        let found = of_postgres(found, wanted, trials);
        found.iter().map(|one| one.verdict).collect()
    }

    #[test]
    fn a_role_that_cannot_try_is_a_failure_only_where_trials_are_asked_for() {
        use Verdict::{Broken, Doubtful, Fine};
        assert_eq!(verdicts(&outlook(true), true, true), [Fine, Fine]);
        assert_eq!(verdicts(&outlook(false), true, false), [Fine, Doubtful]);
        assert_eq!(verdicts(&outlook(false), true, true), [Fine, Broken]);
        assert_eq!(verdicts(&outlook(false), false, false), []);
    }

    #[test]
    fn what_was_left_behind_is_told_without_any_backup_configured() {
        let found = Outlook {
            replaced: vec!["convoke_replaced_1".to_owned()],
            trials: vec!["convoke_trial_1_x".to_owned()],
            ..outlook(true)
        };
        let told = of_postgres(&found, false, false);
        assert!(told[0].what.contains("convoke_replaced_1"));
        assert!(told[1].what.contains("convoke_trial_1_x"));
    }
}
