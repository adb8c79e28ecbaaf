//! `convoke user …`: accounts, by the operator.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::{Failure, input, prepare};
use crate::api::passwords::{HashError, Passwords};
use crate::config::Config;
use crate::domain::fault::Faults;
use crate::domain::text;
use crate::domain::user::{PASSWORD_MAX, PASSWORD_MIN, Role, User, check_profile};
use crate::store::{Error, NewUser, Refusal, Store, chain};

/// Longest wait for the database: a person sits before it.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an account; the password is read from standard input.
    Create {
        /// Its e-mail address, by which it logs in.
        email: String,
        /// The name that others see.
        #[arg(long)]
        name: String,
        /// Let it read and write everything.
        #[arg(long)]
        admin: bool,
        /// Its time zone, by IANA name.
        #[arg(long, value_name = "ZONE", default_value = "UTC")]
        time_zone: String,
    },
    /// Let an account read and write everything.
    Promote {
        /// Its e-mail address.
        email: String,
    },
    /// Stop an account from logging in, and end its sessions.
    Disable {
        /// Its e-mail address.
        email: String,
    },
    /// Let a disabled account log in again.
    Enable {
        /// Its e-mail address.
        email: String,
    },
}

pub(super) async fn run(command: Command, config: &Config) -> Result<ExitCode, Failure> {
    // Before the database is asked for anything: a person may be slow to type.
    let new = match &command {
        Command::Create {
            email,
            name,
            admin,
            time_zone,
        } => Some(new_user(config, email, name, *admin, time_zone).await?),
        _ => None,
    };
    let store = prepare::open_store_within(config, LIMIT).await;
    let store = store.map_err(|failure| {
        Failure::Command(format!(
            "the database cannot be opened: {}",
            chain(&failure)
        ))
    })?;
    let done = execute(&store, &command, new.as_ref()).await;
    store.close().await;
    let (user, done) = done?;
    writeln!(
        std::io::stdout().lock(),
        "{} {done} ({})",
        user.email,
        user.id
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn execute(
    store: &Store,
    command: &Command,
    new: Option<&NewUser>,
) -> Result<(User, &'static str), Failure> {
    let (email, result, done) = match (command, new) {
        (Command::Create { email, .. }, Some(new)) => {
            (email, store.create_user(new).await, "was created")
        }
        (Command::Promote { email } | Command::Create { email, .. }, _) => (
            email,
            store.administer_user(email, Some(Role::Admin), None).await,
            "is an administrator now",
        ),
        (Command::Disable { email }, _) => (
            email,
            store.administer_user(email, None, Some(true)).await,
            "is disabled",
        ),
        (Command::Enable { email }, _) => (
            email,
            store.administer_user(email, None, Some(false)).await,
            "is enabled",
        ),
    };
    let user = result.map_err(|failure| {
        Failure::Command(match failure {
            Error::NotFound => format!("no account has the address {email}"),
            Error::Refused(Refusal::EmailTaken) => {
                format!("an account with the address {email} exists already")
            }
            failure => format!(
                "{}; is the schema up to date (`convoke migrate`)?",
                chain(&failure)
            ),
        })
    })?;
    Ok((user, done))
}

async fn new_user(
    config: &Config,
    email: &str,
    name: &str,
    admin: bool,
    time_zone: &str,
) -> Result<NewUser, Failure> {
    let mut faults = Faults::default();
    text::email(&mut faults, "EMAIL", email);
    check_profile(&mut faults, name, time_zone);
    told(faults)?;
    let password = input::password("Password: ")?;
    let mut faults = Faults::default();
    let length = password.chars().count();
    if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&length) {
        faults.add(
            "password",
            "length",
            format!("{PASSWORD_MIN} to {PASSWORD_MAX} characters"),
        );
    }
    told(faults)?;
    let failed = |failure: HashError| Failure::Command(failure.to_string());
    let passwords = Passwords::new(&config.auth).map_err(failed)?;
    let password_hash = passwords.hash(password).await.map_err(failed)?;
    Ok(NewUser {
        email: email.to_owned(),
        display_name: name.to_owned(),
        time_zone: time_zone.to_owned(),
        password_hash,
        role: if admin { Role::Admin } else { Role::User },
    })
}

/// Every fault at once.
fn told(faults: Faults) -> Result<(), Failure> {
    let line = |fault: &crate::domain::fault::Fault| {
        let field = match fault.pointer.trim_start_matches('/') {
            "display_name" => "--name",
            "time_zone" => "--time-zone",
            field => field,
        };
        format!("{field} must be {}", fault.detail)
    };
    faults
        .or(())
        .map_err(|faults| Failure::Command(faults.iter().map(line).collect::<Vec<_>>().join("; ")))
}
