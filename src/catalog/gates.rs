//! The gates file: the gate vectors of all experts, under `<expert id>/<module>.lora_gate.weight`.

use std::collections::BTreeMap;

use super::Catalog;
use super::problems::invalid;
use crate::error::{Error, ErrorCode, Result};
use crate::experts::{hex, sha256};
use crate::formats::encoding::Encoding;
use crate::formats::safetensors::{Header, HeaderTensor};
use crate::maps::map_of;

/// By expert and module, the gate vectors; those of zeros are among them.
pub type Gates<'a> = BTreeMap<&'a str, BTreeMap<String, Vec<f32>>>;

/// The key of a gate.
pub fn key(expert: &str, module: &str) -> String {
    format!("{expert}/{module}{SUFFIX}")
}

/// The expert that a key belongs to, and the module.
pub fn parse_key(key: &str) -> Option<(&str, &str)> {
    key.strip_suffix(SUFFIX)?.split_once('/')
}

const SUFFIX: &str = ".lora_gate.weight";

impl Catalog {
    /// The gates that the bytes of the gates file hold, as far as they can be read. What is wrong goes to `problems`.
    pub fn read_gates(&self, bytes: &[u8], problems: &mut Vec<Error>) -> Gates<'_> {
        let file = &self.gates.url;
        let mut gates = Gates::new();
        if let Err(error) = self.gates.check(bytes) {
            problems.push(error);
            return gates;
        }
        let header = match Header::of_file(file, bytes) {
            Ok(header) => header,
            Err(error) => {
                problems.push(error);
                return gates;
            }
        };
        let inputs = map_of(self.experts.iter().map(|expert| {
            let modules = expert.modules().map(|module| (module.module.as_str(), module.a.shape[1]));
            (expert.id.as_str(), map_of(modules))
        }));
        for (key, tensor) in &header.tensors {
            let found = parse_key(key).and_then(|(id, module)| {
                let (id, modules) = inputs.get_key_value(id)?;
                Some((*id, module, *modules.get(module)?))
            });
            let gate = match found {
                Some((id, module, inputs)) => check_length(tensor, inputs)
                    .and_then(|()| vector(tensor, bytes))
                    .map(|gate| (id, module.to_owned(), gate)),
                None => {
                    Err(invalid("key", "no gate of an expert here", "<expert id>/<module>.lora_gate.weight"))
                }
            };
            match gate {
                Ok((id, module, gate)) => drop(gates.entry(id).or_default().insert(module, gate)),
                Err(error) => problems.push(error.inside(format!("{file}: {key:?}"))),
            }
        }
        gates
    }
}

impl super::FileReference {
    /// Whether these are the bytes of the file.
    ///
    /// # Errors
    /// [`ErrorCode::PageMismatch`] for another number of bytes or another hash.
    pub fn check(&self, bytes: &[u8]) -> Result<()> {
        let mismatch = |problem, expected| {
            let expected = format!("{expected}, as the catalogue says");
            Err(Error::new(ErrorCode::PageMismatch, &self.url, problem, expected))
        };
        if bytes.len() as u64 != self.bytes {
            return mismatch(format!("{} bytes", bytes.len()), format!("{} bytes", self.bytes));
        }
        let found = hex(&sha256(bytes));
        if !found.eq_ignore_ascii_case(&self.sha256) {
            return mismatch(format!("SHA-256 {found}"), format!("SHA-256 {}", self.sha256));
        }
        Ok(())
    }
}

fn check_length(tensor: &HeaderTensor, inputs: usize) -> Result<()> {
    if tensor.shape == [inputs] {
        return Ok(());
    }
    let (problem, expected) = (format!("is {:?}", tensor.shape), format!("[{inputs}], the module's inputs"));
    Err(Error::new(ErrorCode::ShapeMismatch, "shape", problem, expected))
}

/// The numbers of a tensor, one row after another.
pub(super) fn vector(tensor: &HeaderTensor, bytes: &[u8]) -> Result<Vec<f32>> {
    let encoding = Encoding::from_dtype(tensor.dtype)?;
    let count = tensor.shape.iter().product();
    let vector = encoding.decode(1, count, &bytes[tensor.range.clone()]).to_f32();
    if let Some(at) = vector.iter().position(|value| !value.is_finite()) {
        let (place, problem) = (format!("value {at}"), format!("is {}", vector[at]));
        return Err(Error::new(ErrorCode::NotFinite, place, problem, "finite numbers"));
    }
    Ok(vector)
}
