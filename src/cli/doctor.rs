//! `convoke doctor`: looks at everything the service needs and says, line by line, what to do.

mod database;
mod safety;
mod stores;
mod surroundings;

use std::io::Write as _;
use std::process::ExitCode;

use super::Failure;
use crate::config::{Config, Loaded, Sources, process_variable};
use crate::telemetry::traces;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing to do.
    Fine,
    /// It works, and somebody should look.
    Doubtful,
    /// It does not work.
    Broken,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    name: &'static str,
    what: String,
    /// What to do; empty when there is nothing.
    advice: String,
}

impl Finding {
    fn fine(name: &'static str, what: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fine,
            name,
            what: what.into(),
            advice: String::new(),
        }
    }

    fn doubtful(name: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Doubtful,
            name,
            what: what.into(),
            advice: advice.into(),
        }
    }

    fn broken(name: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Broken,
            name,
            what: what.into(),
            advice: advice.into(),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = match self.verdict {
            Verdict::Fine => "ok  ",
            Verdict::Doubtful => "warn",
            Verdict::Broken => "FAIL",
        };
        write!(f, "{verdict} {}: {}", self.name, self.what)?;
        if self.advice.is_empty() {
            Ok(())
        } else {
            write!(f, " — {}", self.advice)
        }
    }
}

/// Prints every finding as it comes; ends with 1 when one is a failure.
pub(super) async fn run(sources: &Sources) -> Result<ExitCode, Failure> {
    let mut report = Report { failed: false };
    let loaded = report.settings(sources)?;
    let traces = report.variables()?;
    if let Some(loaded) = loaded {
        for finding in safety::check(&loaded, sources) {
            report.tell(&finding)?;
        }
        let config = loaded.config;
        for finding in database::check(&config).await {
            report.tell(&finding)?;
        }
        if let Some(url) = &config.redis.url {
            report.tell(&surroundings::redis(url, config.redis.timeout).await)?;
        }
        report.tell(&surroundings::data_folder(&config.server.data_dir))?;
        for finding in stores::check(&config).await {
            report.tell(&finding)?;
        }
        for (name, variable, address) in [
            ("listen", "CONVOKE_LISTEN", config.server.listen),
            ("ops_listen", "CONVOKE_OPS_LISTEN", config.server.ops_listen),
        ] {
            report.tell(&surroundings::port(name, variable, address))?;
        }
    }
    match traces.map(|traces| traces.otlp) {
        Some(Some(otlp)) => report.tell(&surroundings::collector(&otlp.endpoint).await)?,
        Some(None) => report.tell(&Finding::fine("otlp", "no exporter is asked for"))?,
        // Its settings cannot be read; that was told.
        None => {}
    }
    Ok(if report.failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

struct Report {
    failed: bool,
}

impl Report {
    fn tell(&mut self, finding: &Finding) -> std::io::Result<()> {
        self.failed |= finding.verdict == Verdict::Broken;
        writeln!(std::io::stdout().lock(), "{finding}")
    }

    fn settings(&mut self, sources: &Sources) -> std::io::Result<Option<Loaded>> {
        let (loaded, warnings) = match Config::load(sources) {
            Ok(loaded) => {
                self.tell(&Finding::fine(
                    "settings",
                    format!("read, for {}", loaded.config.server.env.as_str()),
                ))?;
                let warnings = loaded.warnings.clone();
                (Some(loaded), warnings)
            }
            Err(faults) => {
                for fault in &faults.faults {
                    let what = format!("{} ({}): {}", fault.setting, fault.source, fault.problem);
                    self.tell(&Finding::broken(
                        "settings",
                        what,
                        format!("accepted: {}", fault.accepted),
                    ))?;
                }
                (None, faults.warnings)
            }
        };
        for warning in warnings {
            self.tell(&Finding::doubtful("settings", warning, ""))?;
        }
        Ok(loaded)
    }

    fn variables(&mut self) -> std::io::Result<Option<traces::Options>> {
        match traces::Options::from_lookup(process_variable) {
            Ok(traces) => Ok(Some(traces)),
            Err(faults) => {
                for (name, problem) in faults {
                    self.tell(&Finding::broken(
                        "settings",
                        format!("{name}: {problem}"),
                        "correct or unset it",
                    ))?;
                }
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_with_what_to_do_at_its_end() {
        assert_eq!(
            Finding::fine("disk", "plenty").to_string(),
            "ok   disk: plenty"
        );
        assert_eq!(
            Finding::broken("disk", "full", "make room").to_string(),
            "FAIL disk: full — make room"
        );
    }
}
