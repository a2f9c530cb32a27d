//! Activations in 16 bits, one scale for each 32 of a token: outliers spoil their own block and no other.
//!
//! Not in 8 bits, which is as good as everybody's choice: with these, the choices of experts and the tokens of a base are
//! nearly always those that it has without rounding; with 8 bits one choice of a hundred differs. Where a processor
//! multiplies 16 bits by 8 bits anyway they cost nothing, and where it multiplies 8 by 8, a token's products wait for
//! the memory that the weights come from.

use bytemuck::{Pod, Zeroable};

use crate::processor::Processor;
use crate::quant::BLOCK;

/// The largest magnitude: both its halves, the upper rounded, fit a signed byte.
const LARGEST: i16 = 127 * 256 + 127;
/// The same of 14 bits, and of the quants of a [`Factor`](super::Factor): 32 products of both fit 31 bits.
pub(super) const LARGEST_OF_FACTORS: i16 = 8191;

/// 32 activations of one token: `a = scale · quant`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct Block {
    /// The largest magnitude divided by that of the quants. NaN or infinite where an activation is.
    pub scale: f32,
    /// Sum of the quants.
    pub sum: i32,
    /// The quants, in the form that the processor wants.
    pub words: [[u8; 4]; 16],
}

/// How quants lie in a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// 16 bits each.
    #[default]
    Whole,
    /// 16 bits each; of four that follow one another first those of the even columns, then those of the odd ones.
    #[cfg(target_arch = "wasm32")]
    Crossed,
    /// The upper bytes of all, then the lower: both signed, `quant = 256 · upper + lower`.
    #[cfg(any(target_arch = "x86_64", all(target_arch = "wasm32", feature = "relaxed-simd")))]
    Halves,
    /// 14 bits each, in 16.
    Short,
}

/// Tokens (tokens, cols), rounded. The memory is kept from one use to the next.
#[derive(Debug, Default)]
pub struct Activations {
    blocks: Vec<Block>,
    blocks_per_token: usize,
    form: Form,
}

impl Activations {
    /// Takes the place of what was here: floats (tokens, cols), `cols` a multiple of 32, as a processor wants them.
    #[inline(always)]
    pub fn quantise(&mut self, floats: &[f32], cols: usize, processor: Processor) {
        self.quantise_as(processor.form(), floats, cols);
    }

    /// The same in 14 bits, as a [`Factor`](super::Factor) wants them on every processor.
    #[inline(always)]
    pub fn quantise_short(&mut self, floats: &[f32], cols: usize) {
        self.quantise_as(Form::Short, floats, cols);
    }

    // As in `kernels::input::compute`.
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    fn quantise_as(&mut self, form: Form, floats: &[f32], cols: usize) {
        assert!(
            cols.is_multiple_of(BLOCK) && floats.len().is_multiple_of(cols),
            "{} of {cols}",
            floats.len()
        );
        self.blocks_per_token = cols / BLOCK;
        self.form = form;
        self.blocks.clear();
        let (blocks, _) = floats.as_chunks::<BLOCK>();
        match self.form {
            Form::Whole => self.blocks.extend(blocks.iter().map(|floats| Block::new(floats, LARGEST, whole))),
            #[cfg(target_arch = "wasm32")]
            Form::Crossed => {
                self.blocks.extend(blocks.iter().map(|floats| Block::new(floats, LARGEST, crossed)));
            }
            #[cfg(any(target_arch = "x86_64", all(target_arch = "wasm32", feature = "relaxed-simd")))]
            Form::Halves => {
                self.blocks.extend(blocks.iter().map(|floats| Block::new(floats, LARGEST, halves)));
            }
            Form::Short => {
                let block = |floats| Block::new(floats, LARGEST_OF_FACTORS, whole);
                self.blocks.extend(blocks.iter().map(block));
            }
        }
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.blocks.len() / self.blocks_per_token.max(1)
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.blocks_per_token * BLOCK
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// The blocks of one token.
    pub fn token(&self, index: usize) -> &[Block] {
        &self.blocks[index * self.blocks_per_token..][..self.blocks_per_token]
    }
}

impl Block {
    #[inline(always)]
    fn new(floats: &[f32; BLOCK], most: i16, words: impl Fn(&[i16; BLOCK]) -> [[u8; 4]; 16]) -> Block {
        // Compared as whole numbers, in which NaN is greater than infinity and infinity than all others: neither gets lost.
        let magnitudes = floats.iter().map(|x| (x.to_bits() & 0x7fff_ffff) as i32);
        let largest = f32::from_bits(magnitudes.fold(0, i32::max) as u32);
        let scale = largest / f32::from(most);
        // What is smaller is rounded to zero: its inverse would be infinite.
        let inverse = if scale < f32::MIN_POSITIVE { 0.0 } else { 1.0 / scale };
        let mut quants = [0i16; BLOCK];
        for (quant, x) in quants.iter_mut().zip(floats) {
            *quant = round(x * inverse) as i16;
        }
        let sum = quants.iter().map(|quant| i32::from(*quant)).sum();
        Block { scale, sum, words: words(&quants) }
    }

    /// Four quants that follow one another, of a whole form.
    #[inline]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(super) fn quad(&self, place: usize) -> [[u8; 4]; 2] {
        [self.words[2 * place], self.words[2 * place + 1]]
    }

    /// The upper and the lower bytes of four quants that follow one another, in halves.
    #[inline]
    #[cfg(any(target_arch = "x86_64", all(target_arch = "wasm32", feature = "relaxed-simd")))]
    pub(super) fn quad_halves(&self, place: usize) -> [[u8; 4]; 2] {
        [self.words[place], self.words[place + 8]]
    }
}

#[inline(always)]
fn whole(quants: &[i16; BLOCK]) -> [[u8; 4]; 16] {
    bytemuck::cast(*quants)
}

#[cfg(any(test, target_arch = "wasm32"))]
fn crossed(quants: &[i16; BLOCK]) -> [[u8; 4]; 16] {
    let (quads, _) = quants.as_chunks::<4>();
    let mut crossed = [[0; 4]; BLOCK / 4];
    for (crossed, [a, b, c, d]) in crossed.iter_mut().zip(quads) {
        *crossed = [*a, *c, *b, *d];
    }
    bytemuck::cast(crossed)
}

#[cfg(any(test, target_arch = "x86_64", all(target_arch = "wasm32", feature = "relaxed-simd")))]
#[inline(always)]
fn halves(quants: &[i16; BLOCK]) -> [[u8; 4]; 16] {
    let mut bytes = [0u8; 2 * BLOCK];
    let (upper, lower) = bytes.split_at_mut(BLOCK);
    for ((upper, lower), quant) in upper.iter_mut().zip(lower).zip(quants) {
        *upper = ((quant + 128) >> 8) as u8;
        *lower = *quant as u8;
    }
    bytemuck::cast(bytes)
}

/// To the nearest whole number, ties to even, of magnitudes below 2²². In two operations that every processor has for
/// vectors; of anything else it makes some number.
#[inline(always)]
fn round(x: f32) -> i32 {
    const MAGIC: f32 = (3 << 22) as f32;
    (x + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quants_are_the_nearest_in_every_form_and_carry_their_sum() {
        let mut random = fastrand::Rng::with_seed(1);
        for magnitude in [1e-30, 1e-3, 1.0, 1e4, 1e30] {
            let floats: [f32; BLOCK] = std::array::from_fn(|_| (random.f32() - 0.5) * magnitude);
            let Block { scale, sum, words } = Block::new(&floats, LARGEST, whole);
            let quants: [i16; BLOCK] = bytemuck::cast(words);
            assert_eq!(sum, quants.iter().map(|quant| i32::from(*quant)).sum::<i32>());
            assert_eq!(quants.iter().map(|quant| quant.abs()).max(), Some(LARGEST));
            for (quant, x) in quants.iter().zip(floats) {
                let error = f64::from(*quant) * f64::from(scale) - f64::from(x);
                assert!(error.abs() <= 0.51 * f64::from(scale), "{x}: {quant} × {scale}");
            }
            let crossed: [[i16; 4]; BLOCK / 4] = bytemuck::cast(Block::new(&floats, LARGEST, crossed).words);
            for (quad, [a, c, b, d]) in quants.chunks_exact(4).zip(crossed) {
                assert_eq!(quad, [a, b, c, d]);
            }
            let bytes: [i8; 2 * BLOCK] = bytemuck::cast(Block::new(&floats, LARGEST, halves).words);
            let (upper, lower) = bytes.split_at(BLOCK);
            for ((quant, upper), lower) in quants.iter().zip(upper).zip(lower) {
                assert_eq!(i32::from(*quant), 256 * i32::from(*upper) + i32::from(*lower));
            }
        }
    }

    #[test]
    fn zeros_stay_zeros_and_what_is_no_number_stays_none() {
        for zero in [0.0, -0.0, 1e-40] {
            let Block { scale, sum, words } = Block::new(&[zero; BLOCK], LARGEST, whole);
            assert!(scale.is_finite() && sum == 0 && words == [[0; 4]; 16]);
        }
        for not_finite in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut floats = [1.0; BLOCK];
            floats[17] = not_finite;
            assert!(!Block::new(&floats, LARGEST, halves).scale.is_finite(), "{not_finite}");
        }
    }
}
