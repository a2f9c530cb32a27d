//! `y = x / sqrt(mean(x²) + epsilon) · weight`

use fastrand::Rng;
use gander::kernels::rms_norm;

use super::case::{Bench, Case, TOLERANCE, Word};
use super::inputs;
use super::numbers::Fill;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for d in [1, 7, 20, 33, 96, 512, 1024, 2049, 3072] {
        for tokens in [1, 5, 33] {
            cases.push(case(tokens, d, Fill::Random(1.0), 1e-6));
        }
    }
    for fill in [
        Fill::Random(1e4),
        Fill::Random(1e-4),
        Fill::Around(1e4),
        Fill::Constant(0.0),
        Fill::Constant(-0.0),
        Fill::Constant(3.0),
    ] {
        cases.push(case(4, 512, fill, 1e-6));
    }
    cases.push(case(2, 33, Fill::Random(1.0), 0.5));
    cases.push(case(3, 96, Fill::Random(1.0), 1e-6).halted(1));
    cases
}

fn case(tokens: usize, d: usize, fill: Fill, epsilon: f32) -> Case {
    Case::new(
        format!("rms_norm of ({tokens}, {d}), {fill:?}, epsilon {epsilon}"),
        move |bench: &mut Bench| {
            let mut random = Rng::with_seed(d as u64);
            let x = fill.floats(&mut random, tokens * d);
            let weights = Fill::Random(3.0).floats(&mut random, d);
            let expected = x.chunks_exact(d).flat_map(|x| {
                let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
                inputs::rms_norm(&x, weights.iter().map(|weight| f64::from(*weight)), epsilon.into())
            });
            let expected = expected.map(|y| Word::Near(y, TOLERANCE * y.abs())).collect();
            let x = bench.fenced(tokens, d, &x);
            let weight = bench.fenced(1, d, &weights);
            let y = bench.output(tokens, d, &vec![7.0; tokens * d], expected);
            rms_norm::record(&mut bench.recording, bench.control, x, weight, epsilon, y);
        },
    )
}
