//! Threads that a browser gave: workers which run this module on the same memory. Rust cannot start them, nor end them, so there
//! is one set of them, for all teams in turn: only the engine's own thread gives work.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::MOST_THREADS;
use super::pool::{Pool, Work};

static POOL: Pool = Pool::new();

static HELPERS: AtomicUsize = AtomicUsize::new(0);

/// From now on so many helpers are in [`help`] or about to be, by the indices from 1.
pub fn use_helpers(count: usize) {
    assert!(count < MOST_THREADS, "{count} helpers; expected fewer than {MOST_THREADS}");
    HELPERS.store(count, Ordering::Relaxed);
}

/// Threads that there are, the engine's own among them.
pub fn threads() -> usize {
    1 + HELPERS.load(Ordering::Relaxed)
}

/// What a helper does for ever.
pub fn help(index: usize) {
    POOL.serve(index);
}

/// A helper trapped: whoever waits for it traps too.
pub fn helper_broke_down() {
    POOL.break_down();
}

/// The helpers, all of them: a round is one for all.
pub struct Workers(usize);

impl Workers {
    /// Those that are there, if any are wanted.
    pub fn start(count: usize) -> Option<Workers> {
        let helpers = threads() - 1;
        (count > 0 && helpers > 0).then_some(Workers(helpers))
    }

    /// Threads besides the engine's own.
    pub fn count(&self) -> usize {
        self.0
    }

    /// Calls `work` with 0 on this thread and with other indices on those that have a processor; see [`Pool::run`].
    pub fn run(&self, work: &Work) {
        POOL.run(work);
    }
}
