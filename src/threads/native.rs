//! Threads of the operating system, started with a team and ended with it.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::pool::{Pool, Work};

/// Threads that wait for work.
pub struct Workers {
    pool: Arc<Pool>,
    handles: Vec<JoinHandle<()>>,
}

impl Workers {
    /// So many threads besides the calling one, if any.
    pub fn start(count: usize) -> Option<Workers> {
        let pool = Arc::new(Pool::new());
        let handles = (1..=count).map(|index| {
            let pool = pool.clone();
            thread::spawn(move || pool.serve(index))
        });
        let workers = Workers { handles: handles.collect(), pool };
        (count > 0).then_some(workers)
    }

    /// Threads besides the calling one.
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    /// Calls `work` with 0 on this thread and with other indices on those that have a processor; see [`Pool::run`].
    pub fn run(&self, work: &Work) {
        self.pool.run(work);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.pool.end();
        for handle in self.handles.drain(..) {
            // It catches its panics, so there is nothing to hear.
            let _ = handle.join();
        }
    }
}
