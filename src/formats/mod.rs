//! The ecosystem's file formats, checked once at the boundary: Hugging Face folders, GGUF, PEFT adapters.
//!
//! Nothing here reads a file or a network by itself, [`open`] excepted: bytes come in, checked values or named errors
//! go out. Lengths and counts in a file are compared with the bytes that are there before anything is allocated.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::error::Result;
use crate::quant::Matrix;

pub mod blocks;
pub mod contents;
pub mod encoding;
pub mod fingerprint;
pub mod gguf;
pub mod huggingface;
pub mod incoming;
pub(crate) mod json;
pub mod layout;
#[cfg(not(target_arch = "wasm32"))]
pub mod open;
pub(crate) mod overlap;
pub mod peft;
pub mod quantize;
pub mod safetensors;
pub mod vocabulary;

use contents::Contents;
use gguf::Gguf;
use safetensors::Header;

/// A base model as its files describe it, whatever files those were.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The shape.
    pub config: Config,
    /// Every weight under its Hugging Face name (`encoder.block.0.layer.0.SelfAttention.q.weight`). A vector, such
    /// as a norm's weight, is a matrix of one row. `shared.weight` is always there; `lm_head.weight` only where the
    /// head is a matrix of its own. Norms and position bias are f32 whatever the file has; every weight is finite.
    pub tensors: BTreeMap<String, Matrix>,
}

impl Checkpoint {
    /// A Hugging Face folder: the bytes of its `config.json`, and of its weight files with their names.
    ///
    /// F32, F16 and BF16 stay what they are.
    pub fn from_huggingface(config_json: &[u8], shards: &[(&str, &[u8])]) -> Result<Checkpoint> {
        let config = Config::from_json(huggingface::CONFIG, config_json)?;
        let headers =
            shards.iter().map(|(name, bytes)| Header::of_file(name, bytes)).collect::<Result<Vec<_>>>()?;
        let contents = huggingface::contents(config, &headers, true)?;
        let files: Vec<&[u8]> = shards.iter().map(|(_, bytes)| *bytes).collect();
        Checkpoint::read(&contents, &files)
    }

    /// One GGUF file in llama.cpp's T5 naming. `name` is only for messages.
    pub fn from_gguf(name: &str, bytes: &[u8]) -> Result<Checkpoint> {
        let contents = gguf::contents(&Gguf::parse(name, bytes)?)?;
        Checkpoint::read(&contents, &[bytes])
    }

    /// Decodes every weight of `contents` from the whole `files`.
    fn read(contents: &Contents, files: &[&[u8]]) -> Result<Checkpoint> {
        let mut tensors = BTreeMap::new();
        for (weight, tensor) in &contents.weights {
            // Headers were checked against the lengths of these very files.
            let bytes = &files[tensor.file][tensor.range.clone()];
            tensors.insert(weight.name.clone(), contents.decode(weight, tensor, bytes)?);
        }
        Ok(Checkpoint { config: contents.config.clone(), tensors })
    }
}
