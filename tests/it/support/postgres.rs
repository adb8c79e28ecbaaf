//! Throwaway PostgreSQL clusters: one shared by the whole test process, more for tests that stop theirs.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, Once};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

static SHARED: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(""));

/// A running cluster on a loopback port of its own. A small shell keeps it (`postgres_supervisor.sh`), tied
/// to this process by a pipe: when this process ends, by return, panic, exit or kill, the pipe closes, and
/// the shell stops the server and removes its folder. A `static` has no `Drop`, and `atexit` needs `unsafe`.
#[derive(Debug)]
pub(crate) struct Cluster {
    port: u16,
    shell: Mutex<Supervisor>,
    databases: AtomicUsize,
}

#[derive(Debug)]
struct Supervisor {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Cluster {
    /// The cluster that most tests share, each in a database of its own.
    pub(crate) fn shared() -> &'static Self {
        &SHARED
    }

    /// A cluster for one test alone; `extra_conf` are lines of `postgresql.conf`, for example
    /// `shared_preload_libraries = 'auto_explain'`. Durable as in production: `fsync` stays on.
    pub(crate) fn start(extra_conf: &str) -> Self {
        Self::start_of(extra_conf, None)
    }

    /// A streaming replica of this cluster.
    pub(crate) fn start_replica(&self) -> Self {
        Self::start_of("", Some(self.port))
    }

    fn start_of(extra_conf: &str, primary: Option<u16>) -> Self {
        let bin = server_binaries();
        print_version_once(&bin);
        // A free port may be taken between being found and being used: then take another.
        let mut refused = String::new();
        for _ in 0..5 {
            let port = free_port();
            let cluster = Self {
                port,
                shell: Mutex::new(Supervisor::spawn(&bin, port, extra_conf, primary)),
                databases: AtomicUsize::new(0),
            };
            match cluster.try_command("start") {
                Ok(_) => return cluster,
                Err(answer) => refused = answer,
            }
        }
        panic!("PostgreSQL does not start: {refused}");
    }

    /// The URL of a new, empty database.
    pub(crate) async fn create_database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres"))
            .await
            .expect("the throwaway cluster accepts connections");
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .expect("a database can be made");
        connection.close().await.ok();
        self.url(&name)
    }

    /// Stops the server as an operator would (`fast`); clients are cut off.
    pub(crate) fn stop(&self) {
        self.command("stop");
    }

    /// Starts it again, on the same port with the same data.
    pub(crate) fn start_again(&self) {
        self.command("start");
    }

    /// Kills the postmaster with SIGKILL, as the kernel does when memory runs out.
    pub(crate) fn kill(&self) {
        self.command("kill");
    }

    /// What the server has logged so far, for example the plans of `auto_explain`.
    pub(crate) fn log(&self) -> String {
        let answer = self.command("log");
        let path = answer.strip_prefix("ok ").expect("a path").to_owned();
        // The file is the other user's, and root may read it; whoever is not root owns it.
        std::fs::read_to_string(path).expect("the server's log is readable")
    }

    /// The URL of this database here.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    fn command(&self, command: &str) -> String {
        match self.try_command(command) {
            Ok(answer) => answer,
            Err(answer) => panic!("{command} PostgreSQL: {answer}"),
        }
    }

    fn try_command(&self, command: &str) -> Result<String, String> {
        let mut shell = self
            .shell
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let pipe = shell.commands.as_mut().expect("open until dropped");
        // A shell that is gone has said why on its way out; that line is still to be read.
        let _ = writeln!(pipe, "{command}").and_then(|()| pipe.flush());
        let mut answer = String::new();
        shell
            .answers
            .read_line(&mut answer)
            .expect("the supervisor answers");
        let answer = answer.trim().to_owned();
        if answer.starts_with("ok") {
            Ok(answer)
        } else {
            Err(answer)
        }
    }
}

impl Supervisor {
    fn spawn(bin: &Path, port: u16, extra_conf: &str, primary: Option<u16>) -> Self {
        let mut command = if is_root() {
            // PostgreSQL refuses to run as root; Debian's package makes this user.
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid=postgres",
                "--regid=postgres",
                "--init-groups",
                "--",
                "sh",
            ]);
            command
        } else {
            Command::new("sh")
        };
        let mut child = command
            .args([
                "-c",
                include_str!("postgres_supervisor.sh"),
                "postgres-supervisor",
            ])
            .arg(bin)
            .arg(port.to_string())
            .arg(primary.map_or_else(String::new, |port| port.to_string()))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell starts (as root: setpriv and the user postgres are needed)");
        let mut commands = child.stdin.take().expect("piped");
        let mut configuration = String::new();
        for line in extra_conf.lines() {
            let _ = writeln!(configuration, "{}", line.trim());
        }
        configuration.push_str("end\n");
        let _ = commands.write_all(configuration.as_bytes());
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self {
            child,
            commands: Some(commands),
            answers,
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.child.wait();
    }
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("bound").port()
}

pub(crate) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uid.is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
}

/// The newest server binaries of Debian's packages, else those beside `initdb` on the path.
fn server_binaries() -> PathBuf {
    let version = |bin: &PathBuf| {
        let name = bin
            .parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        name.and_then(|name| name.parse::<u32>().ok()).unwrap_or(0)
    };
    let packaged = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    packaged
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .max_by_key(version)
        .or_else(|| std::env::split_paths(&on_path).find(|bin| bin.join("initdb").exists()))
        .expect("PostgreSQL's server binaries are missing; on Debian: apt-get install postgresql")
}

/// Past the test harness's capture: whoever reads the run must see what it ran on.
fn print_version_once(bin: &Path) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let output = Command::new(bin.join("postgres")).arg("--version").output();
        let version = output.expect("postgres runs").stdout;
        let line = format!(
            "tests run on {}\n",
            String::from_utf8_lossy(&version).trim()
        );
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    });
}
