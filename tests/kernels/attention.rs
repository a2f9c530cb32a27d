//! `out[i] = Σ_j softmax_j(q_i · k_j + bias[j − i]) v_j`, for many queries, and for one new token with a cache.

use fastrand::Rng;
use gander::kernels::attention::{self, Columns};
use gander::kernels::attention_step;

use super::case::{Bench, Case, TOLERANCE, Word};
use super::numbers::Fill;

#[derive(Debug, Clone)]
struct Shape {
    queries: usize,
    keys: usize,
    heads: usize,
    d_kv: usize,
    /// The bias's table ends at this distance. None: no bias.
    reach: Option<usize>,
    fill: Fill,
}

pub fn cases() -> Vec<Case> {
    let shape = |queries, keys, heads, d_kv| Shape {
        queries,
        keys,
        heads,
        d_kv,
        reach: Some(3),
        fill: Fill::Random(1.0),
    };
    let mut cases = Vec::new();
    for keys in [1, 2, 63, 64, 65, 128, 200] {
        for (heads, d_kv) in [(2, 1), (3, 16), (2, 64), (1, 128)] {
            let reach = [None, Some(3), Some(250)][keys % 3];
            cases.push(many(Shape { reach, ..shape(3, keys, heads, d_kv) }, false));
            cases.push(step(shape(1, keys, heads, d_kv)));
        }
    }
    // The encoder: queries, keys and values side by side, as many of each.
    for tokens in [1, 5, 33, 70] {
        cases.push(many(shape(tokens, tokens, 6, 64), true));
        cases.push(many(Shape { reach: Some(128), ..shape(tokens, tokens, 2, 7) }, true));
    }
    // As many queries as are computed together, one more, and twice as many but one; with a bias that ends within reach, and without.
    for queries in [4, 5, 7] {
        for (keys, d_kv) in [(1, 64), (31, 5), (130, 64), (520, 40)] {
            let reach = [None, Some(6)][queries % 2];
            cases.push(many(Shape { reach, ..shape(queries, keys, 2, d_kv) }, false));
        }
    }
    cases.push(many(shape(2, 70, 1, 256), false));
    cases.push(step(shape(1, 70, 1, 256)));
    for fill in [
        Fill::Random(1e-3),
        Fill::Random(1e2),
        Fill::Around(30.0),
        Fill::Constant(0.0),
        Fill::Constant(-0.0),
        Fill::Constant(1e4),
    ] {
        cases.push(many(Shape { fill, ..shape(4, 100, 2, 33) }, false));
        cases.push(step(Shape { fill, ..shape(1, 100, 2, 33) }));
    }
    cases.push(many(shape(2, 9, 2, 16), false).halted(1));
    cases.push(step(shape(1, 9, 2, 16)).halted(2));
    cases
}

/// Everything of one attention, in the numbers of its formula.
struct Numbers {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    bias: Vec<f32>,
}

fn numbers(random: &mut Rng, shape: &Shape) -> Numbers {
    let inner = shape.heads * shape.d_kv;
    let mut floats = |count| shape.fill.floats(random, count);
    let (q, k, v) = (floats(shape.queries * inner), floats(shape.keys * inner), floats(shape.keys * inner));
    let rows = shape.reach.map_or(0, |reach| 2 * reach + 1);
    Numbers { q, k, v, bias: Fill::Random(3.0).floats(random, rows * shape.heads) }
}

/// One query at position `at`.
fn attend(shape: &Shape, numbers: &Numbers, query: usize, at: usize) -> Vec<Word> {
    let Shape { keys, heads, d_kv, reach, .. } = *shape;
    let inner = heads * d_kv;
    let mut out = Vec::new();
    for head in 0..heads {
        let lane = |row: usize, lane: usize| row * inner + head * d_kv + lane;
        let (mut scores, mut error) = (Vec::new(), 0.0f64);
        for j in 0..keys {
            let products =
                (0..d_kv).map(|d| f64::from(numbers.q[lane(query, d)]) * f64::from(numbers.k[lane(j, d)]));
            let bias: f64 = reach.map_or(0.0, |reach| {
                let reach = reach as isize;
                let distance = (j as isize - at as isize).clamp(-reach, reach);
                numbers.bias[(reach + distance) as usize * heads + head].into()
            });
            let size = products.clone().map(f64::abs).sum::<f64>() + bias.abs();
            scores.push(products.sum::<f64>() + bias);
            error = error.max(TOLERANCE * size);
        }
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
        for d in 0..d_kv {
            let (mut sum, mut size) = (0.0, 0.0);
            for (j, score) in scores.iter().enumerate() {
                let term = (score - highest).exp() / total * f64::from(numbers.v[lane(j, d)]);
                sum += term;
                size += term.abs();
            }
            // Scores that are off by e make every probability off by a factor of exp(2 e) at most.
            out.push(Word::Near(sum, size * ((2.0 * error).exp_m1() + TOLERANCE)));
        }
    }
    out
}

/// Side by side: queries, keys and values are columns of one tensor, as the encoder has them. Otherwise keys and values
/// are columns of a tensor with others between them, as cross-attention has them.
fn many(shape: Shape, side_by_side: bool) -> Case {
    let layout = if side_by_side { ", side by side" } else { "" };
    Case::new(format!("attention of {shape:?}{layout}"), move |bench: &mut Bench| {
        let inner = shape.heads * shape.d_kv;
        let numbers = numbers(&mut Rng::with_seed(shape.keys as u64), &shape);
        let expected: Vec<Word> =
            (0..shape.queries).flat_map(|query| attend(&shape, &numbers, query, query)).collect();
        let Numbers { q, k, v, bias } = &numbers;
        let (q, k, v) = match side_by_side {
            true => {
                let all = columns(&[q, k, v], inner);
                let tensor = bench.fenced(shape.queries, 3 * inner, &all);
                let part = |part| Columns { tensor, column: part * inner };
                (part(0), part(1), part(2))
            }
            false => {
                let other = vec![f32::NAN; k.len()];
                let tensor =
                    bench.fenced(shape.keys, 5 * inner, &columns(&[&other, k, &other, v, &other], inner));
                let part = |part| Columns { tensor, column: part * inner };
                let q = Columns { tensor: bench.fenced(shape.queries, inner, q), column: 0 };
                (q, part(1), part(3))
            }
        };
        let bias = bench.floats(bias.len() / shape.heads, shape.heads, bias);
        let out = bench.output(shape.queries, inner, &vec![7.0; shape.queries * inner], expected);
        attention::record(&mut bench.recording, bench.control, q, k, v, bias, shape.heads, out);
    })
}

/// The matrices side by side; each has `cols` columns.
fn columns(matrices: &[&Vec<f32>], cols: usize) -> Vec<f32> {
    let row = |row: usize| matrices.iter().flat_map(move |matrix| matrix[row * cols..][..cols].to_vec());
    (0..matrices[0].len() / cols).flat_map(row).collect()
}

/// One decoder step at the last key's position, done twice.
fn step(shape: Shape) -> Case {
    Case::new(format!("attention_step of {shape:?}"), move |bench: &mut Bench| {
        let inner = shape.heads * shape.d_kv;
        let at = shape.keys - 1;
        let numbers = numbers(&mut Rng::with_seed(shape.keys as u64), &shape);
        let expected = attend(&shape, &numbers, 0, at);
        let Numbers { q, k, v, bias } = &numbers;
        let qkv = [&q[..], &k[at * inner..], &v[at * inner..]].concat();
        let qkv = bench.fenced(1, 3 * inner, &qkv);
        // The cache holds all that came before, and NaN from this position on.
        let mut cache = columns(&[k, v], inner);
        cache.resize((shape.keys + 2) * 2 * inner, f32::NAN);
        let after = cache.iter().map(|value| Word::float(*value)).collect();
        cache[at * 2 * inner..].fill(f32::NAN);
        let cache = bench.floats(shape.keys + 2, 2 * inner, &cache);
        bench.expect("cache", cache, after);
        let bias = bench.floats(bias.len() / shape.heads, shape.heads, bias);
        let out = bench.output(1, inner, &vec![7.0; inner], expected);
        bench.words.position = at as u32;
        bench.times = 2;
        attention_step::record(&mut bench.recording, bench.control, qkv, bias, shape.heads, cache, out);
    })
}
