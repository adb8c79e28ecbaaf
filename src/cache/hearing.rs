//! What is known of the changes on other replicas at a moment: the part of the channel that look-ups ask.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::store::{Beginning, Generations, Subject};
use crate::telemetry::instruments::cache as instruments;

/// How old the last proof may be. With the time a request takes after its look-up, a second at the most.
pub(super) const PATIENCE: Duration = Duration::from_millis(700);

/// A clock that never goes back: time since some moment.
#[derive(Clone)]
pub(super) struct Ticks(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Ticks {
    pub(super) fn system() -> Self {
        let birth = Instant::now();
        Self::new(move || birth.elapsed())
    }

    pub(super) fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(super) fn now(&self) -> Duration {
        (self.0)()
    }
}

/// What an entry is kept under.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    pub(super) generation: u64,
    /// Every change is heard at present.
    pub(super) heard: bool,
    /// Since when, if the database can tell.
    pub(super) beginning: Option<Arc<Beginning>>,
}

struct Inner {
    generations: Arc<Generations>,
    ticks: Ticks,
    /// When the last word was sent that came back, in microseconds.
    proved: AtomicU64,
    heard: AtomicBool,
    beginning: RwLock<Option<Arc<Beginning>>>,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Hearing(Arc<Inner>);

impl std::fmt::Debug for Hearing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hearing")
    }
}

impl Hearing {
    pub(super) fn new(generations: Arc<Generations>, ticks: Ticks) -> Self {
        Self(Arc::new(Inner {
            generations,
            ticks,
            proved: AtomicU64::new(0),
            heard: AtomicBool::new(false),
            beginning: RwLock::default(),
        }))
    }

    pub(super) fn ticks(&self) -> &Ticks {
        &self.0.ticks
    }

    pub(super) fn generations(&self) -> &Generations {
        &self.0.generations
    }

    /// What an entry of this subject is looked up under now. What is read from now on may be kept under it.
    pub(super) fn stamp(&self, subject: Subject) -> Stamp {
        loop {
            let generation = self.0.generations.current(subject);
            let heard = self.is_heard();
            let beginning = if heard { self.beginning() } else { None };
            // All three of one moment: losing the channel moves the generation on before it is noted.
            if generation == self.0.generations.current(subject) {
                return Stamp {
                    generation,
                    heard,
                    beginning,
                };
            }
        }
    }

    /// Whether every change is heard, to within [`PATIENCE`]. Whoever finds that it no longer is forgets everything: nobody
    /// waits for a task that may itself be late.
    pub(super) fn is_heard(&self) -> bool {
        if !self.0.heard.load(Ordering::SeqCst) {
            return false;
        }
        let proved = Duration::from_micros(self.0.proved.load(Ordering::SeqCst));
        let current = self.0.ticks.now().saturating_sub(proved) <= PATIENCE;
        if !current {
            self.lose();
        }
        current
    }

    /// Everything on either side of the moment at which nothing is heard any more becomes doubtful: before it, so that nobody
    /// who sees that moment finds an entry that relied on hearing; after it, so that none is left that was kept meanwhile.
    pub(super) fn lose(&self) {
        self.0.generations.advance_all();
        if self.0.heard.swap(false, Ordering::SeqCst) {
            instruments::invalidated("channel", "everything");
        }
        self.0.generations.advance_all();
    }

    /// Every change that was committed before this moment has been heard.
    pub(super) fn prove(&self, sent: Duration) {
        let sent = u64::try_from(sent.as_micros()).unwrap_or(u64::MAX);
        self.0.proved.store(sent, Ordering::SeqCst);
        self.0.heard.store(true, Ordering::SeqCst);
    }

    /// From where on everything is heard. Only while nothing is taken as heard.
    pub(super) fn begin(&self, beginning: Option<Beginning>) {
        let kept = self.0.beginning.write();
        *kept.unwrap_or_else(PoisonError::into_inner) = beginning.map(Arc::new);
    }

    fn beginning(&self) -> Option<Arc<Beginning>> {
        let beginning = self.0.beginning.read();
        beginning.unwrap_or_else(PoisonError::into_inner).clone()
    }
}
