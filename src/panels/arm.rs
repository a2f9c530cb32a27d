//! Tiles for ARM's vectors of 128 bits, which every 64-bit ARM has.

use std::arch::aarch64::*;

use bytemuck::{cast, pod_read_unaligned};

use super::factors::{FACTOR_BLOCK_BYTES, PAIR_BYTES};
use super::{Bits, Block, QUAD_BYTES, ROWS, SCALE_BYTES};

/// Vectors of two rows, widened to 16 bits; an instruction is the four products of one row, which are added at the end of a
/// block.
#[target_feature(enable = "neon")]
pub fn neon<const TOKENS: usize>(
    panel: &[u8],
    bits: Bits,
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    match bits {
        Bits::Eight => tokens.map(|token| neon_of::<false>(panel, token)),
        Bits::Four => tokens.map(|token| neon_of::<true>(panel, token)),
    }
}

#[target_feature(enable = "neon")]
fn neon_of<const FOUR: bool>(panel: &[u8], token: &[Block]) -> [f32; ROWS] {
    let bits = if FOUR { Bits::Four } else { Bits::Eight };
    let mut totals = [vdupq_n_f32(0.0); 4];
    for (panel, block) in panel.chunks_exact(bits.block_bytes()).zip(token) {
        let (scales, quads) = panel.split_at(SCALE_BYTES);
        let mut dots = [vdupq_n_s32(0); ROWS];
        let mut add = |group: usize, weights: uint8x8_t, place: usize| {
            let quad: int16x4_t = cast(block.quad(place));
            let weights = vreinterpretq_s16_u16(vmovl_u8(weights));
            dots[2 * group] = vmlal_s16(dots[2 * group], vget_low_s16(weights), quad);
            dots[2 * group + 1] = vmlal_s16(dots[2 * group + 1], vget_high_s16(weights), quad);
        };
        for (place, quad) in quads.chunks_exact(QUAD_BYTES).enumerate() {
            for (group, rows) in quad.chunks_exact(8).enumerate() {
                let weights: uint8x8_t = pod_read_unaligned(rows);
                if FOUR {
                    add(group, vand_u8(weights, vdup_n_u8(15)), place);
                    add(group, vshr_n_u8::<4>(weights), place + 4);
                } else {
                    add(group, weights, place);
                }
            }
        }
        let offset = vdupq_n_s32(-bits.offset() * block.sum);
        for (group, total) in totals.iter_mut().enumerate() {
            let [a, b, c, d] = [0, 1, 2, 3].map(|row| dots[4 * group + row]);
            let rows = vaddq_s32(vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)), offset);
            let scales: float32x4_t = pod_read_unaligned(&scales[16 * group..][..16]);
            let scales = vmulq_n_f32(scales, block.scale);
            *total = vaddq_f32(*total, vmulq_f32(vcvtq_f32_s32(rows), scales));
        }
    }
    cast(totals)
}

/// Vectors of four rows of a factor; an instruction is the products of two rows, which are added at the end of a block.
#[target_feature(enable = "neon")]
pub fn neon_factor<const TOKENS: usize>(panel: &[u8], tokens: [&[Block]; TOKENS]) -> [[f32; ROWS]; TOKENS] {
    tokens.map(|token| {
        let mut totals = [vdupq_n_f32(0.0); 4];
        for (panel, block) in panel.chunks(FACTOR_BLOCK_BYTES).zip(token) {
            let (scales, pairs) = panel.split_at(SCALE_BYTES);
            let mut dots = [vdupq_n_s32(0); 8];
            for (pair, word) in pairs.chunks_exact(PAIR_BYTES).zip(block.words) {
                let quants = vdup_n_s32(cast(word));
                let quants = vreinterpret_s16_s32(quants);
                for (rows, dots) in pair.chunks_exact(8).zip(&mut dots) {
                    let weights: int16x4_t = pod_read_unaligned(rows);
                    *dots = vmlal_s16(*dots, weights, quants);
                }
            }
            for (group, total) in totals.iter_mut().enumerate() {
                let rows = vpaddq_s32(dots[2 * group], dots[2 * group + 1]);
                let scales: float32x4_t = pod_read_unaligned(&scales[16 * group..][..16]);
                let scales = vmulq_n_f32(scales, block.scale);
                *total = vaddq_f32(*total, vmulq_f32(vcvtq_f32_s32(rows), scales));
            }
        }
        cast(totals)
    })
}
