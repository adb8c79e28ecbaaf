//! What systemd is told of the service (`Type=notify`, `WatchdogSec=`): `sd_notify` is one datagram of text to a socket that
//! `NOTIFY_SOCKET` names, so no crate is needed.

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::lifecycle::Lifecycle;

/// The way to the supervisor.
#[derive(Debug)]
pub(super) struct Supervisor {
    socket: UnixDatagram,
    to: SocketAddr,
    /// How often it wants a sign of life.
    watchdog: Option<Duration>,
}

/// The supervisor of this process, attended to until the end. One that cannot be told is none: it shall not stop the start.
pub(super) fn attend(lifecycle: &Lifecycle, until: &CancellationToken) -> Option<Arc<Supervisor>> {
    let found = Supervisor::of_process(crate::config::process_variable);
    let found = found.unwrap_or_else(|failure| {
        not_told(&failure);
        None
    });
    let supervisor = Arc::new(found?);
    let (attending, watched, until) = (supervisor.clone(), lifecycle.clone(), until.clone());
    lifecycle.spawn_unwatched("supervisor", async move {
        attending.attend(&watched, until).await;
    });
    Some(supervisor)
}

impl Supervisor {
    /// The one that started this process, if it wants to be told.
    ///
    /// # Errors
    /// When its address cannot be used.
    fn of_process(variable: impl Fn(&str) -> Option<String>) -> io::Result<Option<Self>> {
        let Some(name) = variable("NOTIFY_SOCKET") else {
            return Ok(None);
        };
        let socket = UnixDatagram::unbound()?;
        // A supervisor that does not read must not stop the service.
        socket.set_nonblocking(true)?;
        let to = address(&name)?;
        // Variables are inherited: the watchdog may be meant for a parent.
        let mine = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = variable("WATCHDOG_USEC")
            .filter(|_| mine)
            .and_then(|micros| micros.parse().ok())
            .filter(|micros| *micros > 0)
            .map(Duration::from_micros);
        Ok(Some(Self {
            socket,
            to,
            watchdog,
        }))
    }

    /// Requests are served from now on.
    pub(super) fn ready(&self, public: std::net::SocketAddr) {
        self.tell(&format!("READY=1\nSTATUS=Serving on {public}"));
    }

    /// Gives signs of life, twice as often as asked for, and tells of the shutdown. They come from a task, so a runtime
    /// whose threads are all blocked gives none.
    async fn attend(&self, lifecycle: &Lifecycle, until: CancellationToken) {
        let stopping = async {
            lifecycle.soft().cancelled().await;
            self.tell("STOPPING=1\nSTATUS=Finishing what was begun");
        };
        let alive = async {
            let Some(pause) = self.watchdog else { return };
            let mut ticks = tokio::time::interval(pause / 2);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                self.tell("WATCHDOG=1");
            }
        };
        until
            .run_until_cancelled(async { tokio::join!(stopping, alive) })
            .await;
    }

    fn tell(&self, state: &str) {
        if let Err(failure) = self.socket.send_to_addr(state.as_bytes(), &self.to) {
            not_told(&failure);
        }
    }
}

fn not_told(failure: &io::Error) {
    tracing::warn!(error = %failure, "the supervisor could not be told");
}

/// A path, or after `@` a name in Linux's abstract namespace.
fn address(name: &str) -> io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name)
        }
        _ => SocketAddr::from_pathname(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started_with(pairs: &[(&str, &str)]) -> Option<Supervisor> {
        let find = |name: &str| {
            let found = pairs.iter().find(|(one, _)| *one == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Supervisor::of_process(find).unwrap()
    }

    #[test]
    fn without_a_supervisor_nobody_is_told() {
        assert!(started_with(&[("WATCHDOG_USEC", "1000000")]).is_none());
    }

    #[test]
    fn another_process_watchdog_is_left_alone() {
        let socket = ("NOTIFY_SOCKET", "@convoke-nobody");
        let second = ("WATCHDOG_USEC", "1000000");
        let of = |pairs: &[(&str, &str)]| started_with(pairs).unwrap().watchdog;
        assert_eq!(of(&[socket, second]), Some(Duration::from_secs(1)));
        assert_eq!(of(&[socket, second, ("WATCHDOG_PID", "1")]), None);
        assert_eq!(of(&[socket, ("WATCHDOG_USEC", "0")]), None);
        assert_eq!(of(&[socket]), None);
    }
}
