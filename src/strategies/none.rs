//! `none`: the base alone, `y = W u`.

use super::{Definition, phatgoose};

/// What it would be made of. Nothing of it is looked at.
pub const DEFINITION: Definition = phatgoose::DEFINITION;
