//! The way in: the command line and what each command needs of the rest.

mod backup;
mod copy;
mod doctor;
mod files;
mod health;
mod input;
mod migrate;
pub mod prepare;
mod progress;
mod serve;
mod shutdown;
mod user;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rustix::fs::Mode;
use rustix::process::umask;

use crate::config::{Config, Loaded, SettingsFile, Sources};
use crate::telemetry::{self, instruments, signals, traces};

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The revision it was built from; builds say it in `CONVOKE_REVISION`.
pub const REVISION: &str = match option_env!("CONVOKE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Convoke, a self-hosted event API that is observable first.
#[derive(Debug, Parser)]
#[command(name = "convoke", version)]
pub struct Cli {
    /// The settings file, instead of `./convoke.toml`; variables `CONVOKE_*` win over it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API (the default).
    Serve,
    /// Bring the database's schema up to date.
    Migrate,
    /// Make a backup, check one, or list them.
    Backup(backup::Backup),
    /// Put a backup back.
    Restore(backup::Restore),
    /// Copy the whole database into another one, on the same engine or the other.
    Copy(copy::Arguments),
    /// Check settings, database, clock, disk and network, and say what to do.
    Doctor,
    /// Ask the service that runs with these settings whether it lives; ends with 1 when it does not answer.
    Health {
        /// Ask whether it takes requests, database included.
        #[arg(long)]
        ready: bool,
    },
    /// Print the `OpenAPI` document.
    Openapi,
    /// Print the reference of all settings, or check those of this process.
    Settings {
        /// Check the settings and the standard variables of OpenTelemetry as `serve` would, and nothing else; ends with 2 on a
        /// fault.
        #[arg(long)]
        check: bool,
    },
    /// Print the reference of all metrics.
    Metrics {
        /// The form of the reference.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Print the reference of all spans and log lines.
    Signals {
        /// The form of the reference.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Look after uploaded files.
    #[command(subcommand)]
    Files(files::Command),
    /// Manage accounts.
    #[command(subcommand)]
    User(user::Command),
}

/// The form of a reference.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    /// For readers.
    #[default]
    Markdown,
    /// For tools.
    Json,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Settings cannot be used; every fault, one a line.
    #[error("{0}")]
    Settings(String),
    /// The runtime cannot be started.
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    /// Telemetry cannot be started.
    #[error(transparent)]
    Telemetry(#[from] telemetry::StartError),
    /// The output cannot be written.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    /// What was asked for did not happen, and why.
    #[error("{0}")]
    Command(String),
    /// What was asked for cannot be meant: nothing was done.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    /// 2 for what the operator has to set right first, else 1.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Settings(_) | Self::Refused(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

/// What is wrong with the standard variables of OpenTelemetry.
fn variables(faults: &[traces::Fault]) -> String {
    let count = if faults.len() == 1 {
        "1 variable".to_owned()
    } else {
        format!("{} variables", faults.len())
    };
    let listed: Vec<String> = faults
        .iter()
        .map(|(name, problem)| format!("  - {name}: {problem}"))
        .collect();
    format!("{count} cannot be used:\n{}", listed.join("\n"))
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What `stderr` is to be told. A failure of the running service is in its log instead.
    pub async fn run(self) -> Result<ExitCode, Failure> {
        // What it writes, the database and uploaded files above all, is nobody else's to read.
        let given = umask(Mode::RWXG | Mode::RWXO);
        umask(given | Mode::RWXG | Mode::RWXO);
        let sources = self.sources();
        match self.command.unwrap_or(Command::Serve) {
            Command::Serve => {
                let (loaded, traces) = settings(&sources)?;
                Box::pin(serve::run(loaded, traces)).await
            }
            Command::Migrate => migrate::run(&load(&sources)?).await,
            Command::Backup(command) => command.run(&load(&sources)?).await,
            Command::Restore(command) => command.run(&load(&sources)?).await,
            Command::Copy(arguments) => copy::run(arguments, &load(&sources)?).await,
            Command::Doctor => doctor::run(&sources).await,
            Command::Health { ready } => health::run(&sources, ready).await,
            Command::Openapi => print(&crate::api::openapi_json()),
            Command::Settings { check: true } => check_settings(&sources),
            Command::Settings { check: false } => print(&Config::reference_markdown()),
            Command::Metrics { format } => print(&match format {
                Format::Markdown => instruments::reference_markdown(),
                Format::Json => instruments::reference_json(),
            }),
            Command::Signals { format } => print(&match format {
                Format::Markdown => signals::reference_markdown(),
                Format::Json => signals::reference_json(),
            }),
            Command::Files(command) => files::run(command, &load(&sources)?).await,
            Command::User(command) => user::run(command, &load(&sources)?).await,
        }
    }

    fn sources(&self) -> Sources {
        let mut sources = Sources::from_process();
        if let Some(path) = &self.config {
            sources.file = SettingsFile::Path(path.clone());
        }
        sources
    }
}

/// The settings of the service and those of OpenTelemetry, or every fault of both at once.
fn settings(sources: &Sources) -> Result<(Loaded, traces::Options), Failure> {
    let traces = traces::Options::from_lookup(crate::config::process_variable);
    match (Config::load(sources), traces) {
        (Ok(loaded), Ok(traces)) => Ok((loaded, traces)),
        (Ok(_), Err(faults)) => Err(Failure::Settings(variables(&faults))),
        (Err(faults), Ok(_)) => Err(Failure::Settings(faults.to_string())),
        (Err(faults), Err(more)) => {
            Err(Failure::Settings(format!("{faults}\n{}", variables(&more))))
        }
    }
}

/// Tells whether the service would take the settings of this process.
fn check_settings(sources: &Sources) -> Result<ExitCode, Failure> {
    let (loaded, _) = settings(sources)?;
    for warning in &loaded.warnings {
        writeln!(std::io::stderr().lock(), "warning: {warning}")?;
    }
    let environment = loaded.config.server.env.as_str();
    let count = loaded.effective.len();
    print(&format!("{count} settings can be used, for {environment}"))
}

/// The settings for a command that ends by itself; what is doubtful in them is told on stderr.
fn load(sources: &Sources) -> Result<Config, Failure> {
    let Loaded {
        config, warnings, ..
    } = Config::load(sources).map_err(|faults| Failure::Settings(faults.to_string()))?;
    for warning in warnings {
        writeln!(std::io::stderr().lock(), "warning: {warning}")?;
    }
    Ok(config)
}

/// Prints a text on stdout, with one line break at its end.
fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default() {
        assert!(Cli::try_parse_from(["convoke"]).unwrap().command.is_none());
        let cli = Cli::try_parse_from([
            "convoke",
            "user",
            "promote",
            "ada@example.org",
            "--config",
            "x.toml",
        ])
        .unwrap();
        assert_eq!(cli.config, Some("x.toml".into()));
    }

    #[test]
    fn a_password_is_never_an_argument() {
        assert!(
            Cli::try_parse_from([
                "convoke",
                "user",
                "create",
                "a@b.c",
                "--name",
                "A",
                "--password",
                "x"
            ])
            .is_err()
        );
    }

    #[test]
    fn every_faulty_variable_is_told() {
        let faults = [
            ("OTEL_A", "is odd".to_owned()),
            ("OTEL_B", "is none".to_owned()),
        ];
        assert_eq!(
            variables(&faults),
            "2 variables cannot be used:\n  - OTEL_A: is odd\n  - OTEL_B: is none"
        );
    }
}
