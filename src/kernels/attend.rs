//! The attention of one query, on the CPU.

use crate::kernels::{dot_by, softmax};
use crate::processor::Processor;
use crate::recording::Argument;

/// Rows of keys and values, of all heads.
pub(crate) struct KeysAndValues<'a> {
    pub floats: &'a [f32],
    pub cols: usize,
    /// First column of the keys.
    pub k: usize,
    /// First column of the values.
    pub v: usize,
}

impl<'a> KeysAndValues<'a> {
    pub fn new(tensor: &'a Argument, k: u32, v: u32) -> KeysAndValues<'a> {
        KeysAndValues { floats: tensor.as_slice(), cols: tensor.cols, k: k as usize, v: v as usize }
    }

    pub fn count(&self) -> usize {
        self.floats.len() / self.cols
    }
}

/// What is added to the scores of self-attention, by relative position.
pub(crate) struct PositionBias<'a> {
    /// (2 reach + 1, heads); no rows where there is no bias.
    table: &'a [f32],
    reach: isize,
    pub heads: usize,
}

impl<'a> PositionBias<'a> {
    pub fn new(table: &'a Argument, heads: usize) -> PositionBias<'a> {
        PositionBias { table: table.as_slice(), reach: (table.rows / 2) as isize, heads }
    }

    pub fn is_there(&self) -> bool {
        !self.table.is_empty()
    }

    /// Of a head, for a query and a key at these positions.
    #[inline(always)]
    pub fn of(&self, head: usize, query: usize, key: usize) -> f32 {
        let distance = (key as isize - query as isize).clamp(-self.reach, self.reach);
        self.table[(self.reach + distance) as usize * self.heads + head]
    }
}

/// One query, at position `at`, over the first `count` keys. Rows are read once, for all heads: they are far apart in
/// memory, and a head's part of one is a few cache lines.
// One copy in WebAssembly, as in `kernels::input::compute`.
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
#[expect(clippy::too_many_arguments, reason = "the tensors are the formula's own")]
pub(crate) fn attend(
    query: &[f32],
    at: usize,
    keys: &KeysAndValues,
    count: usize,
    bias: &PositionBias,
    processor: Processor,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let heads = bias.heads;
    let d_kv = query.len() / heads;
    scores.clear();
    scores.resize(heads * count, 0.0);
    // Of some rows, head by head: while one is waited for, the others come too.
    for first in (0..count).step_by(TOGETHER) {
        for (head, query) in query.chunks_exact(d_kv).enumerate() {
            for j in first..count.min(first + TOGETHER) {
                let key = &keys.floats[j * keys.cols + keys.k + head * d_kv..][..d_kv];
                // Not divided by sqrt(d_kv): T5's initialisation accounts for it.
                scores[head * count + j] = dot_by(processor, query, key);
            }
        }
    }
    for (head, scores) in scores.chunks_exact_mut(count).enumerate() {
        if bias.is_there() {
            scores.iter_mut().enumerate().for_each(|(j, score)| *score += bias.of(head, at, j));
        }
        softmax(scores);
    }
    out.fill(0.0);
    let value = |j: usize, head: usize| &keys.floats[j * keys.cols + keys.v + head * d_kv..][..d_kv];
    let together = count - count % TOGETHER;
    for j in (0..together).step_by(TOGETHER) {
        for (head, out) in out.chunks_exact_mut(d_kv).enumerate() {
            let probabilities: &[f32; TOGETHER] =
                scores[head * count + j..].first_chunk().expect("so many are left");
            let [a, b, c, d] = [0, 1, 2, 3].map(|next| value(j + next, head));
            for ((((out, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let [first, second, third, fourth] = probabilities;
                *out = *out + first * a + second * b + third * c + fourth * d;
            }
        }
    }
    for j in together..count {
        for (head, out) in out.chunks_exact_mut(d_kv).enumerate() {
            let probability = scores[head * count + j];
            out.iter_mut().zip(value(j, head)).for_each(|(out, value)| *out += probability * value);
        }
    }
}

/// Rows that are read together.
const TOGETHER: usize = 4;
