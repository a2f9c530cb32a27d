//! The operations that a T5 with routed experts is made of.
//!
//! One file each, the stem also names the shader: the parameters, the function that appends the kernel to a
//! [`Recording`](crate::recording::Recording), and what it computes, in plain loops that read like the formula.
//!
//! They are as large as a GPU wants them: a decoder layer is fourteen dispatches, since each costs some microseconds
//! whatever it computes. Layers that share an input are one product, and a norm or a non-linearity before a product
//! belongs to it.

pub(crate) mod attend;
pub(crate) mod attend_together;
pub mod attention;
pub mod attention_step;
pub(crate) mod choice;
pub mod embed;
pub(crate) mod gates;
pub mod input;
pub(crate) mod length;
pub mod linear;
pub mod next_token;
pub mod rms_norm;
pub mod route;
pub mod score;
pub mod sigmoid_gate;
pub mod weight;

use crate::processor::Processor;

/// In a table of indices: there is none. No expert in this slot, no memory behind this page.
pub const ABSENT: u32 = u32::MAX;

/// In a pool's table of pages: absent, and to be done without. It adds nothing, and no step waits for it.
pub const WAIVED: u32 = ABSENT - 1;

/// Bits without a state: the same words give the same ones, on every device and in any order.
///
/// Source: `pcg` of Jarzynski and Olano 2020, "Hash Functions for GPU Rendering", section 4.
pub(crate) fn hash<const WORDS: usize>(words: [u32; WORDS]) -> u32 {
    words.into_iter().fold(0, |hash, word| pcg(hash ^ word))
}

/// The hash of one more word, of that word and the hash of those before it.
#[inline(always)]
pub(crate) fn pcg(x: u32) -> u32 {
    let state = x.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

const LANES: usize = 16;

/// `a · b`, in sixteen sums side by side so that the compiler can use vector registers. The order of the additions
/// depends on the length alone, never on what else is computed. In a large function it may make none of them: [`dot_by`] is
/// the same with instructions that are named.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let tail: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    for (x, y) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sum(&sums) + tail
}

/// [`dot`], bit for bit, certainly in vectors where the processor has some that are long.
#[inline(always)]
pub(crate) fn dot_by(processor: Processor, a: &[f32], b: &[f32]) -> f32 {
    processor.dot(a, b, dot)
}

/// The greatest first; total_cmp, so that NaN panics nowhere.
#[inline(never)]
pub(crate) fn sort_descending(floats: &mut [f32]) {
    floats.sort_unstable_by(|a, b| b.total_cmp(a));
}

/// `Σ x`, in the order of [`dot`].
#[inline(always)]
pub(crate) fn total(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += chunk[lane];
        }
    }
    sum(&sums) + rest.iter().sum::<f32>()
}

/// Halves added to halves: few steps that wait for one another, and those in vectors. Not inlined: seeing which of the sums are
/// added first, the compiler makes the loop before it in vectors of two, or in none.
#[inline(never)]
fn sum(x: &[f32; LANES]) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|lane| x[lane] + x[lane + 8]);
    let four: [f32; 4] = std::array::from_fn(|lane| eight[lane] + eight[lane + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// `e^x`, to two units in the last place. Without a branch, so that the compiler can make vectors of it. What is below −86
/// gives e^−86, which is next to nothing; NaN stays NaN, and what is too large is infinite.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOWEST: f32 = -86.0;
    const MAGIC: f32 = (3 << 22) as f32;
    // ln 2 in two parts, the first of few bits: n times it is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // Not `max`, which loses NaN.
    let x = if x < LOWEST { LOWEST } else { x };
    // Above, the power of two would leave its eight bits; twice half of it is infinite where it should be.
    let x = if x > 89.0 { 89.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = x - n * LN_2[0] - n * LN_2[1];
    // Taylor's series: |r| is at most ln 2 / 2, where the next term is below 2^-27.
    let series = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let power = series.into_iter().fold(0.0, |sum, term| sum * r + term);
    let exponent = shifted.to_bits() as i32 - MAGIC.to_bits() as i32;
    power * f32::from_bits(((exponent - 1 + 127) << 23) as u32) * 2.0
}

/// `max x`, in sixteen side by side.
#[inline(always)]
fn greatest(x: &[f32]) -> f32 {
    let mut greatest = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            greatest[lane] = greatest[lane].max(chunk[lane]);
        }
    }
    greatest.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// `x = exp(x − max x) / Σ exp(x − max x)`, in place.
#[inline(always)]
pub(crate) fn softmax(x: &mut [f32]) {
    let max = greatest(x);
    x.iter_mut().for_each(|x| *x = exp(*x - max));
    let inverse = 1.0 / total(x);
    x.iter_mut().for_each(|x| *x *= inverse);
}

#[cfg(test)]
mod tests {
    use super::{dot, dot_by, exp};
    use crate::processor::Processor;

    #[test]
    fn products_of_every_processor_are_the_same() {
        let mut random = fastrand::Rng::with_seed(1);
        for length in [1, 15, 16, 17, 32, 384, 500, 512, 1024] {
            let mut floats = || (0..length).map(|_| random.f32() - 0.5).collect::<Vec<_>>();
            let (a, b) = (floats(), floats());
            let expected = dot(&a, &b);
            for processor in Processor::all() {
                assert_eq!(
                    dot_by(processor, &a, &b).to_bits(),
                    expected.to_bits(),
                    "{processor:?}, {length}"
                );
            }
        }
    }

    #[test]
    fn the_exponential_is_right_to_two_units_in_the_last_place() {
        for step in -860_000..=880_000 {
            let x = step as f32 * 1e-4;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error <= 2.0 * f64::from(f32::EPSILON), "e^{x}: {} for {expected}", exp(x));
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e30) < 1e-37 && exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!((exp(90.0), exp(f32::INFINITY)), (f32::INFINITY, f32::INFINITY));
    }
}
