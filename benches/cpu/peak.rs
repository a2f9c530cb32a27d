//! What this machine could do at most: an instruction on registers alone, over and over, and memory read from end to end.

use std::hint::black_box;
use std::time::Instant;

/// Seconds that something is repeated for: a clock can tell, and others on the machine leave some of them alone.
const SECONDS: f64 = 2e-4;

/// What limits a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Products of weights in 8 or 4 bits with activations in 16: two of the instruction that multiplies 8 by 8 bits where that
    /// is what there is, else one that multiplies 16 by 16.
    Panels,
    /// Products of 16 by 16 bits: factors.
    Factors,
    /// A multiplication and an addition of floats, apart, since fused ones give other bits on other processors.
    Floats,
}

impl Limit {
    pub fn instruction(self) -> &'static str {
        instructions::name(self)
    }

    /// Multiplications a second.
    pub fn measure(self) -> f64 {
        let mut times = 1000;
        loop {
            let start = Instant::now();
            let products = black_box(instructions::run(self, times));
            let seconds = start.elapsed().as_secs_f64();
            if seconds > SECONDS {
                return products as f64 / seconds;
            }
            times *= 2;
        }
    }
}

/// Reads memory as one thread can; bytes a second.
pub fn read_bandwidth(memory: &[u64]) -> f64 {
    let start = Instant::now();
    black_box(instructions::sum(black_box(memory)));
    size_of_val(memory) as f64 / start.elapsed().as_secs_f64()
}

#[inline(always)]
fn plain_sum(memory: &[u64]) -> u64 {
    let mut sums = [0u64; 64];
    for chunk in memory.as_chunks::<64>().0 {
        sums.iter_mut().zip(chunk).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "an instruction is run where the processor says that it has it")]
mod instructions {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::{Limit, plain_sum};

    /// Sums that do not wait for one another: more than an instruction takes cycles.
    const CHAINS: usize = 16;

    fn has_avx512() -> bool {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")
    }

    pub fn name(limit: Limit) -> &'static str {
        match (limit, has_avx512(), is_x86_feature_detected!("avx2")) {
            (Limit::Panels, true, _) => "vpdpbusd zmm, two for each",
            (Limit::Factors, true, _) => "vpdpwssd zmm",
            (Limit::Floats, true, _) => "vmulps and vaddps zmm",
            (Limit::Panels | Limit::Factors, _, true) => "vpmaddwd and vpaddd ymm",
            (Limit::Floats, _, true) => "vmulps and vaddps ymm",
            _ => "mulps and addps, or scalar",
        }
    }

    /// Returns how many products that was.
    pub fn run(limit: Limit, times: usize) -> usize {
        // SAFETY: the processor was asked.
        let products = unsafe {
            match (limit, has_avx512(), is_x86_feature_detected!("avx2")) {
                (Limit::Panels, true, _) => dpbusd(times),
                (Limit::Factors, true, _) => dpwssd(times),
                (Limit::Floats, true, _) => floats_512(times),
                (Limit::Panels | Limit::Factors, _, true) => maddwd(times),
                (Limit::Floats, _, true) => floats_256(times),
                _ => floats_128(times),
            }
        };
        products * CHAINS * times
    }

    pub fn sum(memory: &[u64]) -> u64 {
        // SAFETY: the processor was asked.
        match (has_avx512(), is_x86_feature_detected!("avx2")) {
            (true, _) => unsafe { sum_512(memory) },
            (_, true) => unsafe { sum_256(memory) },
            _ => plain_sum(memory),
        }
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn dpbusd(times: usize) -> usize {
        let (a, b) = black_box((_mm512_set1_epi8(3), _mm512_set1_epi8(-5)));
        let mut sums = [_mm512_setzero_si512(); CHAINS];
        for _ in 0..times {
            sums.iter_mut().for_each(|sum| *sum = _mm512_dpbusd_epi32(*sum, a, b));
        }
        black_box(sums);
        // Of each weight with a whole activation.
        64 / 2
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn dpwssd(times: usize) -> usize {
        let (a, b) = black_box((_mm512_set1_epi16(3), _mm512_set1_epi16(-5)));
        let mut sums = [_mm512_setzero_si512(); CHAINS];
        for _ in 0..times {
            sums.iter_mut().for_each(|sum| *sum = _mm512_dpwssd_epi32(*sum, a, b));
        }
        black_box(sums);
        32
    }

    #[target_feature(enable = "avx2")]
    fn maddwd(times: usize) -> usize {
        let b = black_box(_mm256_set1_epi16(-5));
        let mut sums = [_mm256_set1_epi16(1); CHAINS];
        for _ in 0..times {
            sums.iter_mut().for_each(|sum| *sum = _mm256_add_epi32(_mm256_madd_epi16(*sum, b), b));
        }
        black_box(sums);
        16
    }

    #[target_feature(enable = "avx512f")]
    fn floats_512(times: usize) -> usize {
        let (a, b) = black_box((_mm512_set1_ps(0.5), _mm512_set1_ps(0.25)));
        let mut sums = [_mm512_setzero_ps(); CHAINS];
        for _ in 0..times {
            sums.iter_mut().for_each(|sum| *sum = _mm512_add_ps(_mm512_mul_ps(*sum, a), b));
        }
        black_box(sums);
        16
    }

    #[target_feature(enable = "avx2")]
    fn floats_256(times: usize) -> usize {
        let (a, b) = black_box((_mm256_set1_ps(0.5), _mm256_set1_ps(0.25)));
        let mut sums = [_mm256_setzero_ps(); CHAINS];
        for _ in 0..times {
            sums.iter_mut().for_each(|sum| *sum = _mm256_add_ps(_mm256_mul_ps(*sum, a), b));
        }
        black_box(sums);
        8
    }

    fn floats_128(times: usize) -> usize {
        let (a, b) = black_box((0.5f32, 0.25f32));
        let mut sums = [[0.0f32; 4]; CHAINS];
        for _ in 0..times {
            sums.as_flattened_mut().iter_mut().for_each(|sum| *sum = *sum * a + b);
        }
        black_box(sums);
        4
    }

    #[target_feature(enable = "avx512f")]
    fn sum_512(memory: &[u64]) -> u64 {
        plain_sum(memory)
    }

    #[target_feature(enable = "avx2")]
    fn sum_256(memory: &[u64]) -> u64 {
        plain_sum(memory)
    }
}

/// Elsewhere there is no floor known yet but for what the compiler makes of floats.
#[cfg(not(target_arch = "x86_64"))]
mod instructions {
    use std::hint::black_box;

    use super::Limit;

    pub fn name(_: Limit) -> &'static str {
        "a multiplication and an addition of floats"
    }

    pub fn run(_: Limit, times: usize) -> usize {
        let (a, b) = black_box((0.5f32, 0.25f32));
        let mut sums = [0.0f32; 64];
        for _ in 0..times {
            sums.iter_mut().for_each(|sum| *sum = *sum * a + b);
        }
        black_box(sums);
        64 * times
    }

    pub fn sum(memory: &[u64]) -> u64 {
        super::plain_sum(memory)
    }
}
