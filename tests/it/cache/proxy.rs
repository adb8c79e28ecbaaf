//! A TCP proxy that can be told to forward nothing more, as a network that is cut does.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy before one address; it ends with the test's runtime.
pub(super) struct Proxy {
    pub(super) port: u16,
    cut: Arc<watch::Sender<bool>>,
}

impl Proxy {
    pub(super) async fn before(address: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let cut = Arc::new(watch::Sender::new(false));
        let watched = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&address).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(forward(from_client, to_server, watched.subscribe()));
                tokio::spawn(forward(from_server, to_client, watched.subscribe()));
            }
        });
        Self { port, cut }
    }

    /// Forwards nothing from now on, and closes nothing.
    pub(super) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Forwards again, what waited included.
    pub(super) fn mend(&self) {
        self.cut.send_replace(false);
    }
}

async fn forward(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut cut: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        let open = cut.wait_for(|cut| !cut).await.is_ok();
        if count == 0 || !open || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
