//! The vectors that strategies other than `phatgoose` need: safetensors files like that of the gates, one for each strategy.
//!
//! * `arrow` and `average-activation`: for every module a vector under the key that its gate has
//! * `retrieval`: for every expert `<expert id>/examples` (n, d_model)

use std::collections::BTreeMap;

use super::gates::{self, vector};
use super::problems::{first, invalid};
use super::{Catalog, FileReference};
use crate::error::{Error, ErrorCode, Result};
use crate::experts::Expert;
use crate::formats::safetensors::{Header, HeaderTensor};
use crate::strategies::Strategy;

/// Strategies that a catalogue may have vectors for.
pub const STRATEGIES: [Strategy; 3] = [Strategy::AverageActivation, Strategy::Arrow, Strategy::Retrieval];

const EXAMPLES: &str = "/examples";

/// The key of an expert's examples.
pub fn examples_key(expert: &str) -> String {
    format!("{expert}{EXAMPLES}")
}

impl Catalog {
    /// By the name of a strategy, the file of its vectors; unknown strategies too.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidFile`] for one that is not described as files are.
    pub fn vector_files(&self) -> Result<BTreeMap<String, FileReference>> {
        let read = |(strategy, value): (&String, &serde_json::Value)| {
            let place = format!("vectors of {strategy:?}");
            let file: FileReference = serde_json::from_value(value.clone())
                .map_err(|error| invalid(&place, error.to_string(), "url, bytes and sha256"))?;
            first(file.problems()).map_err(|error| error.inside(place))?;
            Ok((strategy.clone(), file))
        };
        self.vectors.iter().map(read).collect()
    }
}

/// Puts the vectors of a file beside the experts that they belong to; for `phatgoose` these are the gates. `catalog` is the name
/// of the catalogue that the experts are from, `file` that of the file, for messages; `d_model` is the width of examples. The
/// caller has compared the bytes with their hash.
///
/// # Errors
/// [`ErrorCode::InvalidFile`], [`ErrorCode::ShapeMismatch`] and [`ErrorCode::NotFinite`] for what is wrong in it. Nothing is
/// changed then.
pub fn attach(
    experts: &mut [Expert],
    catalog: &str,
    strategy: &Strategy,
    file: &str,
    bytes: &[u8],
    d_model: usize,
) -> Result<()> {
    let mut found = Vec::new();
    let mut expert = 0;
    for (key, tensor) in &Header::of_file(file, bytes)?.tensors {
        let read = find(experts, expert, catalog, strategy, key, tensor, d_model);
        let read = read.and_then(|(expert, module)| Ok((expert, module, vector(tensor, bytes)?)));
        let read = read.map_err(|error| error.inside(format!("{file}: {key:?}")))?;
        expert = read.0;
        found.push(read);
    }
    for (expert, module, values) in found {
        let Expert { gates, vectors, .. } = &mut experts[expert];
        let by_module = match strategy {
            Strategy::Phatgoose => gates,
            Strategy::Arrow => &mut vectors.prototypes,
            Strategy::AverageActivation => &mut vectors.means,
            _ => {
                vectors.examples = values;
                continue;
            }
        };
        by_module.insert(module, values);
    }
    Ok(())
}

/// Which expert a tensor belongs to, and which of its modules. `likely` is the expert of the key before: keys are in order.
fn find(
    experts: &[Expert],
    likely: usize,
    catalog: &str,
    strategy: &Strategy,
    key: &str,
    tensor: &HeaderTensor,
    d_model: usize,
) -> Result<(usize, String)> {
    let is_retrieval = *strategy == Strategy::Retrieval;
    let parsed = match is_retrieval {
        true => key.strip_suffix(EXAMPLES).map(|id| (id, "")),
        false => gates::parse_key(key),
    };
    let found = parsed.and_then(|(id, module)| {
        let is_it = |expert: &Expert| {
            expert.full_name.strip_suffix(id).and_then(|name| name.strip_suffix('/')) == Some(catalog)
        };
        let is_likely = experts.get(likely).is_some_and(is_it);
        let index = if is_likely { likely } else { experts.iter().position(is_it)? };
        let width = match is_retrieval {
            true => d_model,
            false => experts[index].placement(module)?.d_in,
        };
        Some((index, module.to_owned(), width))
    });
    let Some((index, module, width)) = found else {
        let (problem, expected) = match is_retrieval {
            true => ("no examples of an expert here", "<expert id>/examples"),
            false => ("no gate of an expert here", "<expert id>/<module>.lora_gate.weight"),
        };
        return Err(invalid("key", problem, expected));
    };
    let fits = match tensor.shape[..] {
        [count, columns] => is_retrieval && count > 0 && columns == width,
        [columns] => !is_retrieval && columns == width,
        _ => false,
    };
    if fits {
        return Ok((index, module));
    }
    let expected =
        if is_retrieval { format!("[n, {width}]") } else { format!("[{width}], the module's inputs") };
    Err(Error::new(ErrorCode::ShapeMismatch, "shape", format!("is {:?}", tensor.shape), expected))
}
