//! The database URL: which engine it names, and how it is shown without its password.

use std::fmt;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::settings::Database;
use super::value::Value;

/// The two engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file beside the service.
    Sqlite,
    /// PostgreSQL, or what speaks its protocol.
    Postgres,
}

impl Engine {
    /// The name in metrics (`db.system.name` of the semantic conventions).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgresql",
        }
    }
}

/// Where the data is. `Debug` and `Display` show neither the password nor what may hold one.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    engine: Engine,
    url: String,
}

impl DatabaseUrl {
    /// The engine that the scheme names.
    pub const fn engine(&self) -> Engine {
        self.engine
    }

    /// Reads one that was given on the command line.
    ///
    /// # Errors
    /// When it cannot be used; the reason holds no part of it.
    pub fn argument(text: &str) -> Result<Self, String> {
        <Self as Value>::parse(text)
    }

    /// The whole URL with its password, for the driver only.
    pub fn expose(&self) -> &str {
        &self.url
    }
}

/// Query parameters that never hold a secret. What the driver does not know is refused, because it
/// would write the parameter and its value to the log: a misspelt `password` too.
const SHOWN: [&str; 9] = [
    "sslmode",
    "ssl-mode",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "application_name",
];
const HIDDEN: [&str; 9] = [
    "password",
    "options",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
];

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.engine == Engine::Sqlite {
            return f.write_str(&self.url);
        }
        // The query goes first: an `@` in it must not be taken for the end of the password.
        let (front, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let (scheme, rest) = front.split_once("://").unwrap_or(("", front));
        match rest.rsplit_once('@') {
            Some((credentials, place)) => match credentials.split_once(':') {
                Some((user, _)) => write!(f, "{scheme}://{user}:[redacted]@{place}")?,
                None => write!(f, "{scheme}://{credentials}@{place}")?,
            },
            None => f.write_str(front)?,
        }
        for (index, pair) in query.split('&').filter(|p| !p.is_empty()).enumerate() {
            f.write_str(if index == 0 { "?" } else { "&" })?;
            let key = pair.split_once('=').map_or(pair, |(key, _)| key);
            if SHOWN.contains(&key) {
                f.write_str(pair)?;
            } else {
                write!(f, "{key}=[redacted]")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl Value for DatabaseUrl {
    const KIND: &'static str = "URL";
    const SECRET: bool = true;

    fn accepts() -> String {
        "sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/NAME".to_owned()
    }

    fn shown(&self, _text: &str) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let engine = match text.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Engine::Sqlite,
            Some("postgres" | "postgresql") => Engine::Postgres,
            _ => return Err("names neither sqlite nor postgres".to_owned()),
        };
        match engine {
            Engine::Sqlite => check_sqlite(text)?,
            Engine::Postgres => check_postgres(text)?,
        }
        Ok(Self {
            engine,
            url: text.to_owned(),
        })
    }
}

fn check_sqlite(text: &str) -> Result<(), String> {
    let options: SqliteConnectOptions = text
        .parse()
        .map_err(|error| format!("is not a SQLite URL: {error}"))?;
    let path = options.get_filename();
    if path.as_os_str().is_empty() {
        return Err("names no file".to_owned());
    }
    // Every connection of a pool would see a database of its own, and a restart would lose them all.
    if text.contains(":memory:") || text.contains("mode=memory") {
        return Err("keeps the data in memory, where a restart loses it".to_owned());
    }
    Ok(())
}

fn check_postgres(text: &str) -> Result<(), String> {
    if !text.contains("://") {
        return Err("does not begin with postgres://".to_owned());
    }
    // The parameters before the driver sees them: it logs those that it does not know.
    let query = text.split_once('?').map_or("", |(_, query)| query);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let key = pair.split_once('=').map_or(pair, |(key, _)| key);
        if !SHOWN.contains(&key) && !HIDDEN.contains(&key) && !key.starts_with("options[") {
            return Err("has a query parameter that the driver does not know".to_owned());
        }
    }
    // The driver's own words are left out: they could quote a part of the URL.
    text.parse::<PgConnectOptions>().map(|_| ()).map_err(|_| {
        "cannot be read by the driver (is a special character in the password percent-encoded, \
             and the port a number?)"
            .to_owned()
    })
}

impl Database {
    /// Where the database itself is, past a pooler.
    pub fn direct(&self) -> &DatabaseUrl {
        self.direct_url.as_ref().unwrap_or(&self.url)
    }
}

/// The URL of the SQLite file that serves when no other is named.
pub(super) fn in_folder(data_dir: &str) -> String {
    // The driver decodes percent signs and takes `?` for the start of its parameters.
    let folder = data_dir
        .trim_end_matches('/')
        .replace('%', "%25")
        .replace('?', "%3F");
    format!("sqlite://{folder}/convoke.db")
}
