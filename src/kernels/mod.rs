//! The operations that a T5 with routed experts is made of.
//!
//! One file each, the stem also names the shader: the parameters, the function that appends the kernel to a
//! [`Recording`](crate::recording::Recording), and what it computes, in plain loops that read like the formula.
//!
//! They are as large as a GPU wants them: a decoder layer is fourteen dispatches, since each costs some microseconds
//! whatever it computes. Layers that share an input are one product, and a norm or a non-linearity before a product
//! belongs to it.

pub mod attention;
pub mod attention_step;
pub mod embed;
pub mod input;
pub mod linear;
pub mod next_token;
pub mod rms_norm;
pub mod route;
pub mod score;
pub mod sigmoid_gate;
pub mod weight;

/// In a table of indices: there is none. No expert in this slot, no memory behind this page.
pub const ABSENT: u32 = u32::MAX;

/// In a pool's table of pages: absent, and to be done without. It adds nothing, and no step waits for it.
pub const WAIVED: u32 = ABSENT - 1;

/// `a · b`, in sixteen sums side by side so that the compiler can use vector registers. The order of the additions
/// depends on the length alone, never on what else is computed.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

/// `x = exp(x − max x) / Σ exp(x − max x)`, in place.
pub(crate) fn softmax(x: &mut [f32]) {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for x in x.iter_mut() {
        *x = (*x - max).exp();
        sum += *x;
    }
    for x in x.iter_mut() {
        *x /= sum;
    }
}
