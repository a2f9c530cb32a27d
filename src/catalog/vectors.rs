//! The vectors that strategies other than `phatgoose` need: safetensors files like that of the gates, one for each strategy.
//!
//! * `arrow` and `average-activation`: for every module a vector under the key that its gate has
//! * `retrieval`: for every expert `<expert id>/examples` (n, d_model)

use super::FileReference;
use super::gates::{self, vector};
use super::problems::invalid;
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

/// Puts the vectors of a file beside the experts that they belong to. `catalog` is the name of the catalogue that the experts
/// are from.
///
/// # Errors
/// [`ErrorCode::PageMismatch`] if it is not the file that the catalogue describes; [`ErrorCode::InvalidFile`],
/// [`ErrorCode::ShapeMismatch`] and [`ErrorCode::NotFinite`] for what is wrong in it. Nothing is changed then.
pub fn attach(
    experts: &mut [Expert],
    catalog: &str,
    strategy: &Strategy,
    file: &FileReference,
    bytes: &[u8],
    d_model: usize,
) -> Result<()> {
    file.check(bytes)?;
    let header = Header::of_file(&file.url, bytes)?;
    let found = header.tensors.iter().map(|(key, tensor)| {
        find(experts, catalog, strategy, key, tensor, d_model)
            .and_then(|(expert, module)| Ok((expert, module, vector(tensor, bytes)?)))
            .map_err(|error| error.inside(format!("{}: {key:?}", file.url)))
    });
    for (expert, module, values) in found.collect::<Result<Vec<_>>>()? {
        let vectors = &mut experts[expert].vectors;
        match strategy {
            Strategy::Retrieval => vectors.examples = values,
            Strategy::Arrow => drop(vectors.prototypes.insert(module, values)),
            _ => drop(vectors.means.insert(module, values)),
        }
    }
    Ok(())
}

/// Which expert a tensor belongs to, and which of its modules.
fn find(
    experts: &[Expert],
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
        let index = experts.iter().position(is_it)?;
        let width = match is_retrieval {
            true => d_model,
            false => experts[index].placement(module)?.d_in,
        };
        Some((index, module.to_owned(), width))
    });
    let Some((index, module, width)) = found else {
        return Err(invalid(
            "key",
            "nothing of an expert here",
            "the id of an expert and one of its modules",
        ));
    };
    let fits = match tensor.shape[..] {
        [count, columns] => is_retrieval && count > 0 && columns == width,
        [columns] => !is_retrieval && columns == width,
        _ => false,
    };
    match fits {
        true => Ok((index, module)),
        false => {
            let problem = format!("is {:?}", tensor.shape);
            let expected = if is_retrieval { format!("[n, {width}]") } else { format!("[{width}]") };
            Err(Error::new(ErrorCode::ShapeMismatch, "shape", problem, expected))
        }
    }
}
