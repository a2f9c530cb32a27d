//! Where the time of an answer goes on the CPU: every kernel of the encoder and of a decoder step, in the shapes of
//! flan-t5-small with random weights.
//!
//! ```text
//! cargo run --release --example profile                   64 tokens in, no experts
//! cargo run --release --example profile -- 512 64 q4_0    512 tokens, 64 experts, Q4_0
//! cargo run --release --example profile -- 64 0 q8_0 2    the same on two threads
//! cargo run --release --example profile -- 64 0 q8_0 1 0.8       drawn at a temperature, of the 40 most likely if one more
//! cargo run --release --example profile -- 64 0 q8_0 1 0.8 40    number says so
//! ```
//!
//! Each line is the least of many passes: what disturbs only ever makes slower. Within a pass the weights come from where
//! they are in an answer, in memory.

#[path = "../benches/gpu/ocean.rs"]
mod ocean;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use gander::base::{Base, no_tokenizer};
use gander::device::{Device, Part};
use gander::quant::Values;
use gander::recording::Dispatch;
use gander::sampling::Sampling;
use gander::session::{Request, Session, Step, now};
use gander::synthetic;
use ocean::Ocean;

const PASSES: usize = 20;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (tokens, experts) = (number(64), number(0));
    let round = match arguments.next().as_deref() {
        None | Some("q8_0") => Values::q8_0_from,
        Some("q4_0") => Values::q4_0_from,
        Some("f16") => Values::f16_from,
        Some("f32") => |floats: &[f32]| Values::F32(floats.to_vec()),
        Some(other) => panic!("{other:?}; expected q8_0, q4_0, f16 or f32"),
    };
    let threads = arguments.next().map_or(1, |text| text.parse().expect("a number"));
    let mut rule = || arguments.next().map_or(0.0, |text| text.parse::<f32>().expect("a number"));
    let sampling = Sampling { temperature: rule(), top_k: rule() as usize, ..Sampling::default() };
    let mut session = session(tokens, experts, round, threads, sampling);
    for part in [Part::Encoder, Part::Decoder] {
        profile(part, &mut session);
    }
}

/// A session with an answer begun, at its 32nd token.
fn session(
    tokens: usize,
    experts: usize,
    round: fn(&[f32]) -> Values,
    threads: usize,
    sampling: Sampling,
) -> Session {
    let mut config = synthetic::config(512, 6, 1024, 8, 32128);
    config.eos_token_ids.clear();
    let checkpoint = synthetic::checkpoint(&config, 1, |_, floats| round(floats));
    let base = Base::new(checkpoint, Err(no_tokenizer("random")));
    let mut session = Session::on(Device::cpu_with_threads(threads), base).unwrap();
    session.set_pool_bytes(Ocean::POOL_BYTES);
    let ocean = Ocean::new(&config, experts);
    session.add_experts(ocean.experts.clone()).unwrap();
    let input_ids = Some((2..2 + tokens as u32).collect());
    session.start(Request { input_ids, max_new_tokens: 64, sampling, ..Request::default() }).unwrap();
    while session.output_ids().len() < 32 {
        if let Step::Missing(missing) = session.step().unwrap() {
            for page in missing {
                session.provide(page, ocean.bytes(page)).unwrap();
            }
        }
    }
    session
}

fn profile(part: Part, session: &mut Session) {
    let (plans, devices) = session.plans().expect("an answer in the making");
    let (plan, device) = (plans[part as usize], devices.of(part));
    let dispatches = &plan.recording.dispatches;
    let steps = together(dispatches);
    let control = dispatches[0].tensors[0];
    let words = now(device.read_words(&[control])).expect("a CPU's are there");
    let mut least = vec![Duration::MAX; steps.len()];
    for _ in 0..PASSES {
        // The last commits a token; each pass is to be the same.
        device.write(&control, &words[0]);
        for (range, least) in steps.iter().zip(&mut least) {
            let start = Instant::now();
            device.run(plan, range.clone(), 1);
            *least = start.elapsed().min(*least);
        }
    }
    let mut lines: BTreeMap<String, (usize, Duration, usize)> = BTreeMap::new();
    for (range, least) in steps.iter().zip(&least) {
        let dispatches = &dispatches[range.clone()];
        let name = dispatches.iter().map(describe).collect::<Vec<_>>().join(" + ");
        let line = lines.entry(name).or_default();
        let multiplications = dispatches.iter().map(multiplications).sum::<usize>();
        *line = (line.0 + 1, line.1 + *least, line.2 + multiplications);
    }
    let all: Duration = least.iter().sum();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!("{part:?}: {:.3} ms", milliseconds(all));
    let mut lines: Vec<_> = lines.into_iter().collect();
    lines.sort_by_key(|(_, (_, time, _))| std::cmp::Reverse(*time));
    for (what, (times, time, multiplications)) in lines {
        let share = 100.0 * time.as_secs_f64() / all.as_secs_f64();
        let rate = match multiplications {
            0 => String::new(),
            _ => format!("{:6.1} GMAC/s", multiplications as f64 / time.as_secs_f64() / 1e9),
        };
        println!("{share:6.1} %  {:8.3} ms  {times:3} × {what:35}{rate}", milliseconds(time));
    }
}

/// Dispatches one by one, but for those that the CPU computes in one with the one behind.
fn together(dispatches: &[Dispatch]) -> Vec<Range<usize>> {
    let mut steps = Vec::new();
    let mut first = 0;
    while let [dispatch, behind @ ..] = &dispatches[first..] {
        let is_one = behind.first().is_some_and(|next| next.on_the_way_of(dispatch).is_some());
        let end = first + 1 + is_one as usize;
        steps.push(first..end);
        first = end;
    }
    steps
}

fn describe(dispatch: &Dispatch) -> String {
    let name = dispatch.kernel.name;
    match name {
        "linear" => format!("{name} {} × {}", dispatch.tensors[7].cols, d_in(dispatch)),
        "route" | "score" => {
            format!("{name} {} gates × {}", dispatch.tensors[3].rows, dispatch.tensors[3].cols)
        }
        _ => name.to_owned(),
    }
}

/// Columns of a product's weight: those of its input, or half of them where it is gated.
fn d_in(dispatch: &Dispatch) -> usize {
    let [form]: [u32; 1] = bytemuck::pod_read_unaligned(&dispatch.params[..4]);
    const GATED_GELU: u32 = 3;
    if form == GATED_GELU { dispatch.tensors[1].cols / 2 } else { dispatch.tensors[1].cols }
}

fn multiplications(dispatch: &Dispatch) -> usize {
    match dispatch.kernel.name {
        "linear" => dispatch.tensors[7].len() * d_in(dispatch),
        "score" => dispatch.tensors[1].rows * dispatch.tensors[3].len(),
        _ => 0,
    }
}
