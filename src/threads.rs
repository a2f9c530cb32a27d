//! A few threads that do the same work on different parts of it.
//!
//! Work is split before it begins, into as many parts as there are threads: parts of a product are equally long. A thread that
//! waits spins, for as long as it takes to come back from what is not split, since a step has some thirty such products, most
//! of ten to fifty microseconds: to wake threads for each would cost what they save.

use std::sync::Mutex;

use crate::recording::{Argument, MOST_TENSORS};
use crate::scratch::Scratch;
use workers::Workers;

/// The most threads that are of use: beyond, all wait for the memory that weights come from.
pub const MOST_THREADS: usize = 8;

/// Threads, with memory to work in for each.
pub struct Team {
    workers: Workers,
    scratches: Vec<Scratch>,
}

impl Team {
    /// So many threads, the calling one among them: at most [`MOST_THREADS`]. None where one thread is all.
    pub fn new(threads: usize) -> Option<Team> {
        let threads = threads.clamp(1, MOST_THREADS);
        let workers = Workers::start(threads - 1)?;
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
    workers.run(&|index| {
        let part = slots[index].lock().ok().and_then(|mut slot| slot.take());
        if let Some(part) = part {
            work(part);
        }
    });
}

#[cfg(not(target_arch = "wasm32"))]
mod workers {
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
    use std::thread::{self, JoinHandle};

    /// Work by the index of a thread.
    type Work<'a> = dyn Fn(usize) + Sync + 'a;

    /// How often a worker looks for work before it sleeps: some hundred microseconds.
    const SPINS: u32 = 20_000;

    /// Threads that wait for work.
    pub struct Workers {
        shared: Arc<Shared>,
        handles: Vec<JoinHandle<()>>,
    }

    #[derive(Default)]
    struct Shared {
        /// How often there was work.
        rounds: AtomicU64,
        /// Workers that are not done with the last.
        busy: AtomicUsize,
        has_panicked: AtomicBool,
        state: Mutex<State>,
        woken: Condvar,
    }

    #[derive(Default)]
    struct State {
        /// Of the running round; nobody looks at it between rounds.
        work: Option<Erased>,
        asleep: usize,
        ended: bool,
    }

    #[derive(Clone, Copy)]
    struct Erased(*const Work<'static>);

    // SAFETY: what it points to is Sync, so it may be called by any thread.
    #[expect(unsafe_code, reason = "see above")]
    unsafe impl Send for Erased {}

    impl Workers {
        /// So many threads besides the calling one, if any.
        pub fn start(count: usize) -> Option<Workers> {
            let shared = Arc::<Shared>::default();
            let handles = (1..=count).map(|index| {
                let shared = shared.clone();
                thread::spawn(move || shared.serve(index))
            });
            let workers = Workers { handles: handles.collect(), shared };
            (count > 0).then_some(workers)
        }

        /// Threads besides the calling one.
        pub fn count(&self) -> usize {
            self.handles.len()
        }

        /// Calls `work` on every thread at once, with 0 on this one, and returns when all have come back.
        #[expect(unsafe_code, reason = "a worker lives longer than the work that it is lent")]
        pub fn run(&self, work: &Work) {
            // SAFETY: a reference of another lifetime. Workers use it in this round alone, and `Round` ends, on every way out
            // of this function, only when all of them are done with the round.
            let erased =
                Erased(unsafe { std::mem::transmute::<*const Work<'_>, *const Work<'static>>(work) });
            let round = Round::begin(&self.shared, erased, self.count());
            work(0);
            drop(round);
            assert!(
                !self.shared.has_panicked.swap(false, Ordering::Relaxed),
                "a thread of the CPU device panicked"
            );
        }
    }

    impl Drop for Workers {
        fn drop(&mut self) {
            self.shared.lock().ended = true;
            self.shared.rounds.fetch_add(1, Ordering::Release);
            self.shared.woken.notify_all();
            for handle in self.handles.drain(..) {
                // It catches its panics, so there is nothing to hear.
                let _ = handle.join();
            }
        }
    }

    /// As long as it is there, workers have work.
    struct Round<'a>(&'a Shared);

    impl Round<'_> {
        fn begin(shared: &Shared, work: Erased, workers: usize) -> Round<'_> {
            shared.busy.store(workers, Ordering::Relaxed);
            let mut state = shared.lock();
            state.work = Some(work);
            shared.rounds.fetch_add(1, Ordering::Release);
            if state.asleep > 0 {
                shared.woken.notify_all();
            }
            Round(shared)
        }
    }

    impl Drop for Round<'_> {
        fn drop(&mut self) {
            let mut spins = 0;
            while self.0.busy.load(Ordering::Acquire) > 0 {
                spins += 1;
                // Where others use the processors too, a worker may have none.
                if spins < SPINS { std::hint::spin_loop() } else { thread::yield_now() }
            }
        }
    }

    impl Shared {
        fn lock(&self) -> MutexGuard<'_, State> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// A worker's life.
        #[expect(unsafe_code, reason = "a worker lives longer than the work that it is lent")]
        fn serve(&self, index: usize) {
            let mut seen = 0;
            loop {
                seen = self.wait(seen);
                let State { work, ended, .. } = *self.lock();
                let (Some(Erased(work)), false) = (work, ended) else { return };
                // SAFETY: this round is not over before `busy` is counted down, so what was lent is there.
                let work = std::panic::AssertUnwindSafe(|| unsafe { (*work)(index) });
                if std::panic::catch_unwind(work).is_err() {
                    self.has_panicked.store(true, Ordering::Relaxed);
                }
                self.busy.fetch_sub(1, Ordering::Release);
            }
        }

        /// Returns the number of the next round when it has begun.
        fn wait(&self, seen: u64) -> u64 {
            for _ in 0..SPINS {
                let rounds = self.rounds.load(Ordering::Acquire);
                if rounds != seen {
                    return rounds;
                }
                std::hint::spin_loop();
            }
            let mut state = self.lock();
            state.asleep += 1;
            while self.rounds.load(Ordering::Acquire) == seen {
                state = self.woken.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.asleep -= 1;
            self.rounds.load(Ordering::Acquire)
        }
    }
}

/// Without threads there are no workers, and no [`Team`]: what is only for one is not compiled.
#[cfg(target_arch = "wasm32")]
mod workers {
    pub enum Workers {}

    impl Workers {
        pub fn start(_: usize) -> Option<Workers> {
            None
        }

        pub fn count(&self) -> usize {
            match *self {}
        }

        pub fn run(&self, _: &dyn Fn(usize)) {
            match *self {}
        }
    }
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
            assert_eq!(done.load(Ordering::Relaxed), 2);
        }
        let sum = AtomicUsize::new(0);
        team.each(1..=3, |part| {
            sum.fetch_add(part, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 6);
    }
}
