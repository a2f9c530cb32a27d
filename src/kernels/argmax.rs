//! The most likely token.

use crate::recording::{Access, Argument, Kernel, Recording};
use crate::tensor::{DType, Tensor};

/// `token = argmax(logits)`, and whether all logits are finite.
pub static KERNEL: Kernel = Kernel { name: "argmax", access: &[Access::Read, Access::Write], cpu };

/// Appends the search.
///
/// * `logits`: (1, vocabulary)
/// * `result`: (1, 2) of `u32`: the token, the lowest id among equals; then 1 if every logit is finite, else 0
pub fn record(recording: &mut Recording, logits: Tensor, result: Tensor) {
    assert!(
        logits.rows == 1 && result.dtype == DType::U32 && result.len() == 2,
        "argmax: {logits:?} {result:?}"
    );
    recording.push(&KERNEL, &[0u32; 0], &[logits, result]);
}

fn cpu(_: &[u8], arguments: &mut [Argument]) {
    let [logits, result] = arguments else { unreachable!("access list") };
    let logits = logits.as_slice::<f32>();
    let best = (1..logits.len()).fold(0, |best, id| if logits[id] > logits[best] { id } else { best });
    let finite = logits.iter().all(|logit| logit.is_finite());
    result.as_mut_slice::<u32>().copy_from_slice(&[best as u32, finite as u32]);
}
