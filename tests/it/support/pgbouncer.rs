//! A real PgBouncer in transaction mode, as unkind as it can be: each transaction goes to another server connection.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use super::polling::eventually;
use super::postgres::{free_port, is_root};

const START_LIMIT: Duration = Duration::from_secs(30);
/// Connections to the server; clients have more.
pub(crate) const SERVERS: usize = 4;

/// A running PgBouncer. Dropping it kills and reaps the process.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    child: Child,
    port: u16,
    database: String,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts one before the server of this URL.
    pub(crate) async fn before(url: &str) -> Self {
        let server: PgConnectOptions = url.parse().expect("a URL of PostgreSQL");
        let folder = TempDir::new().expect("a temporary folder");
        let port = free_port();
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = {SERVERS}\n\
             min_pool_size = {SERVERS}\nserver_round_robin = 1\nmax_client_conn = 300\n",
            server.get_port(),
        );
        let configuration = folder.path().join("pgbouncer.ini");
        std::fs::write(&configuration, text).expect("written");
        // Debian keeps it where only root's PATH looks; it refuses to run as root.
        let program = ["/usr/sbin/pgbouncer", "/usr/local/sbin/pgbouncer"]
            .into_iter()
            .find(|path| std::path::Path::new(path).exists())
            .unwrap_or("pgbouncer");
        let mut command = if is_root() {
            open_to_all(&folder);
            let mut command = Command::new("setpriv");
            let user = ["--reuid=postgres", "--regid=postgres", "--init-groups"];
            command.args(user).args(["--", program]);
            command
        } else {
            Command::new(program)
        };
        let child = command
            .arg("-q")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer is missing; on Debian: apt-get install pgbouncer");
        let database = server.get_database().expect("a database").to_owned();
        let pooler = Self {
            child,
            port,
            database,
            _folder: folder,
        };
        let options: PgConnectOptions = pooler.url().parse().expect("a URL");
        let options = options.extra_float_digits(None);
        eventually("PgBouncer leads to the server", START_LIMIT, || async {
            options.connect().await.ok()
        })
        .await;
        pooler
    }

    /// The database's URL through it.
    pub(crate) fn url(&self) -> String {
        let Self { port, database, .. } = self;
        format!("postgres://postgres@127.0.0.1:{port}/{database}")
    }
}

/// The other user must read the configuration.
fn open_to_all(folder: &TempDir) {
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("the folder is ours");
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
