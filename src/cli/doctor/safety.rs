//! Who else can get at it: keys, the files they are in, the listeners, and the way to the database.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::Finding;
use crate::config::{Config, Engine, Environment, Loaded, Source, Sources};

pub(super) fn check(loaded: &Loaded, sources: &Sources) -> Vec<Finding> {
    let config = &loaded.config;
    let mut findings = vec![keys(config.server.secret_key_previous.len())];
    findings.extend(
        secret_files(loaded, sources)
            .iter()
            .filter_map(|path| file(path)),
    );
    if config.server.env == Environment::Production {
        findings.extend(exposed_ops(config.server.ops_listen));
        findings.extend(bare_public(config));
        findings.extend(unverified(config));
    }
    findings
}

fn keys(previous: usize) -> Finding {
    const NAME: &str = "secret_key";
    if previous == 0 {
        return Finding::fine(NAME, "signs, and no other key is accepted");
    }
    let what = format!("signs, and {previous} of secret_key_previous is accepted beside it");
    let advice =
        "remove that once secret_key_uses_total{key=\"previous\"} stands still (docs/security.md)";
    Finding::doubtful(NAME, what, advice)
}

/// The files that secrets in force were read from.
fn secret_files(loaded: &Loaded, sources: &Sources) -> Vec<PathBuf> {
    let secret = loaded
        .effective
        .iter()
        .filter(|one| one.value.contains("[redacted]"));
    let mut files: Vec<PathBuf> = secret
        .filter_map(|one| match &one.source {
            Source::File { name, .. } => Some(PathBuf::from(name)),
            Source::Variable(name) if name.ends_with("_FILE") => {
                sources.environment.get(name).map(PathBuf::from)
            }
            // The one that development made.
            Source::Default if one.key == "secret_key" => {
                Some(loaded.config.server.data_dir.join("secret_key"))
            }
            Source::Default | Source::Variable(_) => None,
        })
        .collect();
    files.sort();
    files.dedup();
    files
}

/// A file of secrets that others can read, or change. Its group may read it: Kubernetes gives files to a group.
fn file(path: &Path) -> Option<Finding> {
    // It was read a moment ago.
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let shown = format!("{} has mode {:03o}", path.display(), mode & 0o777);
    let advice = format!("chmod 600 {}", path.display());
    Some(if mode & 0o007 != 0 {
        let what = format!("{shown}: every user of this machine gets at it");
        Finding::doubtful("secret_file", what, advice)
    } else if mode & 0o020 != 0 {
        Finding::doubtful(
            "secret_file",
            format!("{shown}: its group can change it"),
            advice,
        )
    } else {
        Finding::fine("secret_file", shown)
    })
}

/// An ops listener that more than this machine reaches.
fn exposed_ops(address: SocketAddr) -> Option<Finding> {
    const NAME: &str = "exposure";
    let ip = address.ip();
    if ip.is_loopback() {
        return None;
    }
    let what = format!("the ops listener at {address} asks nobody who they are");
    let private = match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    };
    let advice = if private {
        "let in nobody but Prometheus, probes and operators"
    } else {
        "give CONVOKE_OPS_LISTEN an address of a private network, unless a container's network keeps others out"
    };
    Some(Finding::doubtful(NAME, what, advice))
}

/// A public listener that others reach and that trusts no proxy: it speaks no TLS itself.
fn bare_public(config: &Config) -> Option<Finding> {
    let server = &config.server;
    (!server.listen.ip().is_loopback() && server.trusted_proxies.is_empty()).then(|| {
        let what = format!(
            "{} is reached from elsewhere, and no proxy is trusted",
            server.listen
        );
        let advice = "put a proxy with TLS before it and name it in CONVOKE_TRUSTED_PROXIES: passwords would travel in the clear, \
                      and all clients would share one rate limit";
        Finding::doubtful("exposure", what, advice)
    })
}

/// A database elsewhere whose name is not verified: whoever is between can read and change all of it.
fn unverified(config: &Config) -> Option<Finding> {
    let url = &config.database.url;
    if url.engine() == Engine::Sqlite {
        return None;
    }
    let options = PgConnectOptions::from_str(url.expose()).ok()?;
    let host = options.get_host().to_owned();
    let local = options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    (!local && !matches!(options.get_ssl_mode(), PgSslMode::VerifyFull)).then(|| {
        let what = format!("the server at {host} is not verified");
        let advice = "add ?sslmode=verify-full to CONVOKE_DATABASE_URL, unless the network between is yours alone";
        Finding::doubtful("database", what, advice)
    })
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::config::SettingsFile;

    const KEY: &str = "kQ8Zt0cXy1nLw7Rk3VbJ5mHs9PdFg2TaUe4Wi6YoCxQ";
    const OTHER: &str = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";

    fn found(pairs: &[(&str, &str)]) -> Vec<Finding> {
        let mut environment: std::collections::BTreeMap<_, std::ffi::OsString> = [
            ("CONVOKE_ENV".to_owned(), "production".into()),
            ("CONVOKE_SECRET_KEY".to_owned(), KEY.into()),
        ]
        .into();
        for (name, value) in pairs {
            if *name == "CONVOKE_SECRET_KEY_FILE" {
                environment.remove("CONVOKE_SECRET_KEY");
            }
            environment.insert((*name).to_owned(), value.into());
        }
        let sources = Sources {
            environment,
            file: SettingsFile::Absent,
            terminal: false,
            cpus: 2,
        };
        check(&Config::load(&sources).unwrap(), &sources)
    }

    /// The doubtful ones, shown.
    fn doubts(pairs: &[(&str, &str)]) -> String {
        let found = found(pairs);
        let doubtful = found.iter().filter(|one| one.verdict != Verdict::Fine);
        let lines: Vec<String> = doubtful.map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn the_defaults_leave_nothing_to_doubt() {
        assert_eq!(doubts(&[]), "");
    }

    #[test]
    fn a_previous_key_is_told_by_number_only() {
        let told = doubts(&[("CONVOKE_SECRET_KEY_PREVIOUS", OTHER)]);
        assert!(told.contains("1 of secret_key_previous") && !told.contains(OTHER));
    }

    #[test]
    fn a_file_of_a_secret_that_others_can_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, OTHER).unwrap();
        let shown = path.display().to_string();
        for (mode, words) in [
            (0o600, ""),
            (0o440, ""),
            (0o644, "every user"),
            (0o660, "its group"),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let told = doubts(&[("CONVOKE_SECRET_KEY_FILE", &shown)]);
            assert_eq!(told.is_empty(), words.is_empty(), "{mode:o}: {told}");
            assert!(told.contains(words), "{mode:o}: {told}");
        }
    }

    #[test]
    fn listeners_that_others_reach_are_told() {
        let ops = |address| doubts(&[("CONVOKE_OPS_LISTEN", address)]);
        assert!(ops("10.0.0.5:9464").contains("nobody but Prometheus"));
        assert!(ops("0.0.0.0:9464").contains("private network"));
        let public = ("CONVOKE_LISTEN", "192.0.2.1:8080");
        assert!(doubts(&[public]).contains("CONVOKE_TRUSTED_PROXIES"));
        assert_eq!(
            doubts(&[public, ("CONVOKE_TRUSTED_PROXIES", "192.0.2.9")]),
            ""
        );
    }

    #[test]
    fn a_database_elsewhere_that_is_not_verified_is_told_without_its_password() {
        let told = |url| doubts(&[("CONVOKE_DATABASE_URL", url)]);
        assert!(told("postgres://u:hidden@db.internal/d").contains("db.internal is not verified"));
        assert!(!told("postgres://u:hidden@db.internal/d").contains("hidden"));
        assert!(told("postgres://u@db.internal/d?sslmode=require").contains("not verified"));
        for fine in [
            "postgres://u@db.internal/d?sslmode=verify-full",
            "postgres://u@127.0.0.1/d",
            "postgres://u@localhost/d",
            "postgres:///d?host=/run/postgresql",
        ] {
            assert_eq!(told(fine), "", "{fine}");
        }
    }
}
