//! How long a base takes to answer on the CPU: until the first token, and for each further one.
//!
//! ```text
//! cargo run --release --example answer_time -- BASE TOKENS_IN TOKENS_OUT THREADS ROUNDS
//! ```
//!
//! One line of JSON: `{"first_ms": [...], "token_ms": [...]}`, a number for each round after one that does not count.

use std::time::Instant;

use gander::base::Base;
use gander::device::Device;
use gander::session::{Request, Session, Step};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, numbers @ ..] = arguments.as_slice() else { panic!("expected BASE and four numbers") };
    let numbers: Vec<usize> = numbers.iter().map(|text| text.parse().expect("a number")).collect();
    let &[tokens_in, tokens_out, threads, rounds] = numbers.as_slice() else {
        panic!("expected TOKENS_IN TOKENS_OUT THREADS ROUNDS after BASE")
    };
    let base = Base::open(base).expect("a base");
    let mut session = Session::on(Device::cpu_with_threads(threads), base).expect("the base fits");
    let (mut first_ms, mut token_ms) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (first, all) = answer(&mut session, tokens_in, tokens_out);
        if round > 0 {
            first_ms.push(first);
            token_ms.push((all - first) / (tokens_out as f64 - 1.0));
        }
    }
    println!("{}", serde_json::json!({ "first_ms": first_ms, "token_ms": token_ms }));
}

/// Milliseconds until the first token and until the last. An end token ends nothing early: whoever compares takes a base whose
/// answers are long.
fn answer(session: &mut Session, tokens_in: usize, tokens_out: usize) -> (f64, f64) {
    // As the page of the side-by-side comparison asks.
    let input_ids = Some((0..tokens_in as u32).map(|index| 100 + 37 * index).collect());
    let start = Instant::now();
    session
        .start(Request { input_ids, max_new_tokens: tokens_out, ..Request::default() })
        .expect("a request");
    let mut first = 0.0;
    while !matches!(session.step().expect("the CPU computes"), Step::Done(_)) {
        if session.output_ids().len() == 1 && first == 0.0 {
            first = start.elapsed().as_secs_f64() * 1e3;
        }
    }
    assert_eq!(session.output_ids().len(), tokens_out, "the answer ended early");
    (first, start.elapsed().as_secs_f64() * 1e3)
}
