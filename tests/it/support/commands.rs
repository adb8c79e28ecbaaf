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
pub(crate) fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let settings: Vec<_> = settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let mut child = convoke(arguments, &settings)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let pid = child.id();
    let waiting = std::thread::spawn(move || {
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                if let Some(mut pipe) = pipe {
                    let _ = pipe.read_to_end(&mut bytes);
                }
                bytes
            })
        };
        let out = read(stdout.map(|pipe| Box::new(pipe) as _));
        let err = read(stderr.map(|pipe| Box::new(pipe) as _));
        let status = child.wait().expect("a child can be waited for");
        Output { status, stdout: out.join().expect("reads"), stderr: err.join().expect("reads") }
    });
    let what = format!("convoke {} (pid {pid}) ends", arguments.join(" "));
    eventually_blocking(&what, Duration::from_secs(30), || waiting.is_finished().then_some(()));
    waiting.join().expect("the waiting thread does not panic")
}
