//! A tile in plain Rust, for processors that have no part of their own here, and what the others are tested against.

use bytemuck::cast;

use super::factors::{FACTOR_BLOCK_BYTES, PAIR_BYTES};
use super::{Bits, Block, QUAD, QUAD_BYTES, ROWS, SCALE_BYTES};

/// The sums of a panel's rows with each of some tokens, which are whole.
pub fn multiply<const TOKENS: usize>(
    panel: &[u8],
    bits: Bits,
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    let mut sums = [[0.0f32; ROWS]; TOKENS];
    for (index, block) in panel.chunks_exact(bits.block_bytes()).enumerate() {
        let (scales, quads) = block.split_at(SCALE_BYTES);
        for (sums, token) in sums.iter_mut().zip(tokens) {
            let Block { scale, sum, words } = &token[index];
            let quants: [[i16; QUAD]; 8] = cast(*words);
            let mut dots = [-bits.offset() * sum; ROWS];
            for (place, quad) in quads.chunks_exact(QUAD_BYTES).enumerate() {
                for (dot, weights) in dots.iter_mut().zip(quad.chunks_exact(QUAD)) {
                    for (column, weight) in weights.iter().enumerate() {
                        let quant = |place: usize| i32::from(quants[place][column]);
                        *dot += match bits {
                            Bits::Eight => i32::from(*weight) * quant(place),
                            Bits::Four => {
                                i32::from(weight & 15) * quant(place)
                                    + i32::from(weight >> 4) * quant(place + 4)
                            }
                        };
                    }
                }
            }
            for (row, (sum, dot)) in sums.iter_mut().zip(dots).enumerate() {
                let weight_scale: f32 = bytemuck::pod_read_unaligned(&scales[4 * row..][..4]);
                *sum += dot as f32 * (weight_scale * scale);
            }
        }
    }
    sums
}

/// The same of a panel of a factor.
pub fn multiply_factor<const TOKENS: usize>(
    panel: &[u8],
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    let mut sums = [[0.0f32; ROWS]; TOKENS];
    for (index, block) in panel.chunks(FACTOR_BLOCK_BYTES).enumerate() {
        let (scales, pairs) = block.split_at(SCALE_BYTES);
        for (sums, token) in sums.iter_mut().zip(tokens) {
            let Block { scale, words, .. } = &token[index];
            let mut dots = [0i32; ROWS];
            for (pair, word) in pairs.chunks_exact(PAIR_BYTES).zip(words) {
                let quants: [i16; 2] = cast(*word);
                for (dot, weights) in dots.iter_mut().zip(pair.chunks_exact(4)) {
                    let weights: [i16; 2] = bytemuck::pod_read_unaligned(weights);
                    *dot += i32::from(weights[0]) * i32::from(quants[0])
                        + i32::from(weights[1]) * i32::from(quants[1]);
                }
            }
            for (row, (sum, dot)) in sums.iter_mut().zip(dots).enumerate() {
                let weight_scale: f32 = bytemuck::pod_read_unaligned(&scales[4 * row..][..4]);
                *sum += dot as f32 * (weight_scale * scale);
            }
        }
    }
    sums
}
