//! Tiles for x86.

use std::arch::x86_64::*;

use bytemuck::{cast, pod_read_unaligned};

use super::factors::{FACTOR_BLOCK_BYTES, PAIR_BYTES};
use super::{Bits, Block, QUAD_BYTES, ROWS, SCALE_BYTES};

/// One vector is the 16 rows, and an instruction is 64 products: unsigned weights by signed halves of activations.
#[target_feature(enable = "avx512f,avx512vnni")]
pub fn avx512_vnni<const TOKENS: usize>(
    panel: &[u8],
    bits: Bits,
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    match bits {
        Bits::Eight => avx512_vnni_of::<TOKENS, false>(panel, tokens),
        Bits::Four => avx512_vnni_of::<TOKENS, true>(panel, tokens),
    }
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn avx512_vnni_of<const TOKENS: usize, const FOUR: bool>(
    panel: &[u8],
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    let bits = if FOUR { Bits::Four } else { Bits::Eight };
    let low_nibble = _mm512_set1_epi8(15);
    let mut totals = [_mm512_setzero_ps(); TOKENS];
    for (index, block) in panel.chunks_exact(bits.block_bytes()).enumerate() {
        let (scales, quads) = block.split_at(SCALE_BYTES);
        let blocks = tokens.map(|token| &token[index]);
        let mut upper = [_mm512_setzero_si512(); TOKENS];
        let mut lower = blocks.map(|block| _mm512_set1_epi32(-bits.offset() * block.sum));
        for (place, quad) in quads.chunks_exact(QUAD_BYTES).enumerate() {
            let weights: __m512i = pod_read_unaligned(quad);
            let mut add = |weights, place| {
                for token in 0..TOKENS {
                    let halves = blocks[token].quad_halves(place).map(|half| _mm512_set1_epi32(cast(half)));
                    upper[token] = _mm512_dpbusd_epi32(upper[token], weights, halves[0]);
                    lower[token] = _mm512_dpbusd_epi32(lower[token], weights, halves[1]);
                }
            };
            if FOUR {
                add(_mm512_and_si512(weights, low_nibble), place);
                add(_mm512_and_si512(_mm512_srli_epi32(weights, 4), low_nibble), place + 4);
            } else {
                add(weights, place);
            }
        }
        let scales: __m512 = pod_read_unaligned(scales);
        for token in 0..TOKENS {
            let dots = _mm512_add_epi32(_mm512_slli_epi32(upper[token], 8), lower[token]);
            let scales = _mm512_mul_ps(scales, _mm512_set1_ps(blocks[token].scale));
            totals[token] = _mm512_add_ps(totals[token], _mm512_mul_ps(_mm512_cvtepi32_ps(dots), scales));
        }
    }
    totals.map(cast)
}

/// One vector is the 16 rows, and an instruction is 32 products, summed in pairs.
#[target_feature(enable = "avx512f,avx512vnni")]
pub fn avx512_vnni_factor<const TOKENS: usize>(
    panel: &[u8],
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    let mut totals = [_mm512_setzero_ps(); TOKENS];
    for (index, block) in panel.chunks(FACTOR_BLOCK_BYTES).enumerate() {
        let (scales, pairs) = block.split_at(SCALE_BYTES);
        let blocks = tokens.map(|token| &token[index]);
        // Two sums of each, so that fewer additions wait for one another.
        let mut dots = [[_mm512_setzero_si512(); 2]; TOKENS];
        let (twos, last) = pairs.as_chunks::<{ 2 * PAIR_BYTES }>();
        for (two, place) in twos.iter().zip((0..).step_by(2)) {
            let weights: [__m512i; 2] = pod_read_unaligned(two);
            for (dots, block) in dots.iter_mut().zip(blocks) {
                for half in 0..2 {
                    let quants = _mm512_set1_epi32(cast(block.words[place + half]));
                    dots[half] = _mm512_dpwssd_epi32(dots[half], weights[half], quants);
                }
            }
        }
        if !last.is_empty() {
            let weights: __m512i = pod_read_unaligned(last);
            for (dots, block) in dots.iter_mut().zip(blocks) {
                let quants = _mm512_set1_epi32(cast(block.words[2 * twos.len()]));
                dots[0] = _mm512_dpwssd_epi32(dots[0], weights, quants);
            }
        }
        let scales: __m512 = pod_read_unaligned(scales);
        for ((total, dots), block) in totals.iter_mut().zip(dots).zip(blocks) {
            let rows = _mm512_cvtepi32_ps(_mm512_add_epi32(dots[0], dots[1]));
            let scales = _mm512_mul_ps(scales, _mm512_set1_ps(block.scale));
            *total = _mm512_add_ps(*total, _mm512_mul_ps(rows, scales));
        }
    }
    totals.map(cast)
}

/// Vectors of four rows, widened to 16 bits; an instruction is 16 products, summed in pairs, and the two pairs of a row
/// are added at the end of a block.
#[target_feature(enable = "avx2")]
pub fn avx2<const TOKENS: usize>(
    panel: &[u8],
    bits: Bits,
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    match bits {
        Bits::Eight => avx2_of::<TOKENS, false>(panel, tokens),
        Bits::Four => avx2_of::<TOKENS, true>(panel, tokens),
    }
}

#[target_feature(enable = "avx2")]
fn avx2_of<const TOKENS: usize, const FOUR: bool>(
    panel: &[u8],
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    let bits = if FOUR { Bits::Four } else { Bits::Eight };
    let low_nibble = _mm_set1_epi8(15);
    let mut totals = [[_mm256_setzero_ps(); 2]; TOKENS];
    for (index, block) in panel.chunks_exact(bits.block_bytes()).enumerate() {
        let (scales, quads) = block.split_at(SCALE_BYTES);
        let blocks = tokens.map(|token| &token[index]);
        let mut dots = [[_mm256_setzero_si256(); 4]; TOKENS];
        for (place, quad) in quads.chunks_exact(QUAD_BYTES).enumerate() {
            let low = blocks.map(|block| _mm256_set1_epi64x(cast(block.quad(place))));
            let high = blocks.map(|block| _mm256_set1_epi64x(cast(block.quad((place + 4) % 8))));
            for (group, rows) in quad.chunks_exact(16).enumerate() {
                let weights: __m128i = pod_read_unaligned(rows);
                let parts = match FOUR {
                    false => [weights, weights],
                    true => [
                        _mm_and_si128(weights, low_nibble),
                        _mm_and_si128(_mm_srli_epi16(weights, 4), low_nibble),
                    ],
                };
                let parts = parts.map(|part| _mm256_cvtepu8_epi16(part));
                for ((dots, low), high) in dots.iter_mut().zip(low).zip(high) {
                    let dots = &mut dots[group];
                    *dots = _mm256_add_epi32(*dots, _mm256_madd_epi16(parts[0], low));
                    if FOUR {
                        *dots = _mm256_add_epi32(*dots, _mm256_madd_epi16(parts[1], high));
                    }
                }
            }
        }
        let (scales, _) = scales.as_chunks::<32>();
        for ((totals, dots), block) in totals.iter_mut().zip(dots).zip(blocks) {
            let offset = _mm256_set1_epi32(-bits.offset() * block.sum);
            for half in 0..2 {
                // Rows 0, 1, 4, 5, 2, 3, 6, 7.
                let pairs = _mm256_hadd_epi32(dots[2 * half], dots[2 * half + 1]);
                let rows = _mm256_permute4x64_epi64::<0b11_01_10_00>(pairs);
                let rows = _mm256_cvtepi32_ps(_mm256_add_epi32(rows, offset));
                let scales = _mm256_mul_ps(cast(scales[half]), _mm256_set1_ps(block.scale));
                totals[half] = _mm256_add_ps(totals[half], _mm256_mul_ps(rows, scales));
            }
        }
    }
    totals.map(cast)
}

/// Vectors of eight rows; an instruction is 16 products, summed in pairs.
#[target_feature(enable = "avx2")]
pub fn avx2_factor<const TOKENS: usize>(panel: &[u8], tokens: [&[Block]; TOKENS]) -> [[f32; ROWS]; TOKENS] {
    let mut totals = [[_mm256_setzero_ps(); 2]; TOKENS];
    for (index, block) in panel.chunks(FACTOR_BLOCK_BYTES).enumerate() {
        let (scales, pairs) = block.split_at(SCALE_BYTES);
        let blocks = tokens.map(|token| &token[index]);
        let mut dots = [[_mm256_setzero_si256(); 2]; TOKENS];
        for (place, pair) in pairs.chunks_exact(PAIR_BYTES).enumerate() {
            let weights: [__m256i; 2] = pod_read_unaligned(pair);
            for (dots, block) in dots.iter_mut().zip(blocks) {
                let quants = _mm256_set1_epi32(cast(block.words[place]));
                for (dots, weights) in dots.iter_mut().zip(weights) {
                    *dots = _mm256_add_epi32(*dots, _mm256_madd_epi16(weights, quants));
                }
            }
        }
        let scales: [__m256; 2] = pod_read_unaligned(scales);
        for ((totals, dots), block) in totals.iter_mut().zip(dots).zip(blocks) {
            for ((total, dots), scales) in totals.iter_mut().zip(dots).zip(scales) {
                let scales = _mm256_mul_ps(scales, _mm256_set1_ps(block.scale));
                *total = _mm256_add_ps(*total, _mm256_mul_ps(_mm256_cvtepi32_ps(dots), scales));
            }
        }
    }
    totals.map(cast)
}

/// `a · b` in sixteen sums, added in the order of [`kernels`](crate::kernels). What is longer than a multiple of sixteen is
/// not looked at.
#[target_feature(enable = "avx512f")]
#[inline]
pub fn avx512_dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
    let mut sums = _mm512_setzero_ps();
    for (a, b) in a.iter().zip(b) {
        sums = _mm512_add_ps(sums, _mm512_mul_ps(cast(*a), cast(*b)));
    }
    let [low, high]: [__m256; 2] = cast(sums);
    sum_of_eight(cast(low), cast(high))
}

/// The same.
#[target_feature(enable = "avx2")]
#[inline]
pub fn avx2_dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, b) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
    let mut sums = [_mm256_setzero_ps(); 2];
    for (a, b) in a.iter().zip(b) {
        let (a, b): ([__m256; 2], [__m256; 2]) = (cast(*a), cast(*b));
        for half in 0..2 {
            sums[half] = _mm256_add_ps(sums[half], _mm256_mul_ps(a[half], b[half]));
        }
    }
    sum_of_eight(cast(sums[0]), cast(sums[1]))
}

/// Eight sums, added to the eight of the other half first.
#[inline(always)]
fn sum_of_eight(low: [__m128; 2], high: [__m128; 2]) -> f32 {
    // SSE, which every x86 of 64 bits has.
    let add = |a: __m128, b: __m128| -> [f32; 4] {
        let (a, b): ([f32; 4], [f32; 4]) = (cast(a), cast(b));
        std::array::from_fn(|lane| a[lane] + b[lane])
    };
    let (first, second) = (add(low[0], high[0]), add(low[1], high[1]));
    let four = add(cast(first), cast(second));
    (four[0] + four[2]) + (four[1] + four[3])
}
