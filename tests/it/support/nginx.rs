//! A real nginx before the service, with the parts of `deploy/nginx.conf` that speak to it: what is tested is what is advised.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::polling::eventually;
use super::postgres::free_port;

const START_LIMIT: Duration = Duration::from_secs(30);
const CONFIGURATION: &str = include_str!("../../../deploy/nginx.conf");

/// A running nginx. Dropping it kills and reaps the process, which has no children.
#[derive(Debug)]
pub(crate) struct Nginx {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Nginx {
    /// Starts one before these replicas (`address:port`); `extra` are further directives of its server.
    pub(crate) async fn before(replicas: &[String], extra: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let address = format!("127.0.0.1:{}", free_port());
        let mut text =
            "daemon off;\nmaster_process off;\npid pid;\nerror_log error.log;\nevents {}\nhttp {\n"
                .to_owned();
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            let _ = writeln!(text, "{kind}_temp_path {kind};");
        }
        let _ = writeln!(
            text,
            "access_log off;\n{}\nserver {{\nlisten {address};\n{extra}\n{}\n}}\n}}",
            upstream(replicas),
            block("    location / {"),
        );
        let configuration = folder.path().join("nginx.conf");
        std::fs::write(&configuration, text).expect("written");
        // Debian keeps it where only root's PATH looks.
        let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"]
            .into_iter()
            .find(|path| std::path::Path::new(path).exists())
            .unwrap_or("nginx");
        let child = Command::new(program)
            .args(["-e", "error.log", "-p"])
            .arg(folder.path())
            .arg("-c")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("nginx is missing; on Debian: apt-get install nginx-light");
        let nginx = Self {
            child,
            address,
            _folder: folder,
        };
        eventually("nginx listens", START_LIMIT, || async {
            tokio::net::TcpStream::connect(&nginx.address).await.ok()
        })
        .await;
        nginx
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The shipped block that opens with this line, to the brace that closes it.
fn block(opening: &str) -> String {
    let indent = opening.len() - opening.trim_start().len();
    let closing = format!("{}}}", " ".repeat(indent));
    let mut lines = CONFIGURATION.lines().skip_while(|line| *line != opening);
    let mut text = String::new();
    loop {
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("deploy/nginx.conf has no {opening:?}"));
        let _ = writeln!(text, "{line}");
        if line == closing {
            return text;
        }
    }
}

/// The shipped upstream, with its server's line for each replica.
fn upstream(replicas: &[String]) -> String {
    let shipped = block("upstream convoke {");
    let line = shipped
        .lines()
        .find(|line| line.trim().starts_with("server "))
        .expect("a server");
    let servers: Vec<String> = replicas
        .iter()
        .map(|address| line.replace("127.0.0.1:8080", address))
        .collect();
    shipped.replace(line, &servers.join("\n"))
}
