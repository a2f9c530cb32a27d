//! Where the tensors of a checkpoint went, to have them back from a device that keeps them when another goes away.

use std::collections::BTreeMap;

use super::T5;
use crate::device::{Devices, Part};
use crate::error::Result;
use crate::kernels::weight::Weight;
use crate::quant::Matrix;

/// A matrix in a device's memory, and the tensors that it is joined of: their names and rows, one after another.
pub(super) struct PlacedMatrix {
    pub part: Part,
    pub weight: Weight,
    pub tensors: Vec<(String, usize)>,
}

impl T5 {
    /// The tensors that are matrices on a device that does not go away.
    pub fn safe_tensors(&self, devices: &mut Devices) -> impl Iterator<Item = &str> {
        let safe = self.matrices.iter().filter(|matrix| !devices.of(matrix.part).may_go_away());
        safe.flat_map(|matrix| &matrix.tensors).map(|(name, _)| name.as_str())
    }

    /// Takes the matrices of devices that do not go away back from there, as a checkpoint has them, but for those that were joined of several
    /// formats, which are f32. The model is of no more use.
    ///
    /// # Errors
    /// Those of [`Weight::read`].
    pub async fn take_back(&mut self, devices: &mut Devices) -> Result<BTreeMap<String, Matrix>> {
        let mut taken = BTreeMap::new();
        for PlacedMatrix { part, weight, tensors } in std::mem::take(&mut self.matrices) {
            let device = devices.of(part);
            if device.may_go_away() {
                continue;
            }
            let joined = weight.read(device).await?;
            device.free(weight.values.buffer);
            let mut first = 0;
            for (name, rows) in tensors {
                taken.insert(name, joined.rows(first, rows));
                first += rows;
            }
        }
        Ok(taken)
    }
}
