//! What this processor can do, asked when the program runs: one program is for all of a kind.
//!
//! The one place with unsafe code: a function that was compiled for some instructions may be called only where they are.

use crate::kernels::attend_together::{QUERIES, products};
#[cfg(target_arch = "aarch64")]
use crate::panels::arm;
#[cfg(all(target_arch = "wasm32", feature = "relaxed-simd"))]
use crate::panels::relaxed::Relaxed;
#[cfg(target_arch = "wasm32")]
use crate::panels::wasm;
#[cfg(target_arch = "x86_64")]
use crate::panels::x86;
use crate::panels::{Bits, Block, Form, ROWS, plain};
use crate::recording::Argument;
use crate::scratch::Scratch;

/// Instructions that this processor has. Made by asking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processor(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "wasm32")]
    Wasm,
    #[cfg(all(target_arch = "wasm32", feature = "relaxed-simd"))]
    Relaxed(Relaxed),
}

/// Whether products in plain code are compiled: in WebAssembly, which has vectors everywhere, for tests alone, since pages load
/// what is compiled.
const HAS_PLAIN: bool = cfg!(any(not(target_arch = "wasm32"), debug_assertions));

impl Processor {
    /// Every way that this processor has, the fastest last.
    pub fn all() -> impl DoubleEndedIterator<Item = Processor> {
        #[cfg(target_arch = "x86_64")]
        let kinds = [
            (Kind::Plain, true),
            (Kind::Avx2, is_x86_feature_detected!("avx2")),
            (Kind::Avx512Vnni, has_avx512_vnni()),
        ];
        #[cfg(target_arch = "aarch64")]
        let kinds = [(Kind::Plain, true), (Kind::Neon, true)];
        #[cfg(target_arch = "wasm32")]
        let kinds = [(Kind::Plain, HAS_PLAIN), (Kind::Wasm, true)];
        #[cfg(all(target_arch = "wasm32", feature = "relaxed-simd"))]
        let kinds = kinds.into_iter().chain(Relaxed::all().map(|relaxed| (Kind::Relaxed(relaxed), true)));
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "wasm32")))]
        let kinds = [(Kind::Plain, true)];
        kinds.into_iter().filter(|(_, is_there)| *is_there).map(|(kind, _)| Processor(kind))
    }

    /// The fastest way.
    pub fn best() -> Processor {
        Processor::all().next_back().expect("every processor has a way")
    }

    /// How it wants activations.
    pub(crate) fn form(self) -> Form {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => Form::Halves,
            #[cfg(target_arch = "wasm32")]
            Kind::Wasm => Form::Crossed,
            #[cfg(all(target_arch = "wasm32", feature = "relaxed-simd"))]
            Kind::Relaxed(_) => Form::Halves,
            _ => Form::Whole,
        }
    }

    /// How many tokens its registers have room for: 1, 2, 4 or 8.
    #[inline(always)]
    pub(crate) fn most_tokens(self) -> usize {
        match self.0 {
            Kind::Plain => 1,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 2,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => 8,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => 1,
            #[cfg(target_arch = "wasm32")]
            Kind::Wasm => 2,
            #[cfg(all(target_arch = "wasm32", feature = "relaxed-simd"))]
            Kind::Relaxed(_) => 2,
        }
    }

    /// How many floats four times are as much as half of its registers: 8, 16 or 32.
    #[inline(always)]
    pub(crate) fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 16,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => 32,
            _ => 8,
        }
    }

    /// The sums of a panel's rows with each of some tokens, which have its form.
    #[inline(always)]
    #[cfg_attr(
        any(target_arch = "x86_64", target_arch = "aarch64"),
        expect(unsafe_code, reason = "the processor was asked")
    )]
    pub(crate) fn multiply<const TOKENS: usize>(
        self,
        panel: &[u8],
        bits: Bits,
        tokens: [&[Block]; TOKENS],
    ) -> [[f32; ROWS]; TOKENS] {
        match self.0 {
            Kind::Plain if HAS_PLAIN => plain::multiply(panel, bits, tokens),
            Kind::Plain => unreachable!("such a Processor is not made"),
            // SAFETY: a Processor of this kind is made above alone, where AVX2 was found.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { x86::avx2(panel, bits, tokens) },
            // SAFETY: a Processor of this kind is made above alone, where AVX-512 and VNNI were found.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => unsafe { x86::avx512_vnni(panel, bits, tokens) },
            // SAFETY: every 64-bit ARM that Rust's standard library runs on has NEON.
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => unsafe { arm::neon(panel, bits, tokens) },
            #[cfg(target_arch = "wasm32")]
            Kind::Wasm => wasm::multiply(panel, bits, tokens),
            #[cfg(all(target_arch = "wasm32", feature = "relaxed-simd"))]
            Kind::Relaxed(relaxed) => relaxed.multiply(panel, bits, tokens),
        }
    }

    /// `a · b` as `otherwise` has it, in sixteen sums, bit for bit; where the compiler need not be hoped for, in vectors.
    #[inline(always)]
    #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the processor was asked"))]
    pub(crate) fn dot(self, a: &[f32], b: &[f32], otherwise: impl Fn(&[f32], &[f32]) -> f32) -> f32 {
        match self.0 {
            // SAFETY: as in `multiply`.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 if a.len().is_multiple_of(16) => unsafe { x86::avx2_dot(a, b) },
            // SAFETY: as in `multiply`.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni if a.len().is_multiple_of(16) => unsafe { x86::avx512_dot(a, b) },
            #[cfg(target_arch = "wasm32")]
            _ if a.len().is_multiple_of(16) => wasm::dot(a, b),
            _ => otherwise(a, b),
        }
    }

    /// [`attend_together::products`] in a function of its own: among much else the compiler keeps sums in memory.
    #[inline(always)]
    #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the processor was asked"))]
    pub(crate) fn products<const LANES: usize>(
        self,
        rows: [&[f32]; QUERIES],
        panel: &[f32],
    ) -> [[f32; LANES]; QUERIES] {
        match self.0 {
            // SAFETY: as in `multiply`.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2_products(rows, panel) },
            // SAFETY: as in `multiply`.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => unsafe { avx512_products(rows, panel) },
            _ => plain_products(rows, panel),
        }
    }

    /// Makes of a panel a panel of a [`Factor`](crate::panels::Factor), where many tokens are quicker to multiply with that.
    pub(crate) fn widen(self, _panel: &[u8], _bits: Bits, _widened: &mut [u8]) -> bool {
        match self.0 {
            #[cfg(target_arch = "wasm32")]
            Kind::Wasm => {
                wasm::widen(_panel, _bits, _widened);
                true
            }
            _ => false,
        }
    }

    /// The sums of the rows of a factor's panel with each of some tokens, which are whole.
    #[inline(always)]
    #[cfg_attr(
        any(target_arch = "x86_64", target_arch = "aarch64"),
        expect(unsafe_code, reason = "the processor was asked")
    )]
    pub(crate) fn multiply_factor<const TOKENS: usize>(
        self,
        panel: &[u8],
        tokens: [&[Block]; TOKENS],
    ) -> [[f32; ROWS]; TOKENS] {
        match self.0 {
            Kind::Plain if HAS_PLAIN => plain::multiply_factor(panel, tokens),
            Kind::Plain => unreachable!("such a Processor is not made"),
            // SAFETY: as in `multiply`.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { x86::avx2_factor(panel, tokens) },
            // SAFETY: as in `multiply`.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => unsafe { x86::avx512_vnni_factor(panel, tokens) },
            // SAFETY: as in `multiply`.
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => unsafe { arm::neon_factor(panel, tokens) },
            #[cfg(target_arch = "wasm32")]
            Kind::Wasm => wasm::multiply_factor(panel, tokens),
            #[cfg(all(target_arch = "wasm32", feature = "relaxed-simd"))]
            Kind::Relaxed(_) => wasm::multiply_factor(panel, tokens),
        }
    }
}

#[inline(never)]
fn plain_products<const LANES: usize>(rows: [&[f32]; QUERIES], panel: &[f32]) -> [[f32; LANES]; QUERIES] {
    products(rows, panel)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2_products<const LANES: usize>(rows: [&[f32]; QUERIES], panel: &[f32]) -> [[f32; LANES]; QUERIES] {
    products(rows, panel)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn avx512_products<const LANES: usize>(rows: [&[f32]; QUERIES], panel: &[f32]) -> [[f32; LANES]; QUERIES] {
    products(rows, panel)
}

#[cfg(target_arch = "x86_64")]
fn has_avx512_vnni() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// What a kernel computes, in plain code that the compiler makes vectors of.
///
/// The function, and whatever it is to take along, must be `#[inline(always)]`: what is not inlined is compiled for the
/// least of processors.
pub(crate) trait Compute {
    /// As [`Kernel::cpu`](crate::recording::Kernel::cpu).
    fn compute(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch);
}

/// A [`Kernel::cpu`](crate::recording::Kernel::cpu) with vectors as long as the processor's. The results are the same on
/// all, bit for bit: the compiler neither fuses nor reorders operations.
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the processor was asked"))]
pub(crate) fn vectors<C: Compute>(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
    match scratch.processor.0 {
        // SAFETY: as in `multiply`.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { avx2_vectors::<C>(params, arguments, scratch) },
        // SAFETY: as in `multiply`.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512Vnni => unsafe { avx512_vectors::<C>(params, arguments, scratch) },
        _ => C::compute(params, arguments, scratch),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2_vectors<C: Compute>(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
    C::compute(params, arguments, scratch)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn avx512_vectors<C: Compute>(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
    C::compute(params, arguments, scratch)
}
