//! Single kernels in the shapes of flan-t5-small, to see where the time goes. Scores and choices of a router are one line.

use std::time::Instant;

use gander::device::Device;
use gander::kernels::input::Input;
use gander::kernels::linear::{self, Output};
use gander::kernels::route::{self, Choices, Deltas, Entry, Flags, Thresholds};
use gander::kernels::score::{self, Rule};
use gander::kernels::weight::Weight;
use gander::kernels::{attention, attention_step};
use gander::quant::{Matrix, Values};
use gander::recording::{Control, Recording};
use gander::router::Router;
use gander::session::now;
use gander::tensor::{DType, Tensor};

use crate::ocean::RANK;
use crate::{Options, record};

/// A kernel is run again and again for at least so long.
const LEAST_SECONDS: f64 = 0.1;
const HEADS: usize = 6;
const INNER: usize = 384;
const D_MODEL: usize = 512;

/// What to record, by name, for a number of tokens; with its multiplications.
struct Case {
    name: String,
    recording: Recording,
    multiplications: f64,
}

pub fn measure(mut device: Device, options: &Options) -> Vec<record::Timed> {
    let mut timed = Vec::new();
    for &tokens in [1].iter().chain(&options.tokens) {
        let mut cases = linears(&mut device, tokens);
        for &experts in options.experts.iter().filter(|experts| **experts > 0) {
            cases.push(routing(&mut device, tokens, experts, 3, D_MODEL));
            cases.push(routing(&mut device, tokens, experts, 1, 1024));
        }
        cases.extend(attentions(&mut device, tokens));
        for case in cases {
            let Case { name, recording, multiplications } = case;
            let plan = device.prepare(recording);
            let seconds = time(&mut device, &plan, options.repeat);
            let line = record::Timed { name, tokens, seconds, multiplications };
            line.print();
            timed.push(line);
        }
    }
    timed
}

/// The least of several rounds: what disturbs only ever makes slower.
fn time(device: &mut Device, plan: &gander::device::Plan, rounds: usize) -> f64 {
    let count = plan.recording.dispatches.len();
    let run = |device: &mut Device, times: usize| {
        let start = Instant::now();
        device.run(plan, 0..count, times);
        now(device.read_bytes(&[])).expect("the device computes");
        start.elapsed().as_secs_f64()
    };
    run(device, 1);
    let times = (LEAST_SECONDS / run(device, 1)).ceil().max(1.0) as usize;
    (0..rounds).map(|_| run(device, times) / times as f64).fold(f64::INFINITY, f64::min)
}

fn floats(device: &mut Device, rows: usize, cols: usize) -> Tensor {
    let mut random = fastrand::Rng::with_seed((rows * 31 + cols) as u64);
    let values: Vec<f32> = (0..rows * cols).map(|_| random.f32() - 0.5).collect();
    device.upload(rows, cols, DType::F32, &values)
}

fn control(device: &mut Device) -> Tensor {
    device.upload(1, Control::WORDS, DType::U32, &[0u32; Control::WORDS])
}

/// Every product of a block, without experts.
fn linears(device: &mut Device, tokens: usize) -> Vec<Case> {
    let control = control(device);
    let norm = floats(device, 1, D_MODEL);
    let mut shapes = vec![
        ("qkv", D_MODEL, 3 * INNER),
        ("o", INNER, D_MODEL),
        ("wi", D_MODEL, 2 * 1024),
        ("wo", 1024, D_MODEL),
    ];
    match tokens {
        1 => shapes.push(("head", D_MODEL, 32128)),
        _ => shapes.push(("cross k, v", D_MODEL, 16 * INNER)),
    }
    let mut case = |(name, d_in, d_out): (&str, usize, usize)| {
        let mut random = fastrand::Rng::with_seed(d_out as u64);
        let weights: Vec<f32> = (0..d_in * d_out).map(|_| random.f32() - 0.5).collect();
        let matrix = Matrix { rows: d_out, cols: d_in, values: Values::q8_0_from(&weights) };
        let weight = Weight::upload(device, &matrix);
        let width = if name == "wo" { 2 * d_in } else { d_in };
        let x = floats(device, tokens, width);
        let input = match name {
            "qkv" | "wi" => Input::Norm { x, weight: norm, epsilon: 1e-6 },
            "wo" => Input::GatedGelu(x),
            _ => Input::Plain(x),
        };
        let y = device.alloc(tokens, d_out, DType::F32);
        let mut recording = Recording::default();
        linear::record(&mut recording, control, input, &weight, 1.0, None, Output::Store, y);
        let multiplications = (tokens * d_in * d_out) as f64;
        Case { name: format!("linear {name} {d_out} × {d_in}"), recording, multiplications }
    };
    shapes.into_iter().map(&mut case).collect()
}

/// Gates of `experts` experts on each of several layers of one input, all of them resident.
fn routing(device: &mut Device, tokens: usize, experts: usize, sites: usize, d_in: usize) -> Case {
    const TOP_K: usize = 2;
    let control = control(device);
    let factors = RANK * (d_in + INNER);
    // All experts have the same page: which of them wins does not matter.
    let entry = |expert: usize| Entry {
        expert: expert as u32,
        page: 0,
        a: 0,
        b: (RANK * d_in) as u32,
        rank: RANK as u32,
        scale: 0.5,
        ..Entry::default()
    };
    let mut random = fastrand::Rng::with_seed(5);
    let gates: Vec<Vec<f32>> =
        (0..sites * experts).map(|_| (0..d_in).map(|_| random.f32() - 0.5).collect()).collect();
    let rows: Vec<Vec<_>> = gates
        .chunks_exact(experts)
        .map(|site| site.iter().enumerate().map(|(expert, gate)| (entry(expert), gate.as_slice())).collect())
        .collect();
    let mut words = vec![1u32];
    words.extend((0..factors).map(|_| (random.f32() - 0.5).to_bits()));
    let pool = device.upload(1, words.len(), DType::U32, &words);
    let router = Router::upload(device, d_in, &rows, Rule::Normalised, pool);
    let mut flags = vec![0u32; 1 + experts];
    flags.extend([0, 0]);
    flags[0] = 0;
    let flags = Flags { tensor: device.upload(1, flags.len(), DType::U32, &flags), experts };
    let choices = device.alloc(sites * tokens, 2 * TOP_K, DType::U32);
    let memory = device.alloc(tokens, router.delta_words(TOP_K), DType::U32);
    let deltas = Deltas::within(memory, &router.gates, tokens, TOP_K);
    let input = Input::Plain(floats(device, tokens, d_in));
    let mut recording = Recording::default();
    let choices = Choices { tensor: choices, runners_up: 0, first_row: 0, rows_per_step: 0 };
    let scored = tokens >= linear::TILED_FROM;
    if scored {
        score::record(&mut recording, control, input, &router.gates, flags, deltas);
    }
    route::record(
        &mut recording,
        control,
        input,
        &router.gates,
        pool,
        flags,
        choices,
        Thresholds::default(),
        deltas,
        scored,
    );
    let multiplications = (tokens * sites * d_in * (experts + TOP_K * RANK)) as f64;
    Case { name: format!("route {sites} × {experts} experts, {d_in}"), recording, multiplications }
}

/// Over as many keys as there are tokens; for one token, 64.
fn attentions(device: &mut Device, tokens: usize) -> Vec<Case> {
    let control = control(device);
    let bias = floats(device, 257, HEADS);
    let out = device.alloc(tokens, INNER, DType::F32);
    let qkv = floats(device, tokens, 3 * INNER);
    let mut recording = Recording::default();
    if tokens == 1 {
        let past = floats(device, 64, 2 * INNER);
        let position = Control { position: 63, ..Control::default() };
        device.write(&control, bytemuck::cast_slice::<Control, u32>(&[position]));
        attention_step::record(&mut recording, control, qkv, bias, HEADS, past, out);
        return vec![Case {
            name: "attention step".to_owned(),
            recording,
            multiplications: (2 * 64 * INNER) as f64,
        }];
    }
    let columns = |column| attention::Columns { tensor: qkv, column };
    let (q, k, v) = (columns(0), columns(INNER), columns(2 * INNER));
    attention::record(&mut recording, control, q, k, v, bias, HEADS, out);
    let multiplications = (2 * tokens * tokens * INNER) as f64;
    vec![Case { name: "attention".to_owned(), recording, multiplications }]
}
