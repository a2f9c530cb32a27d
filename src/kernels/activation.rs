//! The feed-forward layer's non-linearity.

use crate::config::FeedForward;
use crate::recording::{Access, Argument, Kernel, Recording};
use crate::tensor::Tensor;

/// `h = max(h, 0)`, in place.
pub static RELU: Kernel = Kernel { name: "activation", access: &[Access::Write], cpu: relu };

/// `gate = gelu(gate) · h`, in place.
pub static GATED_GELU: Kernel =
    Kernel { name: "activation", access: &[Access::Write, Access::Read], cpu: gated_gelu };

/// Appends the non-linearity; the result is in `gate`.
///
/// * `gate`: (tokens, d_ff): `wi u` or `wi_0 u`
/// * `h`: (tokens, d_ff): `wi_1 u`; unused by relu
pub fn record(recording: &mut Recording, form: FeedForward, gate: Tensor, h: Tensor) {
    match form {
        FeedForward::Relu => recording.push(&RELU, &[0u32; 0], &[gate]),
        FeedForward::GatedGelu => {
            assert!(gate.rows == h.rows && gate.cols == h.cols, "activation: {gate:?} {h:?}");
            recording.push(&GATED_GELU, &[0u32; 0], &[gate, h]);
        }
    }
}

fn relu(_: &[u8], arguments: &mut [Argument]) {
    let [h] = arguments else { unreachable!("access list") };
    for h in h.as_mut_slice::<f32>() {
        *h = h.max(0.0);
    }
}

fn gated_gelu(_: &[u8], arguments: &mut [Argument]) {
    let [gate, h] = arguments else { unreachable!("access list") };
    for (gate, h) in gate.as_mut_slice::<f32>().iter_mut().zip(h.as_slice::<f32>()) {
        *gate = gelu(*gate) * h;
    }
}

/// The tanh approximation of gelu, which "gated-gelu" means in T5's configuration.
fn gelu(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    0.5 * x * (1.0 + (SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x)).tanh())
}
