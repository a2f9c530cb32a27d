//! Writing a base model as one GGUF file, for gander and for llama.cpp.

use std::io::Write;

use super::contents::Contents;
use super::encoding::Encoding;
use super::gguf::writer::{Announced, Writer};
use super::gguf::{self, Value};
use super::layout::{self, Weight};
use crate::error::{Error, ErrorCode, Result};
use crate::quant::{BLOCK, Matrix, Values};

/// What the matrices of a quantised model become.
///
/// Norms and position bias stay f32, and a matrix whose rows are not whole blocks of 32 becomes F16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// 8.5 bits per weight.
    Q8_0,
    /// 4.5 bits per weight. The embedding and the head too.
    Q4_0,
    /// 16 bits per weight.
    F16,
}

impl Target {
    /// llama.cpp's `general.file_type`.
    fn file_type(self) -> u32 {
        match self {
            Target::F16 => 1,
            Target::Q4_0 => 2,
            Target::Q8_0 => 7,
        }
    }

    fn encoding_of(self, weight: &Weight) -> Encoding {
        if weight.role.stays_f32() {
            return Encoding::F32;
        }
        match self {
            Target::Q8_0 if weight.cols.is_multiple_of(BLOCK) => Encoding::Q8_0,
            Target::Q4_0 if weight.cols.is_multiple_of(BLOCK) => Encoding::Q4_0,
            Target::Q8_0 | Target::Q4_0 | Target::F16 => Encoding::F16,
        }
    }
}

/// What [`quantize`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Tensors written.
    pub tensors: usize,
    /// Bytes of weights in the source.
    pub bytes_before: usize,
    /// Bytes of weights written.
    pub bytes_after: usize,
    /// Tensors whose rows are not whole blocks, written as F16.
    pub left_f16: Vec<String>,
}

/// Writes the model to `out`, one tensor at a time.
///
/// * `read`: decodes weight number n of `contents`
/// * `metadata`: keys besides those of the shape: the name, the tokenizer
///
/// A source that is quantised already is dequantised and rounded again, unless its tensors are of the target's type.
pub fn quantize(
    contents: &Contents,
    mut read: impl FnMut(usize) -> Result<Matrix>,
    metadata: Vec<(String, Value)>,
    target: Target,
    out: impl Write,
) -> Result<Summary> {
    let config = &contents.config;
    let has_head = contents.weights.iter().any(|(weight, _)| weight.name == layout::HEAD);
    let mut keys = gguf::config_metadata(config, !has_head);
    keys.push(("general.file_type".to_string(), Value::U32(target.file_type())));
    keys.push(("general.quantization_version".to_string(), Value::U32(2)));
    // What the shape says goes before what came with the tokenizer: ids of the two may differ.
    for (key, value) in metadata {
        if keys.iter().all(|(earlier, _)| *earlier != key) {
            keys.push((key, value));
        }
    }

    let announced: Vec<Announced> = contents
        .weights
        .iter()
        .map(|(weight, _)| Announced {
            name: gguf::from_huggingface_name(&weight.name)
                .unwrap_or_else(|| panic!("{} has no name in llama.cpp", weight.name)),
            shape: weight.shape(),
            encoding: target.encoding_of(weight),
        })
        .collect();
    let mut summary = Summary {
        tensors: announced.len(),
        bytes_before: contents.weights.iter().map(|(_, tensor)| tensor.range.len()).sum(),
        bytes_after: announced.iter().map(Announced::byte_len).sum(),
        left_f16: Vec::new(),
    };
    let unwritable = |error: std::io::Error| {
        Error::new(ErrorCode::Io, "the output", error.to_string(), "a file that can be written")
    };
    let mut writer = Writer::start(out, &keys, announced).map_err(unwritable)?;
    for (index, (weight, _)) in contents.weights.iter().enumerate() {
        let encoding = target.encoding_of(weight);
        if target != Target::F16 && encoding == Encoding::F16 {
            summary.left_f16.push(weight.name.clone());
        }
        let matrix = encode(read(index)?, encoding);
        if let Some((row, column)) = matrix.first_not_finite() {
            return Err(Error::new(
                ErrorCode::NotFinite,
                weight.name.clone(),
                format!("does not fit {} at row {row}, column {column}", matrix.values.format().name()),
                "weights whose scale, or which themselves, are below 65504",
            ));
        }
        writer.tensor(&matrix).map_err(unwritable)?;
    }
    writer.finish().map_err(unwritable)?;
    Ok(summary)
}

/// The matrix in the wanted encoding; unchanged where it already is.
fn encode(matrix: Matrix, encoding: Encoding) -> Matrix {
    let Matrix { rows, cols, .. } = matrix;
    let values = match (encoding, &matrix.values) {
        (Encoding::F32, Values::F32(_))
        | (Encoding::F16, Values::F16(_))
        | (Encoding::Q8_0, Values::Q8_0 { .. })
        | (Encoding::Q4_0, Values::Q4_0 { .. }) => return matrix,
        (Encoding::F32, _) => Values::F32(matrix.to_f32()),
        (Encoding::F16, _) => Values::f16_from(&matrix.to_f32()),
        (Encoding::Q8_0, _) => Values::q8_0_from(&matrix.to_f32()),
        (Encoding::Q4_0, _) => Values::q4_0_from(&matrix.to_f32()),
        (other, _) => unreachable!("{other:?} is no target"),
    };
    Matrix { rows, cols, values }
}

/// The keys of a GGUF source that a file made from it keeps: its name and what else it says of itself, the tokenizer.
pub fn metadata_to_keep(gguf: &gguf::Gguf) -> Vec<(String, Value)> {
    let kept = gguf.metadata.iter().filter(|(key, _)| {
        let of_the_container = matches!(
            key.as_str(),
            "general.architecture"
                | "general.alignment"
                | "general.file_type"
                | "general.quantization_version"
        );
        (key.starts_with("general.") || key.starts_with("tokenizer.")) && !of_the_container
    });
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}
