//! How this replica hears of changes, and knows that it does.
//!
//! A [`Listener`] sends itself a word several times a second. PostgreSQL hands words on in the order of the commits, so when
//! one that was sent at a moment comes back, every change committed before that moment has been heard. Entries that rely on it
//! serve only while the last such moment is less than [`super::hearing::PATIENCE`] ago: by this process's own clock, with no other's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout_at};

use super::hearing::Hearing;
use crate::background::backoff::{Backoff, Bounds};
use crate::config::Secret;
use crate::store::{Beginning, Error, Heard, Listener, Store, Word, chain};
use crate::telemetry::instruments::cache as instruments;

/// Between the words that prove the channel.
const EVERY: Duration = Duration::from_millis(250);
/// Time for a word to come back.
const ECHO: Duration = Duration::from_secs(2);
/// Words that are said by the way of the writes before it is taken as leading elsewhere.
const TRIES: u64 = 3;
/// Time for each of them.
const TRY: Duration = Duration::from_secs(1);

/// Why nothing is heard.
#[derive(Debug, thiserror::Error)]
enum Deaf {
    #[error(transparent)]
    Failed(#[from] Error),
    #[error(
        "what database.url says is not heard: a pooler in transaction mode, or another database, is in between; \
         set CONVOKE_DATABASE_DIRECT_URL"
    )]
    Elsewhere,
    #[error("a word did not come back in time")]
    Late,
}

/// The connection that listens, kept up. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    store: Store,
    hearing: Hearing,
    /// Where to listen; none where nobody else writes, or nobody wants to.
    url: Option<Arc<Secret>>,
    stopped: Arc<AtomicBool>,
}

impl Channel {
    pub(super) fn new(store: Store, hearing: Hearing, url: Option<Secret>) -> Self {
        Self {
            store,
            hearing,
            url: url.map(Arc::new),
            stopped: Arc::default(),
        }
    }

    /// Whether there is anything to hear.
    pub(super) fn listens(&self) -> bool {
        self.url.is_some()
    }

    /// Nothing is heard from now on, as intended.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.hearing.lose();
        self.observe();
    }

    /// Sets the gauge.
    pub(super) fn observe(&self) {
        let state = if !self.listens() || self.stopped.load(Ordering::SeqCst) {
            "off"
        } else if self.hearing.is_heard() {
            "heard"
        } else {
            "lost"
        };
        instruments::channel_state(state);
    }

    /// Listens, and listens again, for as long as it is polled.
    pub(super) async fn run(&self) {
        let Some(url) = &self.url else { return };
        let mut backoff = Backoff::new(Bounds::default());
        let mut since: Option<Instant> = None;
        loop {
            let failure = self.listen(url.expose(), &mut since, &mut backoff).await;
            self.hearing.lose();
            self.observe();
            if since.is_none() {
                since = Some(Instant::now());
                tracing::warn!(error = %chain(&failure), "changes on other replicas are not heard; what is cached serves a second at the most");
            }
            sleep(backoff.pause()).await;
        }
    }

    /// Listens until that fails.
    async fn listen(&self, url: &str, since: &mut Option<Instant>, backoff: &mut Backoff) -> Deaf {
        let mut listener = match Listener::open(url).await {
            Ok(listener) => listener,
            Err(failure) => return Deaf::Failed(failure),
        };
        let failure = match self.begin_hearing(&mut listener).await {
            Ok(()) => {
                let mut number = 0;
                loop {
                    number += 1;
                    if let Err(failure) = self.turn(&mut listener, number).await {
                        break failure;
                    }
                    if let Some(lost) = since.take() {
                        backoff.reset();
                        let seconds = lost.elapsed().as_secs_f64();
                        tracing::info!(seconds, "changes on other replicas are heard again");
                    }
                }
            }
            Err(failure) => failure,
        };
        // Before the connection: whoever looks up meanwhile must not rely on it.
        self.hearing.lose();
        listener.close().await;
        failure
    }

    /// Finds out from where on everything is heard, and that it is.
    async fn begin_hearing(&self, listener: &mut Listener) -> Result<(), Deaf> {
        self.hearing.lose();
        self.hearing.begin(beginning(listener).await?);
        // By the way that writes take, while this connection does nothing: a pooler in transaction mode passes on to it only
        // what comes while it asks for something.
        for number in (u64::MAX - TRIES)..u64::MAX {
            let channel = listener.own_channel().to_owned();
            self.store.say(&channel, &number.to_string()).await?;
            if self.comes_back(number, listener, TRY).await? {
                return Ok(());
            }
        }
        Err(Deaf::Elsewhere)
    }

    /// Sends a word, waits for it to come back, and hears what comes until it is time for the next.
    async fn turn(&self, listener: &mut Listener, number: u64) -> Result<(), Deaf> {
        let (sent, began) = (self.hearing.ticks().now(), tokio::time::Instant::now());
        listener.probe(number).await?;
        if !self.comes_back(number, listener, ECHO).await? {
            return Err(Deaf::Late);
        }
        let was_heard = self.hearing.is_heard();
        self.hearing.prove(sent);
        instruments::channel_lag(began.elapsed());
        if !was_heard {
            self.observe();
        }
        let next = began + EVERY;
        while self.echo(listener, next).await?.is_some() {}
        Ok(())
    }

    async fn comes_back(
        &self,
        number: u64,
        listener: &mut Listener,
        limit: Duration,
    ) -> Result<bool, Deaf> {
        let until = tokio::time::Instant::now() + limit;
        while let Some(word) = self.echo(listener, until).await? {
            if word == number {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next word of our own; hears of the changes before it. None when it does not come in time.
    async fn echo(
        &self,
        listener: &mut Listener,
        until: tokio::time::Instant,
    ) -> Result<Option<u64>, Deaf> {
        loop {
            let Ok(word) = timeout_at(until, listener.next()).await else {
                return Ok(None);
            };
            match word? {
                Word::Echo(number) => return Ok(Some(number)),
                Word::Heard(heard) => self.hear(heard, listener).await?,
            }
        }
    }

    async fn hear(&self, heard: Heard, listener: &mut Listener) -> Result<(), Deaf> {
        match heard {
            Heard::Changed(subject, transaction) => {
                self.hearing.generations().changed(subject, transaction);
                instruments::invalidated("channel", "entry");
            }
            Heard::Unreadable => {
                instruments::invalidated("channel", "unreadable");
                self.hearing.lose();
                // Whatever changed, it did before this.
                self.hearing.begin(beginning(listener).await?);
            }
        }
        Ok(())
    }
}

/// From where on everything is heard; none if what speaks PostgreSQL's protocol there cannot say, and then nothing is shared.
async fn beginning(listener: &mut Listener) -> Result<Option<Beginning>, Error> {
    match listener.beginning().await {
        Ok(beginning) => Ok(Some(beginning)),
        Err(Error::Database(failure)) => {
            tracing::warn!(error = %chain(&failure), "the database does not tell where it stands; nothing is shared in Redis");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}
