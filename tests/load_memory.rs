//! How much memory loading takes while a base comes: hardly more than the model it becomes.
#![cfg(not(target_arch = "wasm32"))]
#![allow(unsafe_code, reason = "an allocator that counts can be written in no other way")]

mod support;

#[path = "formats/build.rs"]
#[allow(dead_code, reason = "the formats' tests use all of it")]
mod build;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gander::device::{Device, Devices};
use gander::formats::quantize::Target;
use gander::session::Loading;

struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn note(bytes: isize) {
    HELD.set(HELD.get() + bytes);
    MOST.set(MOST.get().max(HELD.get()));
}

// SAFETY: everything is the system's allocator's; counting is in cells of the thread's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A wide vocabulary, as small T5s have: the embedding and the head are most of the file.
const WIDE: &str = r#"{
    "d_model": 256, "d_kv": 64, "d_ff": 512, "num_heads": 4, "num_layers": 3, "num_decoder_layers": 3, "vocab_size": 12000,
    "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false
}"#;

/// What is worked in, besides.
const WORKING_BYTES: f64 = 3e6;

/// The most that was held while a base came, and its file's size.
fn most_held(devices: Devices, target: Target) -> (f64, f64) {
    let (file, _) = build::quantized(WIDE, &build::weights(WIDE, true), target).unwrap();
    let before = HELD.get();
    MOST.set(before);
    let mut loading = Loading::gguf(devices);
    loading.begin_file("base.gguf", Some(file.len()), false);
    for chunk in file.chunks(1 << 16) {
        loading.push(chunk).unwrap();
    }
    loading.end_file().unwrap();
    let session = loading.finish().unwrap();
    let (held, size) = ((MOST.get() - before) as f64, file.len() as f64);
    support::report(&format!(
        "{target:?} on the {}: at most {:.1} MB for a file of {:.1} MB",
        session.devices().name(),
        held / 1e6,
        size / 1e6
    ));
    (held, size)
}

#[test]
fn loading_takes_little_more_memory_than_the_file_has() {
    for target in [Target::Q8_0, Target::Q4_0, Target::F16] {
        let [gpu, both] = [support::now(support::gpu()).into(), support::now(support::split())];
        for devices in [Device::cpu().into(), gpu, both] {
            let (held, size) = most_held(devices, target);
            // Panels have 36 bytes for 34 of Q8_0, and 20 for 18 of Q4_0.
            assert!(held < 1.12 * size + WORKING_BYTES, "{target:?}: {held} bytes for {size}");
        }
    }
}
