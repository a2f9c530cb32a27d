//! A few threads that do the same work on different parts of it.
//!
//! Work is split before it begins, into as many parts as there are threads: parts of a product are equally long. Each thread does its
//! own, and then those that nobody has begun: on a busy machine a thread may have no processor for milliseconds. A thread that
//! waits spins, for as long as it takes to come back from what is not split, since a step has some thirty such products, most
//! of ten to fifty microseconds: to wake threads for each would cost what they save.

use std::sync::Mutex;

use crate::recording::{Argument, MOST_TENSORS};
use crate::scratch::Scratch;
use workers::Workers;

#[cfg(any(not(target_arch = "wasm32"), target_feature = "atomics"))]
mod pool;
#[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
#[path = "threads/web.rs"]
pub mod workers;
#[cfg(not(target_arch = "wasm32"))]
#[path = "threads/native.rs"]
mod workers;
#[cfg(all(target_arch = "wasm32", not(target_feature = "atomics")))]
#[path = "threads/none.rs"]
mod workers;

/// The most threads that are of use: beyond, all wait for the memory that weights come from.
pub const MOST_THREADS: usize = 8;

/// Threads, with memory to work in for each.
pub struct Team {
    workers: Workers,
    scratches: Vec<Scratch>,
}

impl Team {
    /// So many threads, the calling one among them: at most [`MOST_THREADS`], and in a browser at most those that it gave. None
    /// where one thread is all.
    pub fn new(threads: usize) -> Option<Team> {
        let workers = Workers::start(threads.clamp(1, MOST_THREADS) - 1)?;
        let threads = workers.count() + 1;
        Some(Team { workers, scratches: std::iter::repeat_with(Scratch::default).take(threads).collect() })
    }

    /// Number of threads: at least two.
    pub fn threads(&self) -> usize {
        self.scratches.len()
    }

    /// Calls `work` with some parts at once, at most one for each thread, and returns when all are done.
    pub fn each<T: Send>(&self, parts: impl IntoIterator<Item = T>, work: impl Fn(T) + Sync) {
        on_all(&self.workers, parts, work);
    }

    /// Calls `work` with the arguments of a kernel, cut into a part for each thread: those at `cut` by their rows, of which they
    /// have equally many, the others whole. What is written must be cut.
    pub fn each_rows(
        &mut self,
        arguments: &mut [Argument],
        cut: &[usize],
        work: impl Fn(&mut [Argument], &mut Scratch) + Sync,
    ) {
        let rows = arguments[cut[0]].rows.div_ceil(self.threads());
        let count = arguments.len();
        let mut rest: [Argument; MOST_TENSORS] = [const { Argument::NONE }; MOST_TENSORS];
        for (rest, argument) in rest.iter_mut().zip(arguments) {
            *rest = argument.reborrow();
        }
        let Team { workers, scratches } = self;
        let parts = scratches.iter_mut().map(|scratch| {
            let part: [Argument; MOST_TENSORS] = std::array::from_fn(|index| match cut.contains(&index) {
                true => rest[index].take_rows(rows),
                false => rest[index].share(),
            });
            (part, scratch)
        });
        on_all(workers, parts, |(mut part, scratch)| {
            if part[cut[0]].rows > 0 {
                work(&mut part[..count], scratch);
            }
        });
    }

    /// The memory that each thread works in.
    pub fn scratches(&mut self) -> &mut [Scratch] {
        &mut self.scratches
    }
}

fn on_all<T: Send>(workers: &Workers, parts: impl IntoIterator<Item = T>, work: impl Fn(T) + Sync) {
    let mut slots = [const { Mutex::new(None) }; MOST_THREADS];
    let mut parts = parts.into_iter();
    for slot in &mut slots[..=workers.count()] {
        *slot = Mutex::new(parts.next());
    }
    assert!(parts.next().is_none(), "more parts than threads");
    let slots = &slots[..=workers.count()];
    workers.run(&|index| {
        let (before, own) = slots.split_at(index);
        for slot in own.iter().chain(before) {
            let part = slot.lock().ok().and_then(|mut slot| slot.take());
            if let Some(part) = part {
                work(part);
            }
        }
    });
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_part_is_worked_on_once_round_after_round() {
        for threads in [2, 3, MOST_THREADS] {
            let team = Team::new(threads).unwrap();
            let mut numbers = vec![0usize; 100];
            for round in 1..=100 {
                team.each(numbers.chunks_mut(100usize.div_ceil(threads)), |part| {
                    part.iter_mut().for_each(|number| *number += 1);
                });
                assert!(numbers.iter().all(|number| *number == round));
            }
        }
        assert!(Team::new(1).is_none() && Team::new(0).is_none());
    }

    #[test]
    fn a_panic_on_any_thread_comes_back_and_the_team_goes_on() {
        let team = Team::new(3).unwrap();
        for bad in 0..3 {
            let done = AtomicUsize::new(0);
            let work = |part| {
                assert!(part != bad, "as wanted");
                done.fetch_add(1, Ordering::Relaxed);
            };
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| team.each(0..3, work)));
            assert!(outcome.is_err());
            // A thread that panics leaves what it has not begun.
            assert!(done.load(Ordering::Relaxed) <= 2);
        }
        let sum = AtomicUsize::new(0);
        team.each(1..=3, |part| {
            sum.fetch_add(part, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 6);
    }
}
