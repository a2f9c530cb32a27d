//! The table of contents of a base model: every tensor it needs, checked against the shape of the model before
//! a single weight is read.

use std::collections::BTreeMap;
use std::ops::Range;

use super::encoding::Encoding;
use super::layout::{self, Weight};
use crate::config::Config;
use crate::error::{Error, ErrorCode, Result};
use crate::quant::{Format, Matrix, Values};

/// Where one tensor's bytes are, and how they are stored.
#[derive(Debug, Clone)]
pub struct StoredTensor {
    /// The name it has in its file, for messages.
    pub stored_name: String,
    /// How its numbers are stored.
    pub encoding: Encoding,
    /// Its shape, outermost first.
    pub shape: Vec<usize>,
    /// Which of [`Contents::files`].
    pub file: usize,
    /// Which bytes of that file.
    pub range: Range<usize>,
}

/// A model's shape and the places of its weights.
#[derive(Debug, Clone)]
pub struct Contents {
    /// The shape.
    pub config: Config,
    /// The files' names, for messages.
    pub files: Vec<String>,
    /// The model's weights, in the order of a forward pass, each with its place.
    pub weights: Vec<(Weight, StoredTensor)>,
}

impl Contents {
    /// Pairs every weight that `config` calls for with the tensor of that name (Hugging Face names). `is_whole`: these are
    /// all tensors there will be.
    ///
    /// What is missing, of the wrong shape, or left over is an error that names it: a tensor that the
    /// model does not know (a bias, a position bias per block) would be a different model, silently wrong.
    pub fn new(
        config: Config,
        files: Vec<String>,
        mut stored: BTreeMap<String, StoredTensor>,
        is_whole: bool,
    ) -> Result<Contents> {
        let place = |tensor: &StoredTensor| format!("{}: {}", files[tensor.file], tensor.stored_name);
        let with_head = stored.contains_key(layout::HEAD);
        let mut weights = Vec::new();
        for weight in layout::weights(&config, with_head) {
            let Some(tensor) = stored.remove(&weight.name) else {
                if !is_whole {
                    continue;
                }
                return Err(Error::new(
                    ErrorCode::MissingTensor,
                    files.join(", "),
                    format!("has no {}", weight.name),
                    format!("that tensor, of shape {:?}", weight.shape()),
                ));
            };
            if tensor.shape != weight.shape() {
                return Err(Error::new(
                    ErrorCode::ShapeMismatch,
                    place(&tensor),
                    format!("has shape {:?}", tensor.shape),
                    format!("{:?}, by the model's configuration", weight.shape()),
                ));
            }
            if tensor.encoding.byte_len(&tensor.shape) != Some(tensor.range.len()) {
                return Err(Error::new(
                    ErrorCode::InvalidFile,
                    place(&tensor),
                    format!("has {} bytes", tensor.range.len()),
                    format!("as many as {:?} of {:?} need", tensor.shape, tensor.encoding),
                ));
            }
            weights.push((weight, tensor));
        }
        if let Some((_, tensor)) = stored.into_iter().find(|(name, _)| !is_ignored(name)) {
            return Err(Error::new(
                ErrorCode::Unsupported,
                place(&tensor),
                "is a tensor that this T5 does not have",
                "the tensors of T5 v1.0, v1.1 or mT5 alone",
            ));
        }
        Ok(Contents { config, files, weights })
    }

    /// Decodes one of [`Contents::weights`] from its bytes: norms and position bias as f32, the rest as stored.
    ///
    /// A weight that is NaN or infinite is an error that names it.
    pub fn decode(&self, weight: &Weight, tensor: &StoredTensor, bytes: &[u8]) -> Result<Matrix> {
        self.decode_rows(weight, tensor, 0, weight.rows, bytes)
    }

    /// Decodes `rows` rows from `first` on from their bytes, as [`Contents::decode`] does.
    pub fn decode_rows(
        &self,
        weight: &Weight,
        tensor: &StoredTensor,
        first: usize,
        rows: usize,
        bytes: &[u8],
    ) -> Result<Matrix> {
        let mut matrix = tensor.encoding.decode(rows, weight.cols, bytes);
        if let Some((row, column)) = matrix.first_not_finite() {
            return Err(Error::new(
                ErrorCode::NotFinite,
                format!("{}: {}", self.files[tensor.file], tensor.stored_name),
                format!("is NaN or infinite at row {}, column {column}", first + row),
                "finite weights",
            ));
        }
        if weight.role.stays_f32() {
            matrix.values = Values::F32(matrix.to_f32());
        }
        Ok(matrix)
    }
}

impl StoredTensor {
    /// The format that the tensor has in memory.
    pub fn format(&self, weight: &Weight) -> Format {
        if weight.role.stays_f32() { Format::F32 } else { self.encoding.format() }
    }
}

/// Tensors that some checkpoints hold and no T5 uses: copies of the embedding, and a position bias in
/// cross-attention that the original t5 checkpoints carry and transformers drops on load.
fn is_ignored(name: &str) -> bool {
    matches!(name, "encoder.embed_tokens.weight" | "decoder.embed_tokens.weight")
        || name == "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
}
