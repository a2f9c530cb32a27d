//! The end of a step: the next token, or a halt.

use bytemuck::{Pod, Zeroable};

use crate::kernels::choice::{Rules, Take};
use crate::kernels::linear;
use crate::panels::ROWS;
use crate::processor::vectors;
use crate::recording::{Access, Argument, Control, Dispatch, Kernel, OnTheWay, Program, Recording, Target};
use crate::sampling::Sampling;
use crate::scratch::Scratch;
use crate::tensor::{DType, Tensor};
use crate::wgsl::wgsl;

/// Takes the next token from the logits, commits it, and halts where there is nothing more to do. A step that missed a
/// page commits nothing.
pub static KERNEL: Kernel = Kernel {
    name: "next_token",
    access: &[Access::Write, Access::Read, Access::Read, Access::Read, Access::Write, Access::Write],
    cpu,
    gpu,
    on_the_way: Some(&BEHIND_THE_HEAD),
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

/// Logits that are computed, and then looked through, while they are in the first cache.
const SOME: usize = 4096;
/// Products from which on it is worth telling other threads.
const LEAST_PRODUCTS: usize = 200_000;

fn cpu(params: &[u8], arguments: &mut [Argument], scratch: &mut Scratch) {
    step(params, arguments, scratch, |rules, logits, seen, scratch| {
        scratch.choice.begin(rules, 1);
        for (some, first) in logits.as_slice::<f32>().chunks(SOME).zip((0..).step_by(SOME)) {
            scratch.logits.clear();
            scratch.logits.extend(some);
            take(Rules { first, ..*rules }, seen.to_read(), scratch);
        }
    });
}

/// The head's product and the choice, some logits at a time.
static BEHIND_THE_HEAD: OnTheWay = OnTheWay {
    first: &linear::KERNEL,
    between: 1,
    is_possible: linear::is_plain,
    cpu: |head, next_token, scratch| {
        let [_, x, norm, values, scales, ..] = head.arguments else { unreachable!("access list") };
        let read = [x.share(), norm.share(), values.share(), scales.share()];
        step(next_token.params, next_token.arguments, scratch, |rules, _, seen, scratch| {
            choose_from_product(head.params, read, rules, seen, scratch);
        });
    },
};

/// Has all logits go by that a product gives: each thread has some rows of the weight.
fn choose_from_product(
    linear: &[u8],
    read: [Argument; 4],
    rules: &Rules,
    seen: &Argument,
    scratch: &mut Scratch,
) {
    let [x, norm, values, scales] = read;
    let products = x.cols * rules.vocabulary as usize;
    let mut arguments = [values, scales, x, norm, seen.to_read()];
    let Some(mut team) = scratch.team.take_if(|_| products >= LEAST_PRODUCTS) else {
        scratch.choice.begin(rules, 1);
        return some_rows(linear, &mut arguments, rules, scratch);
    };
    scratch.choice.begin(rules, team.threads());
    team.scratches().iter_mut().for_each(|scratch| scratch.choice.begin(rules, 1));
    team.each_rows(&mut arguments, &[0, 1], |part, scratch| some_rows(linear, part, rules, scratch));
    team.scratches().iter().for_each(|part| scratch.choice.join(&part.choice));
    scratch.team = Some(team);
}

/// Of some rows of the weight.
fn some_rows(linear: &[u8], arguments: &mut [Argument], rules: &Rules, scratch: &mut Scratch) {
    let [values, scales, x, norm, seen] = arguments else { unreachable!("as above") };
    let rows_of_one = match values.dtype {
        DType::Panels8 | DType::Panels4 => ROWS,
        _ => 1,
    };
    while values.rows > 0 {
        let first = values.first_row * rows_of_one;
        let (values, scales) = (values.take_rows(SOME / rows_of_one), scales.take_rows(SOME));
        let count = (values.rows * rows_of_one).min(rules.vocabulary as usize - first);
        let mut logits = std::mem::take(&mut scratch.logits);
        logits.resize(count, 0.0);
        linear::some_rows(linear, [x.share(), norm.share(), values, scales], &mut logits, scratch);
        scratch.logits = logits;
        take(Rules { first: first as u32, ..*rules }, seen.share(), scratch);
    }
}

fn take(rules: Rules, seen: Argument, scratch: &mut Scratch) {
    vectors::<Take>(bytemuck::bytes_of(&rules), &mut [seen], scratch);
}

/// The end of a step. `take_all` has all logits go by; it is given the rules, the logits and the tokens seen.
fn step(
    params: &[u8],
    arguments: &mut [Argument],
    scratch: &mut Scratch,
    take_all: impl FnOnce(&Rules, &Argument, &Argument, &mut Scratch),
) {
    let params: &Params = bytemuck::from_bytes(params);
    let [control, logits, ends, flags, seen, produced] = arguments else { unreachable!("access list") };
    let control = &mut control.as_mut_slice::<Control>()[0];
    if control.halted != Control::GO {
        return;
    }
    if flags.as_slice::<u32>()[0] != 0 {
        control.halted = Control::MISSED;
        return;
    }
    let rules = Rules {
        temperature: params.temperature,
        repetition_penalty: params.repetition_penalty,
        top_k: params.top_k,
        top_p: params.top_p,
        hash: Rules::hash([params.seed_low, params.seed_high], control.position),
        vocabulary: logits.cols as u32,
        first: 0,
    };
    take_all(&rules, logits, seen, scratch);
    let Scratch { choice, sorted, input: probabilities, .. } = scratch;
    if !choice.are_finite {
        control.halted = Control::NOT_FINITE;
        return;
    }
    let token = choice.token(&rules, sorted, probabilities);
    seen.as_mut_slice::<u32>()[token as usize / 32] |= 1 << (token % 32);
    let produced = produced.as_mut_slice::<u32>();
    produced[control.position as usize] = token;
    control.position += 1;
    control.token = token;
    if ends.as_slice::<u32>().contains(&token) || control.position as usize == produced.len() {
        control.halted = Control::FINISHED;
    }
}

fn gpu(_: &Dispatch, _: Target) -> Program {
    Program {
        source: &[
            wgsl!("../../shaders/common/matrix.wgsl"),
            wgsl!("../../shaders/common/workgroup_sum.wgsl"),
            wgsl!("../../shaders/common/hash.wgsl"),
            wgsl!("../../shaders/next_token.wgsl"),
        ],
        entry: "next_token",
        constants: Vec::new(),
        workgroups: [1, 1, 1],
    }
}
