//! How long an expert's own output is, on the CPU: what one [`Rule`](crate::kernels::score::Rule) scores by.

use crate::kernels::dot;
use crate::kernels::route::Entry;
use crate::panels::{Activations, Factor, ROWS};
use crate::processor::Processor;
use crate::quant::BLOCK;
use crate::recording::Argument;
use crate::tensor::DType;

/// Tokens (tokens, d_in) whose products with experts are measured.
pub(crate) struct Lengths<'a> {
    pub processor: Processor,
    /// The LoRA factors.
    pub pool: &'a Argument<'a>,
    pub u: &'a [f32],
    pub d_in: usize,
    pub d_out: usize,
    /// Where factors are packed, u as these want it: [`Lengths::round`] fills it.
    pub rounded: &'a mut Activations,
    /// Room for A u.
    pub projected: &'a mut Vec<f32>,
    /// Room for A u, rounded.
    pub rounded_projected: &'a mut Activations,
}

impl Lengths<'_> {
    /// Readies the tokens, once for all experts.
    pub fn round(&mut self) {
        if self.pool.dtype == DType::Factors {
            self.rounded.quantise_short(self.u, self.d_in);
        }
    }

    /// `‖B A u‖` of every token, for the expert whose page begins here.
    // Nothing is gained by being in its caller, and pages load every copy.
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    pub fn of(&mut self, entry: &Entry, page: u32, lengths: &mut Vec<f32>) {
        let rank = entry.rank as usize;
        let [a, b] = [entry.a, entry.b].map(|start| (page + start) as usize);
        lengths.clear();
        if self.pool.dtype == DType::Factors {
            let words = self.pool.as_slice::<u32>();
            let width = rank.next_multiple_of(BLOCK);
            let a = Factor::new(&words[a..], rank, self.d_in);
            products(&a, self.rounded, self.processor, width, self.projected);
            self.rounded_projected.quantise_short(self.projected, width);
            let b = Factor::new(&words[b..], self.d_out, rank);
            let height = self.d_out.next_multiple_of(ROWS);
            products(&b, self.rounded_projected, self.processor, height, self.projected);
            lengths.extend(self.projected.chunks_exact(height).map(|output| dot(output, output).sqrt()));
            return;
        }
        let floats = self.pool.as_slice::<f32>();
        let (a, b) = (&floats[a..][..rank * self.d_in], &floats[b..][..self.d_out * rank]);
        for u in self.u.chunks_exact(self.d_in) {
            self.projected.clear();
            self.projected.extend(a.chunks_exact(self.d_in).map(|a| dot(a, u)));
            let outputs = b.chunks_exact(rank).map(|b| dot(b, self.projected));
            lengths.push(outputs.map(|output| output * output).sum::<f32>().sqrt());
        }
    }
}

/// A factor times every token, filled up with zeros to (tokens, width).
#[inline(never)]
fn products(factor: &Factor, tokens: &Activations, processor: Processor, width: usize, room: &mut Vec<f32>) {
    room.clear();
    room.resize(tokens.tokens() * width, 0.0);
    let token = |index| tokens.token(index);
    // The rows that fill up the last panel are zeros.
    factor.multiply(tokens.tokens(), token, processor, |index, row, sums| {
        room[index * width + row..][..ROWS].copy_from_slice(sums);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{BufferId, Tensor};

    #[test]
    fn packed_factors_are_as_long_as_floats() {
        let mut random = fastrand::Rng::with_seed(3);
        for (tokens, d_in, rank, d_out) in [(1, 32, 1, 16), (5, 64, 5, 33), (9, 96, 40, 48)] {
            let mut floats = |count: usize| (0..count).map(|_| random.f32() - 0.5).collect::<Vec<_>>();
            let (u, a, b) = (floats(tokens * d_in), floats(rank * d_in), floats(d_out * rank));
            let expected: Vec<f64> = u
                .chunks_exact(d_in)
                .map(|u| {
                    let product = |rows: &[f32], x: &[f64]| -> Vec<f64> {
                        let row = |row: &[f32]| row.iter().zip(x).map(|(a, x)| f64::from(*a) * x).sum();
                        rows.chunks_exact(x.len()).map(row).collect()
                    };
                    let u: Vec<f64> = u.iter().map(|u| f64::from(*u)).collect();
                    product(&b, &product(&a, &u)).iter().map(|y| y * y).sum::<f64>().sqrt()
                })
                .collect();
            // Something stands before the page, and before each factor.
            let mut packed = vec![7; 3];
            let mut places = [0; 2];
            for (place, (factor, cols)) in places.iter_mut().zip([(&a, d_in), (&b, rank)]) {
                packed.push(u32::MAX);
                *place = packed.len() as u32 - 2;
                Factor::pack(factor, cols, &mut packed);
            }
            let plain: Vec<u32> = [0.0, 0.0].iter().chain(&a).chain(&b).map(|x: &f32| x.to_bits()).collect();
            let plain_places = [0, (rank * d_in) as u32];
            for (dtype, words, [a, b]) in
                [(DType::U32, &plain, plain_places), (DType::Factors, &packed, places)]
            {
                let tensor = Tensor { buffer: BufferId(0), offset: 0, rows: 1, cols: words.len(), dtype };
                let mut lengths = Lengths {
                    processor: Processor::best(),
                    pool: &Argument::read(&tensor, bytemuck::cast_slice(words)),
                    u: &u,
                    d_in,
                    d_out,
                    rounded: &mut Activations::default(),
                    projected: &mut Vec::new(),
                    rounded_projected: &mut Activations::default(),
                };
                lengths.round();
                let mut found = Vec::new();
                lengths.of(
                    &Entry { expert: 0, page: 0, a, b, rank: rank as u32, scale: 9.0, ..Entry::default() },
                    2,
                    &mut found,
                );
                assert_eq!(found.len(), tokens);
                for (found, expected) in found.iter().zip(&expected) {
                    let error = (f64::from(*found) / expected - 1.0).abs();
                    assert!(error < 2e-3, "{dtype:?} {tokens} {d_in} {rank} {d_out}: {found} {expected}");
                }
            }
        }
    }
}
