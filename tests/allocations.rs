//! No memory is allocated while tokens are made: neither by the CPU device nor by its kernels.
#![cfg(not(target_arch = "wasm32"))]
#![allow(unsafe_code, reason = "an allocator that counts can be written in no other way")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gander::device::{Device, Part};
use gander::quant::Values;
use gander::sampling::Sampling;
use gander::session::{Request, Session, Step};
use gander::synthetic;
use support::base_without_text;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is the system's allocator's; counting is a cell of the thread's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of whole steps after the first, in a model with experts.
fn allocations(round: fn(&[f32]) -> Values, sampling: Sampling, threads: usize) -> usize {
    // The head's products are enough to be split among threads.
    let mut config = synthetic::config(64, 2, 96, 2, 3200);
    config.eos_token_ids.clear();
    let checkpoint = synthetic::checkpoint(&config, 1, |_, floats| round(floats));
    let device = Device::cpu_with_threads(threads);
    let mut session = Session::on(device, base_without_text(checkpoint)).unwrap();
    let (experts, pages): (Vec<_>, Vec<_>) =
        (0..8).map(|index| synthetic::expert(&config, &index.to_string(), 4, 2 + index)).unzip();
    session.add_experts(experts).unwrap();
    for (page, bytes) in pages.concat().iter().enumerate() {
        session.provide(page as u32, bytes).unwrap();
    }
    let input_ids = Some((2..40).collect());
    session.start(Request { input_ids, max_new_tokens: 32, sampling, ..Request::default() }).unwrap();
    assert!(matches!(session.step().unwrap(), Step::Token(_)));
    let (plans, devices) = session.plans().expect("an answer in the making");
    let step = plans[Part::Decoder as usize];
    let device = devices.of(Part::Decoder);
    let before = ALLOCATIONS.get();
    device.run(step, 0..step.recording.dispatches.len(), 24);
    ALLOCATIONS.get() - before
}

#[test]
fn a_step_allocates_nothing() {
    let rules = [
        Sampling::default(),
        Sampling { temperature: 1.0, ..Sampling::default() },
        Sampling { temperature: 1.0, top_p: 0.9, ..Sampling::default() },
        Sampling { temperature: 0.7, top_k: 10, top_p: 0.9, repetition_penalty: 1.2, ..Sampling::default() },
    ];
    for round in [Values::q8_0_from, Values::q4_0_from, Values::f16_from] {
        for sampling in &rules {
            for threads in [1, 2] {
                let count = allocations(round, sampling.clone(), threads);
                assert_eq!(count, 0, "{sampling:?}, {threads} threads");
            }
        }
    }
}
