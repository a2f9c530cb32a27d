//! How threads wait for work, get it and say that it is done: the same natively and in a browser.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Work by the index of a thread.
pub type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// How often a thread looks for what it waits for before it sleeps: some hundred microseconds. WebAssembly has no instruction
/// to pause, so it looks more often in the same time.
const SPINS: u32 = if cfg!(target_arch = "wasm32") { 100_000 } else { 20_000 };

/// What threads share that wait for work.
pub struct Pool {
    /// The round: its number, whether workers may still join it, and how many are in it. A worker that has no processor just
    /// then does not join, and nobody waits for it.
    round: AtomicU32,
    has_panicked: AtomicBool,
    /// A worker is gone for ever, perhaps amid its work.
    is_broken: AtomicBool,
    state: Mutex<State>,
    woken: Condvar,
}

/// In [`Pool::round`], from the lowest bits: workers in it, whether it is open, its number, which may wrap.
const WORKERS: u32 = OPEN - 1;
const OPEN: u32 = 1 << 8;
const NUMBER: u32 = OPEN << 1;

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

impl Pool {
    /// Without work so far.
    pub const fn new() -> Pool {
        Pool {
            round: AtomicU32::new(0),
            has_panicked: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            state: Mutex::new(State { work: None, asleep: 0, ended: false }),
            woken: Condvar::new(),
        }
    }

    /// Calls `work` on this thread with 0, and meanwhile on those workers that have a processor; returns when all that began have
    /// come back. This thread must do what no other began.
    #[expect(unsafe_code, reason = "a worker lives longer than the work that it is lent")]
    pub fn run(&self, work: &Work) {
        // SAFETY: a reference of another lifetime. Workers use it in this round alone, and `Round` ends, on every way out
        // of this function, only when all of them are done with the round.
        let erased = Erased(unsafe { std::mem::transmute::<*const Work<'_>, *const Work<'static>>(work) });
        let round = Round::begin(self, erased);
        work(0);
        drop(round);
        assert!(!self.has_panicked.swap(false, Ordering::Relaxed), "a thread of the CPU device panicked");
    }

    /// A worker's life.
    #[expect(unsafe_code, reason = "a worker lives longer than the work that it is lent")]
    pub fn serve(&self, index: usize) {
        let mut number = 0;
        loop {
            number = self.join_after(number);
            let State { work, ended, .. } = *self.lock();
            let (Some(Erased(work)), false) = (work, ended) else { return };
            // SAFETY: this round is not over before the worker has left it, so what was lent is there.
            let work = std::panic::AssertUnwindSafe(|| unsafe { (*work)(index) });
            if std::panic::catch_unwind(work).is_err() {
                self.has_panicked.store(true, Ordering::Relaxed);
            }
            self.round.fetch_sub(1, Ordering::Release);
        }
    }

    /// Lets all workers come back from [`Pool::serve`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn end(&self) {
        let mut state = self.lock();
        (state.work, state.ended) = (None, true);
        self.open(&state);
    }

    /// A worker will not come back from what it does: nobody shall wait for it.
    #[cfg(target_arch = "wasm32")]
    pub fn break_down(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the next round, of what is in `state`.
    fn open(&self, state: &State) {
        let number = (self.round.load(Ordering::Relaxed) & !WORKERS & !OPEN).wrapping_add(NUMBER);
        self.round.store(number | OPEN, Ordering::Release);
        if state.asleep > 0 {
            self.woken.notify_all();
        }
    }

    /// Waits for a round that is open, and joins it unless it is the one of that number. Returns its number.
    fn join_after(&self, last: u32) -> u32 {
        for _ in 0..SPINS {
            if let Some(number) = self.join(last) {
                return number;
            }
            std::hint::spin_loop();
        }
        let mut state = self.lock();
        state.asleep += 1;
        loop {
            if let Some(number) = self.join(last) {
                state.asleep -= 1;
                return number;
            }
            state = self.woken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn join(&self, last: u32) -> Option<u32> {
        let mut round = self.round.load(Ordering::Relaxed);
        loop {
            let number = round & !WORKERS & !OPEN;
            if round & OPEN == 0 || number == last {
                return None;
            }
            match self.round.compare_exchange_weak(round, round + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(number),
                Err(changed) => round = changed,
            }
        }
    }
}

/// As long as it is there, workers have work.
struct Round<'a>(&'a Pool);

impl Round<'_> {
    fn begin(pool: &Pool, work: Erased) -> Round<'_> {
        let mut state = pool.lock();
        state.work = Some(work);
        pool.open(&state);
        Round(pool)
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        let Pool { round, is_broken, .. } = self.0;
        let mut spins = 0;
        let mut workers = round.fetch_and(!OPEN, Ordering::Acquire) & WORKERS;
        loop {
            // To return would end what the others may still work on. Only where a panic ends all does a worker break down.
            assert!(!is_broken.load(Ordering::Relaxed), "a thread of the CPU device broke down");
            if workers == 0 {
                break;
            }
            spins += 1;
            // Where others use the processors too, a worker may have none.
            if spins < SPINS {
                std::hint::spin_loop()
            } else {
                give_way()
            }
            workers = round.load(Ordering::Acquire) & WORKERS;
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn give_way() {
    std::thread::yield_now();
}

/// WebAssembly has nothing to yield with, but it can sleep.
#[cfg(target_arch = "wasm32")]
fn give_way() {
    std::thread::sleep(std::time::Duration::from_nanos(1));
}
