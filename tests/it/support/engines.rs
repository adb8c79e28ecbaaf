//! The two storage engines, and the macro that makes one test two.

use super::postgres::Cluster;

/// Where the service under test keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// The URL of an empty database; SQLite's lies in the service's own data folder.
    pub(crate) async fn fresh_database(self, data_dir: &std::path::Path) -> String {
        match self {
            Self::Sqlite => format!("sqlite://{}", data_dir.join("convoke.db").display()),
            Self::Postgres => Cluster::shared().create_database().await,
        }
    }
}

/// `on_both_engines! { async fn a_fact(engine: Engine) { … } }` becomes the tests `a_fact::sqlite` and
/// `a_fact::postgres`.
macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* async fn $name:ident($engine:ident: Engine) $body:block)+) => {$(
        mod $name {
            use super::*;
            use $crate::support::engines::Engine;

            async fn fact($engine: Engine) $body

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                Box::pin(fact(Engine::Sqlite)).await;
            }

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                Box::pin(fact(Engine::Postgres)).await;
            }
        }
    )+};
}
