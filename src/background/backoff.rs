//! Pauses between attempts that fail: bounded, growing, and partly left to chance.

use std::time::Duration;

/// How pauses grow.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The first pause at the most; each further one is up to twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
        }
    }
}

/// A series of pauses.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    bounds: Bounds,
    next: Duration,
}

impl Backoff {
    /// A series that begins with the first pause.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            next: bounds.first,
        }
    }

    /// The next pause: half of it fixed, half left to chance, so that replicas do not come back together.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next.min(self.bounds.longest);
        self.next = pause.saturating_mul(2);
        rand::random_range(pause / 2..=pause)
    }

    /// Begins again with the first pause.
    pub fn reset(&mut self) {
        self.next = self.bounds.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again_after_a_success() {
        let bounds = Bounds {
            first: Duration::from_millis(100),
            longest: Duration::from_millis(350),
        };
        let mut backoff = Backoff::new(bounds);
        for most in [100, 200, 350, 350] {
            let most = Duration::from_millis(most);
            let pause = backoff.pause();
            assert!(pause >= most / 2 && pause <= most, "{pause:?} of {most:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(100));
    }
}
