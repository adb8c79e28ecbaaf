//! The binary's other commands, and `serve` where it is expected to refuse: run to their end.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::polling::eventually_blocking;

/// The binary under test.
pub(crate) const CONVOKE: &str = env!("CARGO_BIN_EXE_convoke");

/// The binary with these arguments and settings and nothing else from the caller's environment.
pub(crate) fn convoke(arguments: &[&str], settings: &[(String, String)]) -> Command {
    let mut command = Command::new(CONVOKE);
    command.args(arguments).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command
}

/// Runs it to its end, for at most 30 s.
pub(crate) fn run(arguments: &[&str], settings: &[(String, String)]) -> Output {
    run_within(Duration::from_secs(30), arguments, settings)
}

/// Runs it to its end, for at most as long as this.
pub(crate) fn run_within(
    limit: Duration,
    arguments: &[&str],
    settings: &[(String, String)],
) -> Output {
    let child = convoke(arguments, settings)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let what = format!("convoke {} (pid {}) ends", arguments.join(" "), child.id());
    // Both pipes are read while it runs, or a full one would stop it.
    let running = std::thread::spawn(move || child.wait_with_output());
    eventually_blocking(&what, limit, || running.is_finished().then_some(()));
    running
        .join()
        .expect("the thread does not panic")
        .expect("a child can be waited for")
}

/// Settings as the functions here take them.
pub(crate) fn settings(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}
