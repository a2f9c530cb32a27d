//! The forward pass while a gate is trained: `y = W u + sigmoid(v · u) s B A u`, two dispatches.

use fastrand::Rng;
use gander::kernels::linear::{self, Output};
use gander::kernels::route::{Deltas, Entry};
use gander::kernels::sigmoid_gate;

use super::case::{Bench, Case, TOLERANCE, Word};
use super::inputs::{Form, Term, input, product, rounded, rounding};
use super::numbers::{Fill, Format, element};

#[derive(Debug, Clone)]
struct Shape {
    tokens: usize,
    d_in: usize,
    rank: usize,
    form: Form,
    fill: Fill,
    /// What the gate holds: zeros at the start of training.
    gate: Fill,
}

pub fn cases() -> Vec<Case> {
    let shape = |tokens, d_in, rank| Shape {
        tokens,
        d_in,
        rank,
        form: Form::Plain,
        fill: Fill::Random(1.0),
        gate: Fill::Random(0.5),
    };
    let mut cases = Vec::new();
    for form in Form::ALL {
        for tokens in [1, 33] {
            cases.push(case(Shape { form, ..shape(tokens, 96, 8) }));
        }
    }
    for d_in in [1, 7, 33, 512, 2048, 2049, 3072] {
        cases.push(case(shape(2, d_in, 16)));
        cases.push(case(Shape { form: Form::Norm, ..shape(5, d_in, 3) }));
    }
    for rank in [1, 31, 32, 33, 64] {
        cases.push(case(shape(4, 64, rank)));
    }
    for gate in [Fill::Constant(0.0), Fill::Constant(1e3), Fill::Constant(-1e3)] {
        // Closed, half open and wide open gates.
        cases.push(case(Shape { gate, fill: Fill::Around(2.0), ..shape(3, 96, 4) }));
    }
    for fill in [Fill::Random(1e4), Fill::Constant(0.0), Fill::Constant(-0.0)] {
        cases.push(case(Shape { fill, ..shape(3, 96, 4) }));
    }
    cases.push(case(shape(2, 64, 4)).halted(1));
    cases
}

const D_OUT: usize = 20;

fn case(shape: Shape) -> Case {
    Case::new(format!("sigmoid_gate and linear of {shape:?}"), move |bench: &mut Bench| {
        let Shape { tokens, d_in, rank, form, fill, gate } = shape;
        let mut random = Rng::with_seed((d_in + rank) as u64);
        let (input, u) = input(bench, &mut random, form, tokens, d_in, fill);
        let format = if d_in.is_multiple_of(32) { Format::Q8_0 } else { Format::F16 };
        let matrix = format.matrix(&mut random, D_OUT, d_in);
        let gate = gate.floats(&mut random, d_in);
        let a = Fill::Random(1.0).floats(&mut random, rank * d_in);
        let b = Fill::Random(1.0).floats(&mut random, D_OUT * rank);
        let scale = 1.5f32;

        let wide = |floats: &[f32]| floats.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
        let mut expected = Vec::new();
        for u in &u {
            let rounding = rounding(bench, &[format], tokens, u);
            let logit = product(u, wide(&gate));
            let open = f64::from(scale) / (1.0 + (-logit.value).exp());
            let t: Vec<Term> = a.chunks_exact(d_in).map(|a| product(u, wide(a))).collect();
            for (row, b) in b.chunks_exact(rank).enumerate() {
                let weights = || (0..d_in).map(|col| element(&matrix, row, col));
                let base = product(u, weights());
                let doubt = rounded(&rounding, weights());
                let delta = product(&t, wide(b));
                // A sigmoid moves by at most its own size for each unit of its argument.
                let error = TOLERANCE * (base.size + open * delta.size * (1.0 + logit.size)) + doubt;
                expected.push(Word::Near(base.value + open * delta.value, error));
            }
        }

        // The page begins at word 5, A and B at its words 3 and 3 + rank · d_in.
        let page = [&[f32::NAN; 8][..], &a, &b].concat();
        let pool: Vec<u32> = page.iter().map(|value| value.to_bits()).collect();
        let pool = bench.words(1, pool.len(), &pool);
        let b = 3 + a.len() as u32;
        let entry = Entry { expert: 0, page: 0, a: 3, b, rank: rank as u32, scale, ..Entry::default() };
        // Room for a greater rank and for scores: neither is used.
        let memory = vec![f32::NAN.to_bits(); tokens * (2 + rank + 1 + 2)];
        let tensor = bench.words(tokens, memory.len() / tokens, &memory);
        bench.expect("deltas", tensor, vec![Word::Anything; memory.len()]);
        let deltas = Deltas { tensor, sites: 1, top_k: 1, max_rank: rank + 1, most_experts: 2 };
        let gate = bench.fenced(1, d_in, &gate);
        let weight = bench.weight(&[&matrix]);
        let y = bench.output(tokens, D_OUT, &vec![f32::NAN; tokens * D_OUT], expected);
        sigmoid_gate::record(&mut bench.recording, bench.control, input, gate, entry, 5, pool, deltas);
        let deltas = Some((deltas, pool));
        linear::record(&mut bench.recording, bench.control, input, &weight, 1.0, deltas, Output::Store, y);
    })
}
