//! Convoke's binary: reads the command line, runs the command, and says in its exit code how that went.

use std::process::ExitCode;

use clap::Parser as _;
use convoke::cli::{Cli, Failure};

// glibc's takes a fifth of a small request's time, and keeps what a burst of password hashes has used.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Ends with 0 when all went well, 1 when the command failed, and 2 when the command line or a setting is wrong.
fn main() -> ExitCode {
    // clap answers a faulty command line itself, with code 2.
    match try_main(Cli::parse()) {
        Ok(code) => code,
        Err(failure) => {
            // Telemetry has ended, or has never begun: this is the only place left to say it.
            eprintln!("convoke: {failure}");
            failure.exit_code()
        }
    }
}

fn try_main(cli: Cli) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let result = runtime.block_on(cli.run());
    // What still runs was asked to end and had its time; a blocking call that hangs does not keep the process.
    runtime.shutdown_background();
    result
}
