//! Single kernels in the shapes of flan-t5-small, as the engine runs them: rounding of activations, norms and all that belongs to a
//! dispatch included.

use std::time::Instant;

use gander::device::{Device, Plan};
use gander::kernels::input::Input;
use gander::kernels::linear::{self, Output};
use gander::kernels::route::{self, Choices, Deltas, Entry, Flags, Thresholds};
use gander::kernels::score::Rule;
use gander::kernels::weight::Weight;
use gander::kernels::{attention, attention_step};
use gander::panels::{Activations, Factor};
use gander::processor::Processor;
use gander::quant::{Matrix, Values};
use gander::recording::{Control, Recording};
use gander::router::Router;
use gander::tensor::{DType, Tensor};

use crate::peak::Limit;

const D_MODEL: usize = 512;
const INNER: usize = 384;
const HEADS: usize = 6;
const RANK: usize = 16;

/// A format of weights by name, and how floats become it.
type Format = (&'static str, fn(&[f32]) -> Values);

pub const FORMATS: [Format; 2] = [("Q8_0", Values::q8_0_from), ("Q4_0", Values::q4_0_from)];

/// Something to time, with its multiplications.
pub struct Case {
    pub name: String,
    pub limit: Limit,
    pub multiplications: usize,
    run: Box<dyn FnMut()>,
}

impl Case {
    /// Multiplications a second, measured for so short a time that others on the machine leave some of them alone.
    pub fn measure(&mut self) -> f64 {
        const SECONDS: f64 = 2e-4;
        let mut times = 1;
        loop {
            let start = Instant::now();
            (0..times).for_each(|_| (self.run)());
            let seconds = start.elapsed().as_secs_f64();
            if seconds > SECONDS {
                return (times * self.multiplications) as f64 / seconds;
            }
            times *= 2;
        }
    }
}

/// From floats to a quantised format.
type Quantise = fn(&[f32]) -> Values;

/// All of them, one after another: each has a device of its own, whose memory goes with it.
pub fn cases() -> impl Iterator<Item = Case> {
    let formats: [(&str, Quantise); 2] = [("Q8_0", Values::q8_0_from), ("Q4_0", Values::q4_0_from)];
    let products = formats
        .into_iter()
        .flat_map(|(name, round)| [1, 4, 8, 64].map(|tokens| move || product(name, round, tokens)));
    let factors = [1, 2, 4, 8, 16].map(|tokens| move || factor("A", RANK, D_MODEL, tokens));
    let b = [1, 2, 4, 8, 16].map(|tokens| move || factor("B", D_MODEL, RANK, tokens));
    let routing =
        [(1, 64), (64, 64), (1, 512), (64, 512)].map(|(tokens, experts)| move || scan(tokens, experts));
    let attentions = [1, 64, 512].map(|tokens| move || attend(tokens));
    products
        .map(|case| case())
        .chain(factors.into_iter().map(|case| case()))
        .chain(b.into_iter().map(|case| case()))
        .chain(routing.into_iter().map(|case| case()))
        .chain(attentions.into_iter().map(|case| case()))
}

fn random(count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(count as u64);
    (0..count).map(|_| random.f32() - 0.5).collect()
}

fn floats(device: &mut Device, rows: usize, cols: usize) -> Tensor {
    device.upload(rows, cols, DType::F32, &random(rows * cols))
}

fn control(device: &mut Device, position: u32) -> Tensor {
    let control = Control { position, ..Control::default() };
    device.upload(1, Control::WORDS, DType::U32, bytemuck::cast_slice::<Control, u32>(&[control]))
}

fn dispatches(mut device: Device, recording: Recording) -> Box<dyn FnMut()> {
    let plan: Plan = device.prepare(recording);
    let count = plan.recording.dispatches.len();
    Box::new(move || device.run(&plan, 0..count, 1))
}

/// wo of an encoder block: a weight that the second cache holds.
fn product(format: &str, round: fn(&[f32]) -> Values, tokens: usize) -> Case {
    const D_FF: usize = 1024;
    let mut device = Device::cpu();
    let matrix = Matrix { rows: D_MODEL, cols: D_FF, values: round(&random(D_MODEL * D_FF)) };
    let weight = Weight::upload(&mut device, &matrix);
    let input = Input::Plain(floats(&mut device, tokens, D_FF));
    let y = device.alloc(tokens, D_MODEL, DType::F32);
    let control = control(&mut device, 0);
    let mut recording = Recording::default();
    linear::record(&mut recording, control, input, &weight, 1.0, None, Output::Store, y);
    Case {
        name: format!("{format} panels, {D_MODEL} × {D_FF}, {tokens} tokens"),
        limit: Limit::Panels,
        multiplications: tokens * D_MODEL * D_FF,
        run: dispatches(device, recording),
    }
}

/// A LoRA factor alone, by activations that are rounded already.
fn factor(which: &str, rows: usize, cols: usize, tokens: usize) -> Case {
    let mut words = Vec::new();
    Factor::pack(&random(rows * cols), cols, &mut words);
    let width = cols.next_multiple_of(32);
    let mut activations = Activations::default();
    activations.quantise_short(&random(tokens * width), width);
    let mut sums = vec![0.0f32; tokens * rows];
    let run = move || {
        let factor = Factor::new(&words, rows, cols);
        factor.multiply(
            tokens,
            |index| activations.token(index),
            Processor::best(),
            |token, row, products| {
                let sums = &mut sums[token * rows + row..][..products.len()];
                sums.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
            },
        );
    };
    Case {
        name: format!("factor {which}, {rows} × {cols}, {tokens} tokens"),
        limit: Limit::Factors,
        multiplications: tokens * rows * cols,
        run: Box::new(run),
    }
}

/// The routing of one layer: the scan of the gates, what of it is computed again as floats, and A of two experts, of which
/// tokens choose each other ones.
fn scan(tokens: usize, experts: usize) -> Case {
    const TOP_K: usize = 2;
    let mut device = Device::cpu();
    let control = control(&mut device, 0);
    let mut words = vec![1u32];
    Factor::pack(&random(RANK * D_MODEL), D_MODEL, &mut words);
    let b = words.len() as u32 - 1;
    Factor::pack(&random(D_MODEL * RANK), RANK, &mut words);
    let entry =
        |expert: usize| Entry { expert: expert as u32, b, rank: RANK as u32, scale: 0.5, ..Entry::default() };
    let gates = random(experts * D_MODEL);
    let rows: Vec<_> =
        gates.chunks_exact(D_MODEL).enumerate().map(|(expert, gate)| (entry(expert), gate)).collect();
    let pool = device.upload(1, words.len(), DType::Factors, &words);
    let router = Router::upload(&mut device, D_MODEL, &[rows], Rule::Normalised, pool);
    let flags = Flags { tensor: device.alloc(1, 2 + experts, DType::U32), experts };
    let tensor = device.alloc(tokens, 2 * TOP_K, DType::U32);
    let choices = Choices { tensor, runners_up: 0, first_row: 0, rows_per_step: 0 };
    let memory = device.alloc(tokens, router.delta_words(TOP_K), DType::U32);
    let deltas = Deltas::within(memory, &router.gates, tokens, TOP_K);
    let input = Input::Plain(floats(&mut device, tokens, D_MODEL));
    let mut recording = Recording::default();
    let thresholds = Thresholds::default();
    route::record(
        &mut recording,
        control,
        input,
        &router.gates,
        pool,
        flags,
        choices,
        thresholds,
        deltas,
        false,
    );
    Case {
        name: format!("routing, {experts} gates and A of {TOP_K}, {D_MODEL}, {tokens} tokens"),
        limit: Limit::Panels,
        multiplications: tokens * D_MODEL * (experts + TOP_K * RANK),
        run: dispatches(device, recording),
    }
}

/// Over as many keys as there are tokens; of one token, a step over 64.
fn attend(tokens: usize) -> Case {
    let mut device = Device::cpu();
    let (bias, out) = (floats(&mut device, 257, HEADS), device.alloc(tokens, INNER, DType::F32));
    let qkv = floats(&mut device, tokens, 3 * INNER);
    let mut recording = Recording::default();
    let (name, multiplications) = if tokens == 1 {
        const KEYS: usize = 64;
        let control = control(&mut device, KEYS as u32 - 1);
        let past = floats(&mut device, KEYS, 2 * INNER);
        attention_step::record(&mut recording, control, qkv, bias, HEADS, past, out);
        (format!("attention step over {KEYS} keys"), 2 * KEYS * INNER)
    } else {
        let control = control(&mut device, 0);
        let [q, k, v] = [0, INNER, 2 * INNER].map(|column| attention::Columns { tensor: qkv, column });
        attention::record(&mut recording, control, q, k, v, bias, HEADS, out);
        (format!("attention, {tokens} tokens"), 2 * tokens * tokens * INNER)
    };
    Case { name, limit: Limit::Floats, multiplications, run: dispatches(device, recording) }
}
