//! The programs of PostgreSQL: where they are, how they are told whom to ask, and what they say.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::{Context, Error, blocking};

/// What is kept of a program's complaint.
const SAID: u64 = 4096;

/// Parameters of the URL, and the variables by which the programs know them (PostgreSQL manual, "Environment Variables").
const VARIABLES: [(&str, &str); 13] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("dbname", "PGDATABASE"),
    ("sslmode", "PGSSLMODE"),
    ("ssl-mode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("ssl-root-cert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("options", "PGOPTIONS"),
];

/// The variables that name the database of a URL. Never arguments: everybody on the machine can read those.
pub(super) fn environment(url: &str) -> Result<Vec<(&'static str, String)>, Error> {
    let url = Url::parse(url)
        .map_err(|_| Error::Refused("the database's URL cannot be read".to_owned()))?;
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut found = vec![("PGAPPNAME", "convoke-backup".to_owned())];
    let mut set = |name: &'static str, value: String| {
        found.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            found.push((name, value));
        }
    };
    if let Some(host) = url.host_str() {
        // A socket's folder is written as an encoded host; brackets are the URL's own.
        set("PGHOST", decode(host).trim_matches(['[', ']']).to_owned());
    }
    set(
        "PGPORT",
        url.port().map(|one| one.to_string()).unwrap_or_default(),
    );
    set("PGUSER", decode(url.username()));
    set("PGPASSWORD", decode(url.password().unwrap_or_default()));
    set("PGDATABASE", decode(url.path().trim_start_matches('/')));
    for (key, value) in url.query_pairs() {
        if let Some((_, name)) = VARIABLES.iter().find(|(known, _)| *known == key) {
            set(name, value.into_owned());
        }
    }
    Ok(found)
}

/// The command for one of the programs: in the folder of the settings, else on the path.
pub(super) fn program(name: &str, folder: Option<&Path>) -> Command {
    let mut command = Command::new(folder.map_or_else(|| name.into(), |one| one.join(name)));
    command.stdin(Stdio::null());
    command
}

/// The major version of a program.
fn major(name: &str, folder: Option<&Path>) -> Result<u32, Error> {
    let output = program(name, folder)
        .arg("--version")
        .output()
        .map_err(|failure| missing(name, &failure))?;
    // "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = said.split(") ").nth(1).and_then(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    });
    number.ok_or_else(|| Error::Tool(format!("{name} does not say its version: {}", said.trim())))
}

/// Whether a program is at least as new as the server.
pub(super) fn fits(name: &str, folder: Option<&Path>, server: u32) -> Result<(), Error> {
    let ours = major(name, folder)?;
    if ours < server {
        return Err(Error::Refused(format!(
            "{name} is of version {ours} and the server of version {server}: install the client programs of PostgreSQL \
             {server}, or name their folder in backup.postgres_bin"
        )));
    }
    Ok(())
}

pub(super) fn missing(name: &str, failure: &std::io::Error) -> Error {
    Error::Tool(format!(
        "{name} cannot be run ({failure}): install PostgreSQL's client programs, or name their folder in backup.postgres_bin"
    ))
}

/// A program at work. It is killed when this is dropped before its end was waited for.
pub(super) struct Running {
    name: &'static str,
    pub(super) child: Child,
    said: Option<JoinHandle<String>>,
    ended: bool,
}

impl Running {
    /// Starts it; what it complains of is read beside.
    pub(super) fn start(name: &'static str, mut command: Command) -> Result<Self, Error> {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|failure| missing(name, &failure))?;
        let said = child.stderr.take().map(|mut pipe| {
            std::thread::spawn(move || {
                let mut said = Vec::new();
                let _ = pipe.by_ref().take(SAID).read_to_end(&mut said);
                // The rest must be taken, or it waits for ever.
                let _ = std::io::copy(&mut pipe, &mut std::io::sink());
                String::from_utf8_lossy(&said).trim().to_owned()
            })
        });
        Ok(Self {
            name,
            child,
            said,
            ended: false,
        })
    }

    /// Waits for its end, which must be a good one.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let status = self.child.wait().map_err(Error::disk(self.name))?;
        self.ended = true;
        let said = self.said.take().and_then(|one| one.join().ok());
        if status.success() {
            return Ok(());
        }
        Err(Error::Tool(format!(
            "{} failed ({status}): {}",
            self.name,
            said.unwrap_or_default()
        )))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs `pg_restore` into the database of this URL.
pub(super) async fn pg_restore(context: &Context, url: &str, file: &Path) -> Result<(), Error> {
    let variables = environment(url)?;
    let folder = context.config.backup.postgres_bin.clone();
    let file = file.to_owned();
    blocking(move || {
        let name = variables.iter().find(|(name, _)| *name == "PGDATABASE");
        let name = name.map(|(_, value)| value.clone()).unwrap_or_default();
        let mut command = program("pg_restore", folder.as_deref());
        command
            .args([
                "--single-transaction",
                "--exit-on-error",
                "--no-owner",
                "--no-privileges",
            ])
            .arg(format!("--dbname={name}"))
            .arg(file)
            .envs(variables)
            .stdout(Stdio::null());
        Running::start("pg_restore", command)?.finish()
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(url: &str, name: &str) -> Option<String> {
        let found = environment(url).unwrap();
        let mut found = found.into_iter().filter(|(one, _)| *one == name);
        let value = found.next().map(|(_, value)| value);
        assert!(found.next().is_none(), "{name} once");
        value
    }

    #[test]
    fn a_url_becomes_variables() {
        let url = "postgres://ada:p%40ss%2Fword@db.example.org:5433/con%20voke?sslmode=require";
        let expected = [
            ("PGHOST", "db.example.org"),
            ("PGPORT", "5433"),
            ("PGUSER", "ada"),
            ("PGPASSWORD", "p@ss/word"),
            ("PGDATABASE", "con voke"),
            ("PGSSLMODE", "require"),
        ];
        for (name, value) in expected {
            assert_eq!(variable(url, name).as_deref(), Some(value), "{name}");
        }
    }

    #[test]
    fn what_the_query_says_wins_and_what_nobody_says_is_left_to_the_program() {
        let url = "postgres:///convoke?host=/run/postgresql&user=ada&password=a%26b";
        assert_eq!(variable(url, "PGHOST").as_deref(), Some("/run/postgresql"));
        assert_eq!(variable(url, "PGUSER").as_deref(), Some("ada"));
        assert_eq!(variable(url, "PGPASSWORD").as_deref(), Some("a&b"));
        assert_eq!(variable(url, "PGPORT"), None);
        let url = "postgres://%2Frun%2Fpostgresql/convoke";
        assert_eq!(variable(url, "PGHOST").as_deref(), Some("/run/postgresql"));
        assert_eq!(
            variable("postgres://[::1]/x", "PGHOST").as_deref(),
            Some("::1")
        );
    }
}
