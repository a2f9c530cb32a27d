//! The blocks of ggml, byte by byte: how each quantised format packs its integers and scales.
//!
//! Layouts and arithmetic are those of `ggml-common.h` and `dequantize_row_*` in `ggml-quants.c`. Products and sums
//! are in f32, in the reference's order, so results are equal bit for bit. Every function takes whole blocks.

use half::f16;

use crate::quant::{BLOCK, Values};

/// Little-endian 32-bit floats.
pub fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// Little-endian 16-bit words: the bits of f16 or bfloat16.
pub fn u16s(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks().0.iter().map(|&bytes| u16::from_le_bytes(bytes)).collect()
}

/// `block_q8_0`: scale (f16), 32 × i8.
pub fn split_q8_0(bytes: &[u8]) -> Values {
    let mut quants = Vec::with_capacity(bytes.len() / 34 * BLOCK);
    let mut scales = Vec::with_capacity(bytes.len() / 34);
    for block in bytes.chunks_exact(34) {
        scales.push(u16::from_le_bytes([block[0], block[1]]));
        quants.extend(block[2..].iter().map(|&byte| byte as i8));
    }
    Values::Q8_0 { quants, scales }
}

/// `block_q4_0`: scale (f16), 16 bytes of two nibbles.
pub fn split_q4_0(bytes: &[u8]) -> Values {
    let mut nibbles = Vec::with_capacity(bytes.len() / 18 * BLOCK / 2);
    let mut scales = Vec::with_capacity(bytes.len() / 18);
    for block in bytes.chunks_exact(18) {
        scales.push(u16::from_le_bytes([block[0], block[1]]));
        nibbles.extend_from_slice(&block[2..]);
    }
    Values::Q4_0 { nibbles, scales }
}

/// `block_q4_1`: scale, minimum (f16), 16 bytes of two nibbles. `weight = scale · nibble + minimum`.
pub fn dequantize_q4_1(bytes: &[u8]) -> Vec<f32> {
    each_block(bytes, 20, |block, weights| {
        let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
        let nibbles = low_then_high(&block[4..20]);
        weights.extend(nibbles.map(|nibble| f32::from(nibble) * scale + minimum));
    })
}

/// `block_q5_0`: scale (f16), 32 fifth bits, 16 bytes of two nibbles. `weight = scale · (quant − 16)`.
pub fn dequantize_q5_0(bytes: &[u8]) -> Vec<f32> {
    each_block(bytes, 22, |block, weights| {
        let scale = half_at(block, 0);
        let quants = with_fifth_bit(&block[2..6], &block[6..22]);
        weights.extend(quants.map(|quant| (f32::from(quant) - 16.0) * scale));
    })
}

/// `block_q5_1`: scale, minimum (f16), 32 fifth bits, 16 bytes of two nibbles. `weight = scale · quant + minimum`.
pub fn dequantize_q5_1(bytes: &[u8]) -> Vec<f32> {
    each_block(bytes, 24, |block, weights| {
        let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
        let quants = with_fifth_bit(&block[4..8], &block[8..24]);
        weights.extend(quants.map(|quant| f32::from(quant) * scale + minimum));
    })
}

/// `block_q4_K`: scale, minimum (f16), 8 × (6-bit scale, 6-bit minimum) in 12 bytes, 128 bytes of two nibbles.
///
/// Groups of 32 weights; a run of 32 bytes holds one group in its low halves and the next in its high halves.
pub fn dequantize_q4_k(bytes: &[u8]) -> Vec<f32> {
    each_block(bytes, 144, |block, weights| {
        let groups = SixBitScales::read(block);
        for (pair, run) in block[16..144].chunks_exact(32).enumerate() {
            let (scale, minimum) = groups.of(2 * pair);
            weights.extend(run.iter().map(|byte| scale * f32::from(byte & 15) - minimum));
            let (scale, minimum) = groups.of(2 * pair + 1);
            weights.extend(run.iter().map(|byte| scale * f32::from(byte >> 4) - minimum));
        }
    })
}

/// `block_q5_K`: as Q4_K, with 32 bytes of fifth bits before the nibbles: bit g of byte l is that of group g's weight l.
pub fn dequantize_q5_k(bytes: &[u8]) -> Vec<f32> {
    each_block(bytes, 176, |block, weights| {
        let groups = SixBitScales::read(block);
        let fifth_bits = &block[16..48];
        for (pair, run) in block[48..176].chunks_exact(32).enumerate() {
            for half in 0..2 {
                let group = 2 * pair + half;
                let (scale, minimum) = groups.of(group);
                weights.extend(run.iter().zip(fifth_bits).map(|(byte, bits)| {
                    let nibble = if half == 0 { byte & 15 } else { byte >> 4 };
                    let quant = nibble | (bits >> group & 1) << 4;
                    scale * f32::from(quant) - minimum
                }));
            }
        }
    })
}

/// `block_q6_K`: 128 bytes of low nibbles, 64 bytes of high pairs of bits, 16 × i8 scales, scale (f16).
///
/// `weight = scale · group scale · (quant − 32)`, groups of 16. Each half of the block (128 weights) is four
/// runs of 32: the low nibbles of 32 bytes, of the next 32, then the high nibbles of the same 64.
pub fn dequantize_q6_k(bytes: &[u8]) -> Vec<f32> {
    each_block(bytes, 210, |block, weights| {
        let scale = half_at(block, 208);
        let group_scales = &block[192..208];
        for half in 0..2 {
            let low = &block[64 * half..][..64];
            let high = &block[128 + 32 * half..][..32];
            for run in 0..4 {
                for l in 0..32 {
                    let byte = low[32 * (run % 2) + l];
                    let nibble = if run < 2 { byte & 15 } else { byte >> 4 };
                    let quant = nibble | (high[l] >> (2 * run) & 3) << 4;
                    let group_scale = group_scales[8 * half + 2 * run + l / 16] as i8;
                    weights.push(scale * f32::from(group_scale) * (f32::from(quant) - 32.0));
                }
            }
        }
    })
}

/// A K-block's two f16 numbers, each times its eight 6-bit multiples.
struct SixBitScales {
    scale: f32,
    minimum: f32,
    packed: [u8; 12],
}

impl SixBitScales {
    fn read(block: &[u8]) -> Self {
        let mut packed = [0; 12];
        packed.copy_from_slice(&block[4..16]);
        SixBitScales { scale: half_at(block, 0), minimum: half_at(block, 2), packed }
    }

    /// (scale, minimum) of one group of 32 weights, `get_scale_min_k4` in ggml.
    fn of(&self, group: usize) -> (f32, f32) {
        let bytes = &self.packed;
        let (scale, minimum) = if group < 4 {
            (bytes[group] & 63, bytes[group + 4] & 63)
        } else {
            // The last four keep their low bits in bytes 8 to 11 and their high bits atop those of the first four.
            let low = bytes[group + 4];
            (low & 15 | bytes[group - 4] >> 6 << 4, low >> 4 | bytes[group] >> 6 << 4)
        };
        (self.scale * f32::from(scale), self.minimum * f32::from(minimum))
    }
}

fn each_block(bytes: &[u8], size: usize, dequantize: impl Fn(&[u8], &mut Vec<f32>)) -> Vec<f32> {
    let mut weights = Vec::new();
    for block in bytes.chunks_exact(size) {
        dequantize(block, &mut weights);
    }
    weights
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn low_then_high(nibbles: &[u8]) -> impl Iterator<Item = u8> {
    nibbles.iter().map(|byte| byte & 15).chain(nibbles.iter().map(|byte| byte >> 4))
}

fn with_fifth_bit(bits: &[u8], nibbles: &[u8]) -> impl Iterator<Item = u8> {
    low_then_high(nibbles).enumerate().map(move |(j, nibble)| nibble | (bits[j / 8] >> (j % 8) & 1) << 4)
}
