//! `convoke serve`: the composition root. Each part is given what it needs, in the order in which it is needed.

mod priming;
mod readiness;
mod supervisor;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use axum::Router;
use futures_util::FutureExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::readiness::Readiness;
use super::shutdown::{self, Running};
use super::{Failure, REVISION, VERSION, backup, migrate, prepare};
use crate::api::{self, Api};
use crate::background;
use crate::backup::Progress;
use crate::config::{Config, Environment, Loaded, LogFormat};
use crate::lifecycle::{Lifecycle, panic_text};
use crate::listener::{self, Drained, Limits, Listener};
use crate::ops::debug::DebugState;
use crate::ops::{self, About, Console, OpsState, VersionInfo};
use crate::storage::Storage;
use crate::store::{Store, chain};
use crate::telemetry::in_flight::InFlight;
use crate::telemetry::{self, Guard, instruments, traces};

/// Connections at once on the ops listener: Prometheus, probes and a person or two.
const OPS_CONNECTIONS: usize = 64;
/// Time for a client that has stopped reading its answer; over the ops listener less, for it has few places.
const STALL: Duration = Duration::from_secs(30);
const OPS_STALL: Duration = Duration::from_secs(5);
/// Time for the ops listener's last answers at the very end.
const OPS_DRAIN: Duration = Duration::from_secs(1);
/// Time for the first request of a connection that was made just before the listener closed.
const LINGER: Duration = Duration::from_millis(500);

/// Half a database would look like a whole one to whoever asks it.
const UNFINISHED_COPY: &str = "the database is a copy that has not been finished and verified; run the same `convoke copy` again";

/// Runs the service until it is asked to stop.
pub(super) async fn run(loaded: Loaded, traces: traces::Options) -> Result<ExitCode, Failure> {
    let shown = ops::debug::describe(&loaded, &traces, crate::config::process_variable);
    let Loaded {
        config, warnings, ..
    } = loaded;
    let instance = crate::domain::new_id().to_string();
    let guard = telemetry::start(telemetry_options(&config, traces, &instance))?;
    let upkeep = guard.exposition().keep_up();
    upkeep.map_err(telemetry::StartError::Thread)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    // The log and the last spans go out whatever happens, a panic of ours included.
    let served = AssertUnwindSafe(serve(&config, &guard, instance, shown))
        .catch_unwind()
        .await;
    let code = match served {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(reason)) => {
            tracing::error!(error = reason, "the service cannot go on");
            ExitCode::FAILURE
        }
        Err(panic) => {
            instruments::process::panicked();
            tracing::error!(panic = panic_text(panic.as_ref()), "the service panicked");
            ExitCode::FAILURE
        }
    };
    guard.shutdown(config.shutdown.telemetry_timeout).await;
    Ok(code)
}

fn telemetry_options(
    config: &Config,
    traces: traces::Options,
    instance: &str,
) -> telemetry::Options {
    telemetry::Options {
        log_filter: config.log.filter.as_str().to_owned(),
        log_format: match config.log.format {
            LogFormat::Json => telemetry::LogFormat::Json,
            LogFormat::Pretty => telemetry::LogFormat::Pretty,
        },
        environment: config.server.env.as_str().to_owned(),
        service_version: VERSION,
        revision: REVISION,
        instance: instance.to_owned(),
        traces,
    }
}

/// Starts everything, waits for the signal, and stops everything. The error is the reason in words, with its causes.
async fn serve(
    config: &Config,
    guard: &Guard,
    instance: String,
    shown: serde_json::Value,
) -> Result<(), String> {
    let lifecycle = Lifecycle::new();
    lifecycle
        .watch_signals()
        .map_err(|failure| format!("signals cannot be handled: {failure}"))?;
    priming::prime(config);
    tracing::info!(
        version = VERSION,
        revision = REVISION,
        environment = config.server.env.as_str(),
        "starting"
    );

    let readiness = Readiness::new(lifecycle.clone());
    let ops_closing = CancellationToken::new();
    // Both go on to the very end: an outage or a full disk at the shutdown is worth seeing.
    let checks = readiness.clone().observe_always(ops_closing.clone());
    lifecycle.spawn_unwatched("readiness checks", checks);
    let (folder, until) = (config.server.data_dir.clone(), ops_closing.clone());
    lifecycle.spawn_unwatched("disk gauges", async move {
        until
            .run_until_cancelled(background::disk::observe_always(folder))
            .await;
    });
    let supervisor = supervisor::attend(&lifecycle, &ops_closing);
    let ops = bind("ops", config.server.ops_listen).await?;
    let in_flight = InFlight::default();
    let debug = DebugState::new(lifecycle.clone(), in_flight.clone(), shown);
    let state = ops_state(config, guard, &readiness, instance, debug);
    let console = state.console.clone();
    lifecycle.spawn_unwatched("console", console.run(readiness.clone().into_last()));
    let ops = listen(
        ops,
        "ops",
        ops::router(state),
        ops_limits(config),
        &ops_closing,
        &lifecycle,
    );

    let started = tokio::select! {
        biased;
        () = lifecycle.wait_for_signal() => None,
        started = start(config, &lifecycle, &readiness, in_flight) => Some(started?),
    };
    let Some((store, public)) = started else {
        tracing::info!(step = "stopped_while_starting", "shutdown");
        return Ok(());
    };
    if let Some(supervisor) = supervisor {
        supervisor.ready(public.address);
    }
    if config.server.env == Environment::Development {
        where_to_look(public.address, ops.address);
    }

    lifecycle.wait_for_signal().await;
    let running = Running {
        store,
        public: public.drained,
        ops: ops.drained,
        ops_closing,
    };
    shutdown::run(running, &config.shutdown, &lifecycle).await;
    Ok(())
}

/// The database, what runs beside requests, and the public listener.
async fn start(
    config: &Config,
    lifecycle: &Lifecycle,
    readiness: &Readiness,
    in_flight: InFlight,
) -> Result<(Store, Listening), String> {
    let store = prepare::open_store(config, lifecycle).await;
    let store =
        store.map_err(|failure| format!("the database cannot be opened: {}", chain(&failure)))?;
    if config.database.migrate_on_start {
        let began = Instant::now();
        let (before, after) = migrate::migrate(&store).await.map_err(|failure| {
            format!(
                "the schema cannot be brought up to date: {}",
                chain(&failure)
            )
        })?;
        if before.applied != after.applied {
            let seconds = began.elapsed().as_secs_f64();
            tracing::info!(
                from = before.applied,
                to = after.applied,
                seconds,
                "the schema is up to date"
            );
        }
    }
    match store.is_unfinished_copy().await {
        Ok(false) => {}
        Ok(true) => return Err(UNFINISHED_COPY.to_owned()),
        Err(failure) => return Err(format!("the database cannot be read: {}", chain(&failure))),
    }
    // Bound only now: until somebody accepts, a client is better refused than left waiting.
    let public = bind("public", config.server.listen).await?;
    let storage = Storage::open(config)
        .map_err(|failure| format!("the store of files cannot be set up: {failure}"))?;
    let looking = storage.clone();
    // Beside the start, which does not wait for it: everything but files works without.
    lifecycle.spawn_unwatched("storage check", async move {
        if let Err(failure) = looking.reach().await {
            tracing::warn!(location = looking.shown(), error = %failure, "the store of files cannot be reached");
        }
    });
    let backup = backup::context(config, None, Progress::silent());
    let options = background::Options::from_config(config, backup);
    // Before it is ready, so that no scrape of a ready service lacks them.
    background::backups::observe(&store).await;
    background::start(&store, &storage, options, lifecycle);
    readiness.opened(store.clone());
    let api = Api::new(config, store.clone(), storage, lifecycle, in_flight);
    let api = api.map_err(|failure| format!("the API cannot be set up: {failure}"))?;
    let (gauges, closing) = (api.clone(), lifecycle.closing().clone());
    lifecycle.spawn("api gauges", async move {
        closing.run_until_cancelled(gauges.observe_always()).await;
    });
    let public = listen(
        public,
        "public",
        api::router(api),
        public_limits(config),
        lifecycle.closing(),
        lifecycle,
    );
    lifecycle.set_ready();
    readiness.changed();
    Ok((store, public))
}

/// A listener at work.
struct Listening {
    address: SocketAddr,
    drained: oneshot::Receiver<Drained>,
}

async fn bind(
    name: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), String> {
    let failed = |failure| format!("the {name} listener cannot take {address}: {failure}");
    let socket = TcpListener::bind(address).await.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok((socket, address))
}

fn listen(
    (socket, address): (TcpListener, SocketAddr),
    name: &'static str,
    router: Router,
    limits: Limits,
    closing: &CancellationToken,
    lifecycle: &Lifecycle,
) -> Listening {
    let listener = Listener {
        name,
        socket,
        limits,
        closing: closing.clone(),
        counted: name == "public",
    };
    let (tell, drained) = oneshot::channel();
    let serving = lifecycle.clone();
    lifecycle.spawn_unwatched(name, async move {
        let result = listener::serve(listener, router, &serving).await;
        // Nobody listens when the start was broken off.
        let _ = tell.send(result);
    });
    tracing::info!(listener = name, address = %address, "listening");
    Listening { address, drained }
}

fn public_limits(config: &Config) -> Limits {
    Limits {
        max_connections: config.limits.max_connections,
        header_read_timeout: config.limits.header_read_timeout,
        stall_timeout: STALL,
        drain_timeout: config.shutdown.timeout,
        linger: LINGER,
    }
}

fn ops_limits(config: &Config) -> Limits {
    Limits {
        max_connections: OPS_CONNECTIONS,
        header_read_timeout: config.limits.header_read_timeout,
        stall_timeout: OPS_STALL,
        drain_timeout: OPS_DRAIN,
        linger: Duration::ZERO,
    }
}

fn ops_state(
    config: &Config,
    guard: &Guard,
    readiness: &Readiness,
    instance: String,
    debug: DebugState,
) -> OpsState {
    let version = VersionInfo {
        version: VERSION,
        revision: REVISION,
        rust_version: env!("CARGO_PKG_RUST_VERSION"),
    };
    let about = About {
        version: version.clone(),
        environment: config.server.env.as_str(),
        instance,
        settings: worth_knowing(config),
        max_in_flight: config.limits.max_in_flight,
    };
    OpsState {
        exposition: guard.exposition(),
        console: Console::new(about, guard.log_control()),
        log_control: guard.log_control(),
        readiness: readiness.clone().into_check(),
        version,
        debug,
        hosts: config
            .server
            .ops_hosts
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect(),
    }
}

/// Settings that whoever is paged wants to see beside the figures. Never an address of a dependency, and no secret.
fn worth_knowing(config: &Config) -> Vec<(&'static str, String)> {
    let (limits, database, outbox) = (&config.limits, &config.database, &config.outbox);
    let engine = database.url.engine();
    let connections = match engine {
        crate::config::Engine::Postgres => database.max_connections,
        crate::config::Engine::Sqlite => config.sqlite.readers,
    };
    let rate_limit = if config.rate_limit.enabled {
        "on"
    } else {
        "off"
    };
    vec![
        ("database", engine.as_str().to_owned()),
        ("connections at most", connections.to_string()),
        (
            "statement timeout",
            format!("{:?}", database.statement_timeout),
        ),
        ("request timeout", format!("{:?}", limits.request_timeout)),
        (
            "requests in flight at most",
            limits.max_in_flight.to_string(),
        ),
        ("rate limit", rate_limit.to_owned()),
        ("delivery attempts", outbox.max_attempts.to_string()),
        ("outbox lease", format!("{:?}", outbox.lease)),
    ]
}

/// For whoever has just started it on a laptop.
fn where_to_look(public: SocketAddr, ops: SocketAddr) {
    let base = url(public);
    tracing::info!("API      {base}/api/v1");
    tracing::info!("Docs     {base}/docs/");
    tracing::info!("Console  {}/", url(ops));
    tracing::info!("Metrics  {}/metrics", url(ops));
}

/// A URL that opens on this machine, also when the listener takes every address.
fn url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    format!("http://{address}")
}
