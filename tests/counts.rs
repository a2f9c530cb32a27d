//! What a token costs on a GPU, counted: in the shapes of flan-t5-small, with 64 experts on every layer.
#![cfg(not(target_arch = "wasm32"))]

mod support;

use std::collections::HashSet;

use gander::device::{Counts, Device};
use gander::quant::{Matrix, Values};
use gander::recording::Dispatch;
use gander::session::{Request, Session, Step};
use gander::synthetic;
use support::{base_without_text, gpu, now, report};

const EXPERTS: usize = 64;
/// Of the experts: too many for one buffer of Mesa's software GPU, which has 128 MiB.
const RANK: usize = 16;
/// Counted tokens; before them comes the first, which pays for the encoder.
const TOKENS: usize = 64;

#[test]
fn a_token_costs_few_dispatches_submissions_and_readbacks_and_makes_no_object() {
    let mut config = synthetic::config(512, 6, 1024, 8, 32128);
    config.eos_token_ids.clear();
    let checkpoint = synthetic::checkpoint(&config, 1, |_, floats| Values::q8_0_from(floats));
    let of_decoder = |name: &str| {
        let encoders = name.starts_with("encoder.")
            || name.contains("EncDecAttention.k")
            || name.contains("EncDecAttention.v");
        // Of the embedding a step reads one row.
        !encoders && name != "shared.weight"
    };
    let bytes = |matrices: &mut dyn Iterator<Item = (&String, &Matrix)>| {
        matrices.map(|(_, matrix)| matrix.byte_len()).sum::<usize>() as f64
    };
    let model_bytes = bytes(&mut checkpoint.tensors.iter());
    let decoder_bytes = bytes(&mut checkpoint.tensors.iter().filter(|(name, _)| of_decoder(name)));

    let device = now(gpu());
    // All have the same factors: what they are does not matter here, only that they are there.
    let (first, pages) = synthetic::expert(&config, "0", RANK, 2);
    let largest_page = pages.iter().map(Vec::len).max().expect("pages");
    let mut session = Session::on(device, base_without_text(checkpoint)).unwrap();
    session.set_pool_bytes(EXPERTS * pages.len() * largest_page);
    let expert = |index: usize| {
        let mut expert = first.clone();
        expert.id = index.to_string();
        expert.full_name = expert.id.clone();
        // Gates that differ, so that different experts are chosen.
        for gate in expert.gates.values_mut() {
            let middle = index * 7 % gate.len();
            gate.rotate_left(middle);
        }
        expert
    };
    let gate_bytes = EXPERTS as f64
        * first
            .gates
            .iter()
            .filter(|(name, _)| of_decoder(name))
            .map(|(_, gate)| 4 * gate.len())
            .sum::<usize>() as f64;
    session.add_experts((0..EXPERTS).map(expert).collect()).unwrap();
    for page in 0..session.page_count() {
        session.provide(page, &pages[page as usize % pages.len()]).unwrap();
    }

    let request =
        Request { input_ids: Some((2..34).collect()), max_new_tokens: TOKENS + 1, ..Request::default() };
    session.start(request.clone()).unwrap();
    next_token(&mut session);
    let before = counts(&mut session);
    for _ in 0..TOKENS {
        next_token(&mut session);
    }
    let after = counts(&mut session);

    let ([_, step], _) = session.plans().expect("an answer in the making");
    let dispatches = &step.recording.dispatches;
    let routes = dispatches.iter().filter(|dispatch| dispatch.kernel.name == "route");
    let pools: HashSet<_> = routes.map(|route| route.tensors[5].buffer).collect();
    // The pool is bound as a whole, and few of its pages are read.
    let buffers = step.bound_buffers().iter().filter(|(buffer, _)| !pools.contains(buffer));
    let bound = buffers.map(|(_, bytes)| *bytes).sum::<u64>() as f64 / model_bytes;
    let read = dispatches.iter().map(weight_bytes).sum::<usize>() as f64 / (decoder_bytes + gate_bytes);

    let per_token = |count: fn(&Counts) -> usize| (count(&after) - count(&before)) as f64 / TOKENS as f64;
    let submissions = per_token(|counts| counts.submissions);
    let readbacks = per_token(|counts| counts.readbacks);
    let objects = per_token(|counts| counts.objects);
    report(&format!(
        "counts per token, {EXPERTS} experts of rank {RANK} in {} buffers: {} dispatches, {submissions:.3} submissions, {readbacks:.3} readbacks, {objects} objects; \
         bound {bound:.3} of the model's bytes, weights read {read:.3} of the decoder's and its gates'",
        pools.len(),
        dispatches.len(),
    ));
    assert!(dispatches.len() <= 121, "{} dispatches", dispatches.len());
    assert!(submissions <= 0.25, "{submissions} submissions");
    assert!(readbacks <= 0.25, "{readbacks} readbacks");
    assert_eq!(objects, 0.0, "objects made while tokens are");
    assert!(bound <= 1.1, "{bound} of the model's bytes are bound");
    // The next answer of the same shape works in the same memory, bound by the same groups.
    session.start(Request { input_ids: Some((40..72).collect()), ..request }).unwrap();
    next_token(&mut session);
    assert_eq!(
        counts(&mut session).objects,
        after.objects,
        "objects made for another answer of the same shape"
    );
    // No weight is read twice, and layout adds next to nothing.
    assert!(read <= 1.1, "{read} of the decoder's bytes are read");
}

fn next_token(session: &mut Session) {
    let step = session.step().unwrap();
    assert!(matches!(step, Step::Token(_)), "{step:?}, though every page is resident");
}

fn counts(session: &mut Session) -> Counts {
    match &session.devices().encoder {
        Device::Gpu(gpu) => gpu.counts,
        Device::Cpu(_) => panic!("a GPU was asked for"),
    }
}

/// Bytes of weights and gates that a dispatch reads.
fn weight_bytes(dispatch: &Dispatch) -> usize {
    let tensors: &[usize] = match dispatch.kernel.name {
        "linear" => &[2, 3, 4],
        "rms_norm" => &[2],
        "route" => &[2, 3, 4],
        "attention_step" => &[2],
        "attention" => &[3],
        "embed" | "next_token" => &[],
        name => panic!("{name}: which of its tensors are weights?"),
    };
    tensors.iter().map(|tensor| dispatch.tensors[*tensor].byte_len()).sum()
}
