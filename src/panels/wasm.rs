//! Tiles for WebAssembly's vectors of 128 bits.

use std::arch::wasm32::*;

use bytemuck::{cast, pod_read_unaligned};

use super::{Bits, Block, QUAD_BYTES, ROWS, SCALE_BYTES};

/// Vectors of two rows, widened to 16 bits; an instruction is eight products, summed in pairs, and the two pairs of a row
/// are added at the end of a block.
pub fn multiply<const TOKENS: usize>(
    panel: &[u8],
    bits: Bits,
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    match bits {
        Bits::Eight => multiply_of::<TOKENS, false>(panel, tokens),
        Bits::Four => multiply_of::<TOKENS, true>(panel, tokens),
    }
}

fn multiply_of<const TOKENS: usize, const FOUR: bool>(
    panel: &[u8],
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    let bits = if FOUR { Bits::Four } else { Bits::Eight };
    let low_nibble = u16x8_splat(15);
    let mut totals = [[f32x4_splat(0.0); 4]; TOKENS];
    for (index, block) in panel.chunks_exact(bits.block_bytes()).enumerate() {
        let (scales, quads) = block.split_at(SCALE_BYTES);
        let blocks = tokens.map(|token| &token[index]);
        let mut dots = [[i32x4_splat(0); 8]; TOKENS];
        for (place, quad) in quads.chunks_exact(QUAD_BYTES).enumerate() {
            let low = blocks.map(|block| i64x2_splat(cast(block.quad(place))));
            let high = blocks.map(|block| i64x2_splat(cast(block.quad((place + 4) % 8))));
            for (group, rows) in quad.as_chunks::<8>().0.iter().enumerate() {
                // Read and widened in one instruction.
                let weights: v128 = cast(rows.map(u16::from));
                for ((dots, low), high) in dots.iter_mut().zip(low).zip(high) {
                    let dots = &mut dots[group];
                    if FOUR {
                        *dots = i32x4_add(*dots, i32x4_dot_i16x8(v128_and(weights, low_nibble), low));
                        *dots = i32x4_add(*dots, i32x4_dot_i16x8(u16x8_shr(weights, 4), high));
                    } else {
                        *dots = i32x4_add(*dots, i32x4_dot_i16x8(weights, low));
                    }
                }
            }
        }
        for ((totals, dots), block) in totals.iter_mut().zip(dots).zip(blocks) {
            let offset = i32x4_splat(-bits.offset() * block.sum);
            for (group, total) in totals.iter_mut().enumerate() {
                let [a, b] = [dots[2 * group], dots[2 * group + 1]];
                let pairs = i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b));
                let rows = f32x4_convert_i32x4(i32x4_add(pairs, offset));
                let scales: v128 = pod_read_unaligned(&scales[16 * group..][..16]);
                let scales = f32x4_mul(scales, f32x4_splat(block.scale));
                *total = f32x4_add(*total, f32x4_mul(rows, scales));
            }
        }
    }
    totals.map(cast)
}
