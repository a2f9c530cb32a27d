//! The operations that a T5 with routed experts is made of.
//!
//! One file each, the stem also names the shader: the parameters, the function that appends the kernel to a
//! [`Recording`](crate::recording::Recording), and what it computes, in plain loops that read like the formula.

pub mod activation;
pub mod argmax;
pub mod attention;
pub mod embed;
pub mod kv_append;
pub mod lora;
pub mod matmul;
pub mod rms_norm;
pub mod route;

/// In a table of indices: there is none. No expert in this slot, no memory behind this page.
pub const ABSENT: u32 = u32::MAX;

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
