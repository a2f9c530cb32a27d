//! `y = scale · W u + Σ_z B_z t_z`, or `y += …`: row by row for few tokens, in tiles for many.

use fastrand::Rng;
use gander::kernels::ABSENT;
use gander::kernels::linear::{self, Output};
use gander::kernels::route::Deltas;
use gander::quant::Matrix;

use super::case::{Bench, Case, TOLERANCE, Word};
use super::inputs::{Form, Term, input, product, rounded, rounding};
use super::numbers::{Fill, Format, element};

/// Layers of equal height, each with a delta of its own.
#[derive(Debug, Clone, Copy)]
struct Sites {
    count: usize,
    top_k: usize,
    max_rank: usize,
}

#[derive(Debug, Clone)]
struct Shape {
    tokens: usize,
    d_in: usize,
    d_out: usize,
    /// Several: the rows of several matrices, which become f32 if they differ.
    formats: Vec<Format>,
    form: Form,
    fill: Fill,
    scale: f32,
    output: Output,
    sites: Option<Sites>,
}

impl Shape {
    fn new(tokens: usize, d_in: usize, d_out: usize, format: Format) -> Shape {
        Shape {
            tokens,
            d_in,
            d_out,
            formats: vec![format],
            form: Form::Plain,
            fill: Fill::Random(1.0),
            scale: 1.0,
            output: Output::Store,
            sites: None,
        }
    }
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // Every format of every input, in both forms of the kernel.
    for format in Format::ALL {
        for form in Form::ALL {
            for tokens in [1, 33] {
                cases.push(case(Shape { form, ..Shape::new(tokens, 96, 70, format) }));
            }
        }
    }
    // Awkward sizes, cycling through the rest.
    let outputs = [Output::Store, Output::Add];
    let mut turn = 0;
    for tokens in [1, 4, 5, 31, 32, 33, 70] {
        for d_in in [1, 7, 20, 33, 96, 512, 1024, 2049] {
            let formats: Vec<Format> = Format::ALL.into_iter().filter(|format| format.takes(d_in)).collect();
            let d_out = [1, 33, 7, 20, 96][turn % 5];
            let shape = Shape::new(tokens, d_in, d_out, formats[turn % formats.len()]);
            cases.push(case(Shape { form: Form::ALL[turn / 3 % 4], output: outputs[turn / 2 % 2], ..shape }));
            turn += 1;
        }
    }
    for (tokens, d_in, d_out) in [(1, 3072, 512), (1, 512, 3072), (40, 3072, 64), (5, 64, 3072)] {
        for format in [Format::F32, Format::Q8_0, Format::Q4_0] {
            cases.push(case(Shape::new(tokens, d_in, d_out, format)));
        }
    }
    // Experts: sites, slots, ranks, and pages that are absent.
    for tokens in [1, 4, 33, 70] {
        for (count, top_k, max_rank) in [(1, 1, 1), (3, 2, 16), (2, 8, 64), (6, 3, 7)] {
            let sites = Some(Sites { count, top_k, max_rank });
            for output in outputs {
                let shape = Shape::new(tokens, 64, 20 * count, Format::Q8_0);
                cases.push(case(Shape { form: Form::Norm, output, sites, ..shape }));
            }
        }
    }
    // Awkward numbers.
    for fill in [
        Fill::Random(1e4),
        Fill::Random(1e-4),
        Fill::Around(1e4),
        Fill::Constant(0.0),
        Fill::Constant(-0.0),
        Fill::Constant(-2.0),
    ] {
        for tokens in [1, 6] {
            for form in [Form::Plain, Form::Norm, Form::GatedGelu] {
                cases.push(case(Shape { fill, form, ..Shape::new(tokens, 96, 33, Format::Q8_0) }));
            }
        }
    }
    for tokens in [2, 33] {
        let shape = || Shape::new(tokens, 64, 66, Format::F16);
        let sites = Some(Sites { count: 3, top_k: 2, max_rank: 5 });
        // The head of a T5 that scales its logits.
        cases.push(case(Shape { scale: 0.044, ..shape() }));
        cases.push(case(Shape { scale: 0.044, form: Form::Norm, sites, ..shape() }));
        cases.push(case(Shape { formats: vec![Format::F16; 3], ..shape() }));
        cases.push(case(Shape { formats: vec![Format::Q8_0, Format::F32, Format::Q4_0], ..shape() }));
        cases.push(case(shape()).halted(3));
    }
    cases
}

fn case(shape: Shape) -> Case {
    Case::new(format!("linear of {shape:?}"), move |bench: &mut Bench| {
        let Shape { tokens, d_in, d_out, ref formats, form, fill, scale, output, sites } = shape;
        let mut random = Rng::with_seed((tokens * 31 + d_in) as u64);
        let (input, u) = input(bench, &mut random, form, tokens, d_in, fill);
        let height = d_out / formats.len();
        let matrices: Vec<Matrix> =
            formats.iter().map(|format| format.matrix(&mut random, height, d_in)).collect();
        let weight = bench.weight(&matrices.iter().collect::<Vec<_>>());
        let mut y: Vec<Term> = Vec::new();
        // What rounding the input may do to each.
        let mut doubts: Vec<f64> = Vec::new();
        for u in &u {
            let rounding = rounding(bench, formats, tokens, u);
            for row in 0..d_out {
                let weights = || (0..d_in).map(|col| element(&matrices[row / height], row % height, col));
                let Term { value, size } = product(u, weights());
                y.push(Term { value: f64::from(scale) * value, size: f64::from(scale) * size });
                doubts.push(f64::from(scale) * rounded(&rounding, weights()));
            }
        }
        let deltas = sites.map(|sites| add_experts(bench, &mut random, sites, &mut y, d_out));
        let mut before = vec![f32::NAN; tokens * d_out];
        if output == Output::Add {
            before = Fill::Random(2.0).floats(&mut random, tokens * d_out);
            for (y, before) in y.iter_mut().zip(&before) {
                y.value += f64::from(*before);
                y.size += f64::from(before.abs());
            }
        }
        let expected = y.iter().zip(doubts).map(|(y, doubt)| Word::Near(y.value, TOLERANCE * y.size + doubt));
        let expected = expected.collect();
        let y = bench.output(tokens, d_out, &before, expected);
        linear::record(&mut bench.recording, bench.control, input, &weight, scale, deltas, output, y);
    })
}

/// Experts by hand, as a router leaves them, and what they add to `y`.
fn add_experts(
    bench: &mut Bench,
    random: &mut Rng,
    sites: Sites,
    y: &mut [Term],
    d_out: usize,
) -> (Deltas, gander::tensor::Tensor) {
    let Sites { count, top_k, max_rank } = sites;
    let tokens = y.len() / d_out;
    let height = d_out / count;
    // Scores lie behind the slots, and a kernel that takes them for deltas takes NaN.
    let most_experts = 3;
    let pool = Fill::Random(1.0).floats(random, height * max_rank + 11);
    let mut words: Vec<u32> = Vec::new();
    for token in 0..tokens {
        for site in 0..count {
            for slot in 0..top_k {
                let rank = random.usize(1..=max_rank);
                let t = Fill::Random(1.0).floats(random, max_rank);
                let is_absent = random.u8(..) < 64 && slot > 0;
                let b = random.usize(..pool.len() - height * rank);
                words.extend(match is_absent {
                    true => [ABSENT, 0],
                    false => [b as u32, rank as u32],
                });
                words.extend(t.iter().map(|t| t.to_bits()));
                for row in 0..height {
                    let y = &mut y[token * d_out + site * height + row];
                    for r in 0..rank {
                        let term = f64::from(pool[b + row * rank + r]) * f64::from(t[r]);
                        if !is_absent {
                            y.value += term;
                            y.size += term.abs();
                        }
                    }
                }
            }
            words.extend([f32::NAN.to_bits(); 3]);
        }
    }
    let cols = words.len() / tokens;
    let tensor = bench.words(tokens, cols, &words);
    let pool: Vec<u32> = pool.iter().map(|value| value.to_bits()).collect();
    let pool = bench.words(1, pool.len(), &pool);
    (Deltas { tensor, sites: count, top_k, max_rank, most_experts }, pool)
}
