//! The CPU on several threads gives the bits that it gives on one.
#![cfg(not(target_arch = "wasm32"))]

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use gander::device::{Cpu, Device, WeightLayout};
use gander::quant::Values;
use gander::session::{Request, Session, Step};
use gander::synthetic;
use gander::threads::MOST_THREADS;
use support::base_without_text;

/// Named values, as bits.
type Bits = Vec<(String, Vec<u32>)>;

/// Every named value of an answer, and its tokens.
fn answer(device: Device, round: fn(&[f32]) -> Values, tokens: u32) -> (Bits, Vec<u32>) {
    // Rows that no number of threads divides evenly; the head's products are enough to be split.
    let mut config = synthetic::config(160, 3, 224, 2, 1999);
    config.eos_token_ids.clear();
    let checkpoint = synthetic::checkpoint(&config, 1, |_, floats| round(floats));
    let mut session = Session::on(device, base_without_text(checkpoint)).unwrap();
    let (experts, pages): (Vec<_>, Vec<_>) =
        (0..6).map(|index| synthetic::expert(&config, &index.to_string(), 4, 2 + index)).unzip();
    session.add_experts(experts).unwrap();
    for (page, bytes) in pages.concat().iter().enumerate() {
        session.provide(page as u32, bytes).unwrap();
    }
    let seen: Rc<RefCell<Bits>> = Rc::default();
    let values = seen.clone();
    session.observe(move |name, floats| {
        values.borrow_mut().push((name.to_owned(), floats.iter().map(|x| x.to_bits()).collect()));
    });
    let input_ids = Some((2..2 + tokens).collect());
    session.start(Request { input_ids, max_new_tokens: 6, ..Request::default() }).unwrap();
    while !matches!(session.step().unwrap(), Step::Done(_)) {}
    (seen.take(), session.output_ids().to_vec())
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for round in [Values::q8_0_from, Values::q4_0_from, Values::f16_from] {
        for tokens in [1, 9, 37] {
            let expected = answer(Device::cpu(), round, tokens);
            for threads in [2, 3, MOST_THREADS, 100] {
                let device = Device::cpu_with_threads(threads);
                assert!(matches!(&device, Device::Cpu(cpu) if cpu.threads() == threads.min(MOST_THREADS)));
                let found = answer(device, round, tokens);
                assert_eq!(found.1, expected.1, "{threads} threads, {tokens} tokens in");
                for (found, expected) in found.0.iter().zip(&expected.0) {
                    assert!(found == expected, "{threads} threads, {tokens} tokens in: {} differs", found.0);
                }
            }
        }
    }
}

#[test]
fn no_threads_are_one() {
    assert_eq!(Cpu::new(WeightLayout::Panels, 0).threads(), 1);
}
