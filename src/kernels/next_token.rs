//! The end of a step: the next token, or a halt.

use bytemuck::{Pod, Zeroable};

use crate::kernels::{hash, softmax, sort_descending};
use crate::recording::{Access, Argument, Control, Dispatch, Kernel, Program, Recording, Target};
use crate::sampling::Sampling;
use crate::scratch::Scratch;
use crate::tensor::{DType, Tensor};

/// Takes the next token from the logits, commits it, and halts where there is nothing more to do. A step that missed a
/// page commits nothing.
pub static KERNEL: Kernel = Kernel {
    name: "next_token",
    access: &[Access::Write, Access::Read, Access::Read, Access::Read, Access::Write, Access::Write],
    cpu,
    gpu,
};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    /// 0 for the most likely token.
    temperature: f32,
    repetition_penalty: f32,
    /// 0 for all.
    top_k: u32,
    top_p: f32,
    seed_low: u32,
    seed_high: u32,
}

/// Appends the choice of a token.
///
/// * `control`: at the step's position; afterwards at the next one with the new token, or halted
/// * `logits`: (1, vocabulary)
/// * `ends`: (1, n) of `u32`: the tokens that end an answer
/// * `flags`: (1, …) of `u32`: first whether the step missed a page ([`Flags`](crate::kernels::route::Flags))
/// * `seen`: (1, vocabulary / 32) of `u32`: a bit for each token that the decoder was given so far
/// * `produced`: (1, most tokens) of `u32`: the answer
#[expect(clippy::too_many_arguments, reason = "all that a step leaves behind")]
pub fn record(
    recording: &mut Recording,
    control: Tensor,
    logits: Tensor,
    ends: Tensor,
    flags: Tensor,
    seen: Tensor,
    produced: Tensor,
    rules: &Sampling,
) {
    assert!(
        logits.rows == 1 && produced.dtype == DType::U32 && seen.len() == logits.cols.div_ceil(32),
        "next_token: {logits:?} {seen:?} {produced:?}"
    );
    // Below that the most likely token wins for certain, and the logits divided by it could be infinite.
    let temperature = if rules.temperature < 1e-6 { 0.0 } else { rules.temperature };
    let params = Params {
        temperature,
        repetition_penalty: rules.repetition_penalty,
        top_k: rules.top_k as u32,
        top_p: rules.top_p,
        seed_low: rules.seed as u32,
        seed_high: (rules.seed >> 32) as u32,
    };
    recording.push(&KERNEL, &params, &[control, logits, ends, flags, seen, produced]);
}

fn cpu(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
    let params: &Params = bytemuck::from_bytes(params);
    let [control, logits, ends, flags, seen, produced] = arguments else { unreachable!("access list") };
    let control = &mut control.as_mut_slice::<Control>()[0];
    if control.halted != Control::GO {
        return;
    }
    let logits = logits.as_slice::<f32>();
    if flags.as_slice::<u32>()[0] != 0 {
        control.halted = Control::MISSED;
        return;
    }
    if !are_finite(logits) {
        control.halted = Control::NOT_FINITE;
        return;
    }
    let seen = seen.as_mut_slice::<u32>();
    let token = draw(params, control.position, logits, seen, scratch);
    seen[token as usize / 32] |= 1 << (token % 32);
    let produced = produced.as_mut_slice::<u32>();
    produced[control.position as usize] = token;
    control.position += 1;
    control.token = token;
    if ends.as_slice::<u32>().contains(&token) || control.position as usize == produced.len() {
        control.halted = Control::FINISHED;
    }
}

/// All in one go, so that the compiler can make vectors of it.
fn are_finite(logits: &[f32]) -> bool {
    logits.iter().fold(true, |all, logit| all & logit.is_finite())
}

/// The most likely token, or one drawn by the rules; among equals the lowest id.
fn draw(params: &Params, position: u32, logits: &[f32], seen: &[u32], scratch: &mut Scratch) -> u32 {
    if params.temperature == 0.0 && params.repetition_penalty == 1.0 {
        return best(logits);
    }
    let penalised = |(id, logit): (usize, &f32)| {
        // Keskar et al. 2019, CTRL, section 4.1; the sign as in transformers.
        match seen[id / 32] >> (id % 32) & 1 {
            0 => *logit,
            _ if *logit < 0.0 => *logit * params.repetition_penalty,
            _ => *logit / params.repetition_penalty,
        }
    };
    let Scratch { floats, sorted, input: probabilities, .. } = scratch;
    floats.clear();
    floats.extend(logits.iter().enumerate().map(penalised));
    if params.temperature == 0.0 {
        return best(floats);
    }
    floats.iter_mut().for_each(|logit| *logit /= params.temperature);
    sorted.clone_from(floats);
    let threshold = threshold(sorted, params.top_k as usize, params.top_p, probabilities);
    // The greatest of logit + Gumbel noise is distributed as the softmax (Gumbel 1954).
    for (id, logit) in floats.iter_mut().enumerate() {
        let noise = gumbel([params.seed_low, params.seed_high, position, id as u32]);
        *logit = if *logit >= threshold { *logit + noise } else { f32::NEG_INFINITY };
    }
    best(floats)
}

/// The first of the greatest.
fn best(logits: &[f32]) -> u32 {
    // First the value, which vectors find, then its place.
    const LANES: usize = 16;
    let (chunks, rest) = logits.as_chunks::<LANES>();
    let greater = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, logit) in lanes.iter_mut().zip(chunk) {
            *lane = greater(*lane, *logit);
        }
    }
    let greatest = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, greater);
    logits.iter().position(|logit| *logit == greatest).unwrap_or(0) as u32
}

/// The least logit that may be drawn. Equals stay in together. `probabilities` is room.
fn threshold(logits: &mut Vec<f32>, top_k: usize, top_p: f32, probabilities: &mut Vec<f32>) -> f32 {
    // Equals are alike, so the order that a stable sort keeps is none.
    sort_descending(logits);
    if top_k > 0 && top_k < logits.len() {
        let least = logits[top_k - 1];
        logits.truncate(logits.partition_point(|logit| *logit >= least));
    }
    if top_p < 1.0 {
        probabilities.clone_from(logits);
        softmax(probabilities);
        let mut mass = 0.0;
        for (logit, probability) in logits.iter().zip(probabilities) {
            mass += *probability;
            // The token that crosses the threshold is the last one that stays.
            if mass >= top_p {
                return *logit;
            }
        }
    }
    logits[logits.len() - 1]
}

/// Noise from four numbers, without a state: the same numbers give the same noise, on every device and in any order.
fn gumbel(key: [u32; 4]) -> f32 {
    let bits = hash(key);
    let uniform = ((bits >> 9) as f32 + 0.5) / (1 << 23) as f32;
    -(-uniform.ln()).ln()
}

fn gpu(_: &Dispatch, _: Target) -> Program {
    Program {
        source: &[
            include_str!("../../shaders/common/matrix.wgsl"),
            include_str!("../../shaders/common/workgroup_sum.wgsl"),
            include_str!("../../shaders/common/hash.wgsl"),
            include_str!("../../shaders/next_token.wgsl"),
        ],
        entry: "next_token",
        constants: Vec::new(),
        workgroups: [1, 1, 1],
    }
}
