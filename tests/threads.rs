//! The CPU on several threads gives the bits that it gives on one.
#![cfg(not(target_arch = "wasm32"))]

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use gander::config::Config;
use gander::device::{Cpu, Device, WeightLayout};
use gander::quant::Values;
use gander::sampling::Sampling;
use gander::session::{Request, Routing, Session, Step};
use gander::strategies::Strategy;
use gander::synthetic;
use gander::threads::MOST_THREADS;
use support::base_without_text;

/// Named values, as bits.
type Bits = Vec<(String, Vec<u32>)>;

/// A session over a model of random weights with experts, and the bytes of their pages.
fn session(
    device: Device,
    mut config: Config,
    round: fn(&[f32]) -> Values,
    experts: u64,
    rank: usize,
) -> (Session, Vec<Vec<u8>>) {
    config.eos_token_ids.clear();
    let checkpoint = synthetic::checkpoint(&config, 1, |_, floats| round(floats));
    let mut session = Session::on(device, base_without_text(checkpoint)).unwrap();
    let (experts, pages): (Vec<_>, Vec<_>) =
        (0..experts).map(|index| synthetic::expert(&config, &index.to_string(), rank, 2 + index)).unzip();
    session.add_experts(experts).unwrap();
    (session, pages.concat())
}

/// Every named value of an answer, and its tokens.
fn answer(device: Device, round: fn(&[f32]) -> Values, tokens: u32) -> (Bits, Vec<u32>) {
    // Rows that no number of threads divides evenly; the head's products are enough to be split.
    let (mut session, pages) = session(device, synthetic::config(160, 3, 224, 2, 1999), round, 6, 4);
    for (page, bytes) in pages.iter().enumerate() {
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

/// Where somebody looks at the logits, or asks for them, the head leaves them, and the token is chosen from them; else it is
/// chosen while they are computed. The tokens are the same, and so are the bits of logits that are asked for.
#[test]
fn a_token_chosen_on_the_way_of_the_head_is_the_one_chosen_from_all_logits() {
    let rules = [
        Sampling::default(),
        Sampling { repetition_penalty: 1.7, ..Sampling::default() },
        Sampling { temperature: 1.0, seed: 3, ..Sampling::default() },
        Sampling { temperature: 0.4, repetition_penalty: 1.3, seed: 1 << 40, ..Sampling::default() },
        Sampling { temperature: 0.8, top_k: 7, seed: 5, ..Sampling::default() },
        Sampling { temperature: 0.8, top_k: 7, top_p: 0.5, seed: 6, ..Sampling::default() },
        Sampling { temperature: 2.0, top_k: 1500, seed: 7, ..Sampling::default() },
        Sampling { temperature: 1.5, top_p: 0.9, seed: 8, ..Sampling::default() },
    ];
    // More than is computed at once, and no whole panel at the end.
    let mut config = synthetic::config(64, 2, 96, 2, 9003);
    config.eos_token_ids.clear();
    for round in [Values::q8_0_from, Values::q4_0_from, Values::f16_from] {
        let checkpoint = synthetic::checkpoint(&config, 1, |_, floats| round(floats));
        for sampling in &rules {
            let answer = |threads, is_observed: bool| {
                let device = Device::cpu_with_threads(threads);
                let mut session = Session::on(device, base_without_text(checkpoint.clone())).unwrap();
                let seen: Rc<RefCell<Vec<u32>>> = Rc::default();
                if is_observed {
                    let last = seen.clone();
                    session.observe(move |name, floats| {
                        if name == "logits" {
                            last.replace(floats.iter().map(|x| x.to_bits()).collect());
                        }
                    });
                }
                let (input_ids, sampling) = (Some(vec![5, 6, 7]), sampling.clone());
                session
                    .start(Request { input_ids, max_new_tokens: 12, sampling, ..Request::default() })
                    .unwrap();
                while !matches!(session.step().unwrap(), Step::Done(_)) {}
                let logits: Vec<u32> = session.logits().unwrap().iter().map(|x| x.to_bits()).collect();
                assert!(!is_observed || *seen.borrow() == logits, "what is asked for is what is seen");
                (session.output_ids().to_vec(), logits)
            };
            let expected = answer(1, true);
            assert_eq!(expected.0.len(), 12);
            for threads in [1, 2, 3, MOST_THREADS] {
                assert!(answer(threads, false) == expected, "{threads} threads, {sampling:?}");
            }
        }
    }
}

#[test]
fn no_threads_are_one() {
    assert_eq!(Cpu::new(WeightLayout::Panels, 0).threads(), 1);
}

/// All that an answer tells of its routing, from no page at all: which pages were missed, step by step, and who serves each token.
fn routed(threads: usize, strategy: Strategy, tokens: u32) -> (Vec<Vec<u32>>, Vec<Routing>, Vec<u32>) {
    let (device, config) = (Device::cpu_with_threads(threads), synthetic::config(96, 3, 160, 2, 300));
    let (mut session, pages) = session(device, config, Values::q8_0_from, 7, 3);
    let input_ids = Some((2..2 + tokens).collect());
    let request = Request { input_ids, max_new_tokens: 5, strategy, trace: true, ..Request::default() };
    session.start(request).unwrap();
    let (mut missed, mut routing) = (Vec::new(), Vec::new());
    loop {
        match session.step().unwrap() {
            Step::Token(token) => routing.push(token.routing),
            Step::Missing(missing) => {
                for page in &missing {
                    session.provide(*page, &pages[*page as usize]).unwrap();
                }
                missed.push(missing);
            }
            Step::Done(_) => break,
        }
    }
    routing.push(session.encoder_routing());
    (missed, routing, session.output_ids().to_vec())
}

#[test]
fn any_number_of_threads_tells_the_same_of_routing() {
    for strategy in [Strategy::Phatgoose, Strategy::Gated, Strategy::Random, Strategy::Spectr] {
        for tokens in [1, 8, 29] {
            let expected = routed(1, strategy.clone(), tokens);
            assert!(!expected.0.is_empty() && expected.1.len() == 6, "{strategy:?}: {expected:?}");
            for threads in [2, 3, MOST_THREADS] {
                let found = routed(threads, strategy.clone(), tokens);
                assert_eq!(found, expected, "{strategy:?}, {threads} threads, {tokens} tokens in");
            }
        }
    }
}
