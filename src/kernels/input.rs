//! What a linear layer computes from: an activation as it is, normalised, or through the feed-forward's non-linearity.
//!
//! The layer and its router compute it anew, each for itself. On a GPU that costs less than a dispatch.

use crate::device::Device;
use crate::error::Result;
use crate::kernels::exp;
use crate::kernels::rms_norm::normalise;
use crate::recording::{Argument, Dispatch};
use crate::tensor::{DType, Tensor};

/// The input u (tokens, d_in) of a linear layer, and how it comes from an activation x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Input {
    /// `u = x`. x: (tokens, d_in).
    Plain(Tensor),
    /// `u = x / sqrt(mean(x²) + epsilon) · weight`. x: (tokens, d_in), weight: (1, d_in).
    Norm {
        /// x
        x: Tensor,
        /// The norm's weight.
        weight: Tensor,
        /// The norm's epsilon.
        epsilon: f32,
    },
    /// `u = max(x, 0)`. x: (tokens, d_in).
    Relu(Tensor),
    /// `u = gelu(a) · b` where a and b are the left and right half of x: (tokens, 2 d_in).
    GatedGelu(Tensor),
}

/// The form of an [`Input`], as kernels and shaders number it.
pub(crate) const PLAIN: u32 = 0;
pub(crate) const NORM: u32 = 1;
pub(crate) const RELU: u32 = 2;
pub(crate) const GATED_GELU: u32 = 3;

impl Input {
    /// The activation, and the weight of its norm or nothing.
    pub(crate) fn tensors(&self) -> [Tensor; 2] {
        match *self {
            Input::Norm { x, weight, .. } => [x, weight],
            Input::Plain(x) | Input::Relu(x) | Input::GatedGelu(x) => {
                [x, Tensor { rows: 0, cols: 0, dtype: DType::F32, ..x }]
            }
        }
    }

    pub(crate) fn form(&self) -> u32 {
        match self {
            Input::Plain(_) => PLAIN,
            Input::Norm { .. } => NORM,
            Input::Relu(_) => RELU,
            Input::GatedGelu(_) => GATED_GELU,
        }
    }

    pub(crate) fn epsilon(&self) -> f32 {
        if let Input::Norm { epsilon, .. } = self { *epsilon } else { 0.0 }
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.tensors()[0].rows
    }

    /// Width of u.
    pub fn d_in(&self) -> usize {
        let x = self.tensors()[0];
        if let Input::GatedGelu(_) = self { x.cols / 2 } else { x.cols }
    }
}

/// u (tokens, d_in) of an input whose form, epsilon and tensors a kernel was given: x itself, or computed in `room`.
// Elsewhere it takes the instructions of its caller; in WebAssembly there are no others, and pages load every copy.
#[cfg_attr(target_arch = "wasm32", inline(never))]
#[cfg_attr(not(target_arch = "wasm32"), inline(always))]
pub(crate) fn compute<'a>(
    form: u32,
    epsilon: f32,
    x: &'a Argument,
    norm: &Argument,
    room: &'a mut Vec<f32>,
) -> &'a [f32] {
    let floats = x.as_slice::<f32>();
    let rows = floats.chunks_exact(x.cols.max(1));
    if form == PLAIN {
        return floats;
    }
    room.clear();
    room.resize(if form == GATED_GELU { floats.len() / 2 } else { floats.len() }, 0.0);
    match form {
        NORM => {
            for (x, u) in rows.zip(room.chunks_exact_mut(x.cols)) {
                normalise(x, norm.as_slice(), epsilon, u);
            }
        }
        RELU => room.iter_mut().zip(floats).for_each(|(u, x)| *u = x.max(0.0)),
        GATED_GELU => {
            for (row, u) in rows.zip(room.chunks_exact_mut(x.cols / 2)) {
                let (gate, value) = row.split_at(row.len() / 2);
                for ((u, gate), value) in u.iter_mut().zip(gate).zip(value) {
                    *u = gelu(*gate) * value;
                }
            }
        }
        _ => unreachable!("forms are made by Input::form"),
    }
    room
}

/// u (tokens, d_in) of a dispatch of [`linear`](crate::kernels::linear) that is about to run: for looking inside a pass.
///
/// # Errors
/// Those of [`Device::read_words`].
pub async fn read_input(dispatch: &Dispatch, device: &mut Device) -> Result<Vec<f32>> {
    let [form, epsilon] = [0, 4].map(|at| bytemuck::pod_read_unaligned::<u32>(&dispatch.params[at..at + 4]));
    let [_, x, norm, ..] = &dispatch.tensors[..] else { unreachable!("the access list of a linear layer") };
    let read = device.read_words(&[*x, *norm]).await?;
    let [x, norm] =
        [(x, 0), (norm, 1)].map(|(tensor, at)| Argument::read(tensor, bytemuck::cast_slice(&read[at])));
    Ok(compute(form, f32::from_bits(epsilon), &x, &norm, &mut Vec::new()).to_vec())
}

/// The tanh approximation of gelu, which "gated-gelu" means in T5's configuration: `½ x (1 + tanh z)`, which is
/// `x / (1 + exp(−2 z))`.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    x / (1.0 + exp(-2.0 * SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x)))
}
