//! u, what linear layers and their routers compute from: on the device as an `Input`, here by its formula.

use fastrand::Rng;
use gander::device::{Device, WeightLayout};
use gander::kernels::input::Input;
use gander::kernels::linear::TILED_FROM;

use super::case::Bench;
use super::numbers::{Fill, Format};

/// How u comes from x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    Plain,
    Norm,
    Relu,
    GatedGelu,
}

impl Form {
    pub const ALL: [Form; 4] = [Form::Plain, Form::Norm, Form::Relu, Form::GatedGelu];
}

/// A number, and the size of what it is the sum of: rounding is relative to that.
#[derive(Debug, Clone, Copy)]
pub struct Term {
    pub value: f64,
    pub size: f64,
}

/// What each u of so many tokens may be off where it is multiplied: rounded, to whole parts of the largest of its 32.
pub fn rounding(bench: &Bench, formats: &[Format], tokens: usize, u: &[Term]) -> Vec<f64> {
    let rounds = match &*bench.device {
        Device::Cpu(cpu) => cpu.weight_layout() == WeightLayout::Panels,
        Device::Gpu(gpu) if tokens < TILED_FROM => gpu.integers().one_token,
        Device::Gpu(gpu) => gpu.integers().many_tokens,
    };
    let is_packed = rounds
        && matches!(formats[0], Format::Q8_0 | Format::Q4_0)
        && formats.iter().all(|format| *format == formats[0]);
    if !is_packed {
        return vec![0.0; u.len()];
    }
    let half_a_part = |block: &[Term]| {
        let largest = block.iter().fold(0.0f64, |largest, u| largest.max(u.value.abs()));
        vec![0.51 * largest / 32639.0; block.len()]
    };
    u.chunks_exact(32).flat_map(half_a_part).collect()
}

/// How far that may take a product of weights.
pub fn rounded(rounding: &[f64], weights: impl IntoIterator<Item = f64>) -> f64 {
    rounding.iter().zip(weights).map(|(rounding, weight)| rounding * weight.abs()).sum()
}

/// `Σ a b`
pub fn product(a: &[Term], b: impl IntoIterator<Item = f64>) -> Term {
    let mut sum = Term { value: 0.0, size: 0.0 };
    for (a, b) in a.iter().zip(b) {
        sum.value += a.value * b;
        sum.size += a.size * b.abs();
    }
    sum
}

const EPSILON: f32 = 1e-6;

/// An input on the device, and u (tokens, d_in).
pub fn input(
    bench: &mut Bench,
    random: &mut Rng,
    form: Form,
    tokens: usize,
    d_in: usize,
    fill: Fill,
) -> (Input, Vec<Vec<Term>>) {
    let cols = if form == Form::GatedGelu { 2 * d_in } else { d_in };
    let floats = fill.floats(random, tokens * cols);
    let weights = Fill::Random(2.0).floats(random, d_in);
    let x = bench.fenced(tokens, cols, &floats);
    let input = match form {
        Form::Plain => Input::Plain(x),
        Form::Norm => Input::Norm { x, weight: bench.fenced(1, d_in, &weights), epsilon: EPSILON },
        Form::Relu => Input::Relu(x),
        Form::GatedGelu => Input::GatedGelu(x),
    };
    let rows = floats.chunks_exact(cols).map(|row| {
        let x: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
        let weights = weights.iter().map(|weight| f64::from(*weight));
        match form {
            Form::Plain => x.iter().map(|x| term(*x)).collect(),
            Form::Norm => rms_norm(&x, weights, EPSILON.into()).into_iter().map(term).collect(),
            Form::Relu => x.iter().map(|x| term(x.max(0.0))).collect(),
            Form::GatedGelu => {
                let (gates, values) = x.split_at(d_in);
                let gated = |(gate, value): (&f64, &f64)| Term {
                    value: gelu(*gate) * value,
                    // For negative numbers it is a small difference of large ones.
                    size: (gate * value).abs(),
                };
                gates.iter().zip(values).map(gated).collect()
            }
        }
    });
    (input, rows.collect())
}

fn term(value: f64) -> Term {
    Term { value, size: value.abs() }
}

/// `x / sqrt(mean(x²) + epsilon) · weight`
pub fn rms_norm(x: &[f64], weights: impl IntoIterator<Item = f64>, epsilon: f64) -> Vec<f64> {
    let mean_square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    x.iter().zip(weights).map(|(x, weight)| x / (mean_square + epsilon).sqrt() * weight).collect()
}

/// The tanh approximation of gelu.
fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}
