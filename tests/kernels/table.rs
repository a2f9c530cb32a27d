//! All cases of all kernels.

use super::case::Case;
use super::{attention, embed, linear, next_token, rms_norm, route, sigmoid_gate};

/// How many there are. Asserted wherever they are run, so that no device and no browser runs fewer than another.
pub const CASES: usize = 808;

pub fn cases() -> Vec<Case> {
    [
        rms_norm::cases(),
        embed::cases(),
        linear::cases(),
        route::cases(),
        sigmoid_gate::cases(),
        attention::cases(),
        next_token::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
