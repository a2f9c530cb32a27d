//! Which of the parts below this processor can run.
//!
//! The one place with unsafe code: a function that was compiled for some instructions may be called only where they are.

use super::{Bits, Block, Form, ROWS, plain};

/// A way to multiply that this processor has. Made by asking it.
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
}

impl Processor {
    /// Every way that this processor has, the fastest last.
    pub fn all() -> impl DoubleEndedIterator<Item = Processor> {
        #[cfg(target_arch = "x86_64")]
        let kinds = [
            (Kind::Plain, true),
            (Kind::Avx2, is_x86_feature_detected!("avx2")),
            (Kind::Avx512Vnni, is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")),
        ];
        #[cfg(target_arch = "aarch64")]
        let kinds = [(Kind::Plain, true), (Kind::Neon, true)];
        #[cfg(target_arch = "wasm32")]
        let kinds = [(Kind::Plain, true), (Kind::Wasm, true)];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "wasm32")))]
        let kinds = [(Kind::Plain, true)];
        kinds.into_iter().filter(|(_, is_there)| *is_there).map(|(kind, _)| Processor(kind))
    }

    /// The fastest way.
    pub fn best() -> Processor {
        Processor::all().next_back().expect("plain code runs everywhere")
    }

    /// How it wants activations.
    pub(super) fn form(self) -> Form {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => Form::Halves,
            _ => Form::Whole,
        }
    }

    /// How many tokens its registers have room for: 1, 2, 4 or 8.
    pub(super) fn most_tokens(self) -> usize {
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
        }
    }

    /// The sums of a panel's rows with each of some tokens, which have its form.
    #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the processor was asked"))]
    pub(super) fn multiply<const TOKENS: usize>(
        self,
        panel: &[u8],
        bits: Bits,
        tokens: [&[Block]; TOKENS],
    ) -> [[f32; ROWS]; TOKENS] {
        match self.0 {
            Kind::Plain => plain::multiply(panel, bits, tokens),
            // SAFETY: a Processor of this kind is made above alone, where AVX2 was found.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { super::x86::avx2(panel, bits, tokens) },
            // SAFETY: a Processor of this kind is made above alone, where AVX-512 and VNNI were found.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => unsafe { super::x86::avx512_vnni(panel, bits, tokens) },
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => super::arm::neon(panel, bits, tokens),
            #[cfg(target_arch = "wasm32")]
            Kind::Wasm => super::wasm::multiply(panel, bits, tokens),
        }
    }
}
