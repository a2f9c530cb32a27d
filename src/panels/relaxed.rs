//! Tiles for WebAssembly's relaxed SIMD, whose dot product of bytes is what ARM and x86 have of that kind.
//!
//! The standard says what it gives where the second operand's bytes are below 128, and leaves the rest to the engine: bytes from
//! 128 on may have a sign or none, and the sum of two products may saturate at 16 bits, or wrap around. So the engine is asked, and what
//! is multiplied is arranged so that every sum is exact: the bits are those of every other tile.

use std::arch::wasm32::*;

use bytemuck::{cast, pod_read_unaligned};

use super::wasm::add_block;
use super::{Bits, Block, QUAD_BYTES, ROWS, SCALE_BYTES};

/// Tiles of an engine with relaxed SIMD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relaxed {
    operand: Operand,
    /// Another engine's instruction is done in plain code.
    is_emulated: bool,
}

/// How the dot product reads bytes from 128 on in its second operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operand {
    /// Without a sign: x86 with VNNI.
    Unsigned,
    /// With a sign: ARM, and the newest x86. What becomes of two products that are 2¹⁵ together, which only the least numbers of all
    /// are, is not relied on: in V8 on ARM they are that in optimised code, and −2¹⁵ in code that is not yet.
    Signed,
}

/// The instruction, by an engine or by a test in its place.
trait Dots {
    /// Sums of four products each, in 32 bits, added to `sums`. The first operand has signs.
    fn add_quads(signed: v128, bytes: v128, sums: v128) -> v128;
}

/// This engine.
enum Engine {}

impl Dots for Engine {
    #[inline(always)]
    fn add_quads(signed: v128, bytes: v128, sums: v128) -> v128 {
        i32x4_relaxed_dot_i8x16_i7x16_add(signed, bytes, sums)
    }
}

impl Operand {
    /// Asks with the numbers that are furthest apart, in some of the places and in all. None where sums saturate at 16 bits, as on x86
    /// without VNNI: there what is exact takes more instructions than a plain tile does.
    fn of<D: Dots>() -> Option<Operand> {
        const EDGES: [u8; 7] = [0, 1, 127, 128, 129, 254, 255];
        let (mut unsigned, mut signed) = (true, true);
        for first in EDGES {
            for second in EDGES {
                for places in 1..16u8 {
                    let only =
                        |byte: u8| [0, 1, 2, 3].map(|place| if places >> place & 1 == 1 { byte } else { 0 });
                    // The compiler is not to know what is asked: it would answer itself.
                    let [a, b] = std::hint::black_box([only(first), only(second)]);
                    let sums = D::add_quads(i32x4_splat(cast(a)), i32x4_splat(cast(b)), i32x4_splat(-7));
                    let expected = |second: i32| {
                        i32x4_splat(places.count_ones() as i32 * i32::from(first as i8) * second - 7)
                    };
                    let is = |expected| i32x4_all_true(i32x4_eq(sums, expected));
                    let has_pair = [0b0011, 0b1100].iter().any(|pair| places & pair == *pair);
                    let is_relied_on = !(first == 128 && second == 128 && has_pair);
                    unsigned &= is(expected(i32::from(second)));
                    signed &= !is_relied_on || is(expected(i32::from(second as i8)));
                }
            }
        }
        match (unsigned, signed) {
            (true, _) => Some(Operand::Unsigned),
            (_, true) => Some(Operand::Signed),
            _ => None,
        }
    }
}

impl Relaxed {
    /// This engine's, if it is of use here, and before it, for tests, those of the engines of each kind.
    pub fn all() -> impl DoubleEndedIterator<Item = Relaxed> {
        let own = Operand::of::<Engine>().map(|operand| Relaxed { operand, is_emulated: false });
        #[cfg(debug_assertions)]
        let emulated =
            [Operand::Unsigned, Operand::Signed].map(|operand| Relaxed { operand, is_emulated: true });
        #[cfg(not(debug_assertions))]
        let emulated = [];
        emulated.into_iter().chain(own)
    }

    /// The sums of a panel's rows with each of some tokens, which are in halves.
    #[inline(always)]
    pub fn multiply<const TOKENS: usize>(
        self,
        panel: &[u8],
        bits: Bits,
        tokens: [&[Block]; TOKENS],
    ) -> [[f32; ROWS]; TOKENS] {
        #[cfg(debug_assertions)]
        if self.is_emulated {
            return match self.operand {
                Operand::Unsigned => multiply::<emulated::Unsigned, _>(self.operand, panel, bits, tokens),
                Operand::Signed => multiply::<emulated::Signed, _>(self.operand, panel, bits, tokens),
            };
        }
        multiply::<Engine, _>(self.operand, panel, bits, tokens)
    }
}

#[inline(never)]
#[target_feature(enable = "relaxed-simd")]
fn multiply<D: Dots, const TOKENS: usize>(
    operand: Operand,
    panel: &[u8],
    bits: Bits,
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    match (bits, operand) {
        (Bits::Eight, Operand::Unsigned) => multiply_of::<D, TOKENS, false, false>(panel, tokens),
        (Bits::Eight, Operand::Signed) => multiply_of::<D, TOKENS, false, true>(panel, tokens),
        // Bytes below 16 are the same to all.
        (Bits::Four, _) => multiply_of::<D, TOKENS, true, false>(panel, tokens),
    }
}

/// Four columns of four rows by one half of an activation: one instruction.
#[target_feature(enable = "relaxed-simd")]
fn multiply_of<D: Dots, const TOKENS: usize, const FOUR: bool, const SIGNED: bool>(
    panel: &[u8],
    tokens: [&[Block]; TOKENS],
) -> [[f32; ROWS]; TOKENS] {
    let mut totals = [[f32x4_splat(0.0); 4]; TOKENS];
    let bits = if FOUR { Bits::Four } else { Bits::Eight };
    // A compiler that knows how long a block is unrolls all of its columns, and has more in use than there are registers.
    let block_bytes = std::hint::black_box(bits.block_bytes());
    for (index, block) in panel.chunks_exact(block_bytes).enumerate() {
        let blocks = tokens.map(|token| &token[index]);
        // There are registers for eight sums, two for each four rows of a token.
        if TOKENS == 1 {
            add_rows::<D, TOKENS, 4, FOUR, SIGNED>(block, blocks, 0, &mut totals);
        } else {
            add_rows::<D, TOKENS, 2, FOUR, SIGNED>(block, blocks, 0, &mut totals);
            add_rows::<D, TOKENS, 2, FOUR, SIGNED>(block, blocks, 2, &mut totals);
        }
    }
    totals.map(cast)
}

#[inline]
#[target_feature(enable = "relaxed-simd")]
fn add_rows<D: Dots, const TOKENS: usize, const GROUPS: usize, const FOUR: bool, const SIGNED: bool>(
    block: &[u8],
    blocks: [&Block; TOKENS],
    first_group: usize,
    totals: &mut [[v128; 4]; TOKENS],
) {
    let bits = if FOUR { Bits::Four } else { Bits::Eight };
    let (scales, quads) = block.split_at(SCALE_BYTES);
    let (quads, _) = quads.as_chunks::<QUAD_BYTES>();
    let mut upper = [[i32x4_splat(0); GROUPS]; TOKENS];
    // Weights that get their sign back have nothing to take out again.
    let offset = if SIGNED { 0 } else { bits.offset() };
    let mut lower = blocks.map(|block| [i32x4_splat(-offset * block.sum); GROUPS]);
    for (place, quad) in quads.iter().enumerate() {
        let halves = |place| blocks.map(|block| block.quad_halves(place).map(|half| i32x4_splat(cast(half))));
        // The remainder is for the compiler again: from a place that must be below eight it knows how often it goes round.
        let low = halves(place % 8);
        let high = halves((place + 4) % 8);
        let (groups, _) = quad.as_chunks::<16>();
        for (group, rows) in groups[first_group..][..GROUPS].iter().enumerate() {
            let mut rows: v128 = pod_read_unaligned(rows);
            if SIGNED {
                rows = v128_xor(rows, u8x16_splat(0x80));
            }
            let nibble = u8x16_splat(15);
            for token in 0..TOKENS {
                let (upper, lower) = (&mut upper[token][group], &mut lower[token][group]);
                let mut add = |halves: [v128; 2], weights| {
                    *upper = D::add_quads(halves[0], weights, *upper);
                    *lower = D::add_quads(halves[1], weights, *lower);
                };
                if FOUR {
                    add(low[token], v128_and(rows, nibble));
                    add(high[token], v128_and(u16x8_shr(rows, 4), nibble));
                } else {
                    add(low[token], rows);
                }
            }
        }
    }
    if SIGNED {
        for token in 0..TOKENS {
            if has_least_pair(blocks[token]) {
                for (group, lower) in lower[token].iter_mut().enumerate() {
                    *lower = lower_sums(quads, blocks[token], first_group + group);
                }
            }
        }
    }
    let scales: [v128; 4] = pod_read_unaligned(scales);
    for token in 0..TOKENS {
        for group in 0..GROUPS {
            let dots = i32x4_add(i32x4_shl(upper[token][group], 8), lower[token][group]);
            add_block(
                &mut totals[token][first_group + group],
                dots,
                scales[first_group + group],
                blocks[token],
            );
        }
    }
}

/// Whether the lower halves of two activations that are multiplied together are −128. One block of four thousand has such; upper halves
/// never are.
#[inline(always)]
fn has_least_pair(block: &Block) -> bool {
    let words: [v128; 4] = cast(block.words);
    let is_least = |word| i16x8_eq(word, u16x8_splat(0x8080));
    v128_any_true(v128_or(is_least(words[2]), is_least(words[3])))
}

/// What the dot products of lower halves with weights that have their sign are, whatever they are: in 16 bits and 32.
#[cold]
#[inline(never)]
fn lower_sums(quads: &[[u8; QUAD_BYTES]], block: &Block, group: usize) -> v128 {
    let mut sums = i32x4_splat(0);
    for (place, quad) in quads.iter().enumerate() {
        let rows = v128_xor(pod_read_unaligned(&quad[16 * group..][..16]), u8x16_splat(0x80));
        let [_, lower] = block.quad_halves(place % 8);
        let lower = i32x4_splat(cast(lower));
        let a = i32x4_extadd_pairwise_i16x8(i16x8_extmul_low_i8x16(rows, lower));
        let b = i32x4_extadd_pairwise_i16x8(i16x8_extmul_high_i8x16(rows, lower));
        let quads = i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b));
        sums = i32x4_add(sums, quads);
    }
    sums
}

/// Engines of each kind in plain code, for tests: whichever engine runs them, all are tested.
#[cfg(debug_assertions)]
mod emulated {
    use super::Dots;
    use bytemuck::cast;
    use std::arch::wasm32::v128;

    pub enum Unsigned {}
    pub enum Signed {}

    impl Dots for Unsigned {
        fn add_quads(signed: v128, bytes: v128, sums: v128) -> v128 {
            add(signed, bytes, sums, i32::from, |pair| pair)
        }
    }

    impl Dots for Signed {
        fn add_quads(signed: v128, bytes: v128, sums: v128) -> v128 {
            add(signed, bytes, sums, |byte| i32::from(byte as i8), |pair| i32::from(pair as i16))
        }
    }

    /// `second` reads a byte of the second operand, and `pair` is what becomes of the sum of two products.
    pub fn add(
        signed: v128,
        bytes: v128,
        sums: v128,
        second: impl Fn(u8) -> i32,
        pair: impl Fn(i32) -> i32,
    ) -> v128 {
        let [signed, bytes]: [[u8; 16]; 2] = [cast(signed), cast(bytes)];
        let product = |at: usize| i32::from(signed[at] as i8) * second(bytes[at]);
        let mut sums: [i32; 4] = cast(sums);
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += pair(product(4 * lane) + product(4 * lane + 1));
            *sum += pair(product(4 * lane + 2) + product(4 * lane + 3));
        }
        cast(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test as test;

    wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

    enum Saturating {}

    impl Dots for Saturating {
        fn add_quads(signed: v128, bytes: v128, sums: v128) -> v128 {
            let pair = |sum: i32| sum.clamp(i16::MIN.into(), i16::MAX.into());
            emulated::add(signed, bytes, sums, i32::from, pair)
        }
    }

    /// As [`emulated::Signed`], which wraps around, but for that.
    enum Exact {}

    impl Dots for Exact {
        fn add_quads(signed: v128, bytes: v128, sums: v128) -> v128 {
            emulated::add(signed, bytes, sums, |byte| i32::from(byte as i8), |pair| pair)
        }
    }

    /// Reads bytes without a sign, but only half of its lanes do.
    enum Uneven {}

    impl Dots for Uneven {
        fn add_quads(signed: v128, bytes: v128, sums: v128) -> v128 {
            let [unsigned, signed] = [emulated::Unsigned::add_quads, emulated::Signed::add_quads]
                .map(|dots| dots(signed, bytes, sums));
            i32x4_shuffle::<0, 1, 6, 7>(unsigned, signed)
        }
    }

    #[test]
    fn an_engine_is_asked_what_it_reads() {
        assert_eq!(Operand::of::<emulated::Unsigned>(), Some(Operand::Unsigned));
        assert_eq!(Operand::of::<emulated::Signed>(), Some(Operand::Signed));
        assert_eq!(Operand::of::<Exact>(), Some(Operand::Signed));
        assert_eq!(Operand::of::<Saturating>(), None);
        assert_eq!(Operand::of::<Uneven>(), None);
    }
}
