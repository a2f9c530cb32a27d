//! Small files made in memory: a T5 as a Hugging Face folder, adapters, GGUF.

use std::collections::BTreeMap;

use gander::Result;
use gander::config::Config;
use gander::formats::contents::Contents;
use gander::formats::gguf::{Gguf, Value};
use gander::formats::layout;
use gander::formats::quantize::{Summary, Target, quantize};
use gander::quant::Matrix;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// v1.1, the head a matrix of its own, one encoder block and two decoder blocks, inner size ≠ d_model.
pub const GATED: &str = r#"{
    "model_type": "t5", "d_model": 32, "d_kv": 8, "d_ff": 64, "num_heads": 3, "num_layers": 1,
    "num_decoder_layers": 2, "vocab_size": 10, "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 20, "layer_norm_epsilon": 1e-06, "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": false, "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0
}"#;

/// v1.0, silent about everything that has a default.
pub const RELU: &str = r#"{
    "d_model": 64, "d_kv": 16, "d_ff": 32, "num_heads": 4, "num_layers": 2, "vocab_size": 12
}"#;

/// Named tensors, each with type, shape and bytes.
pub type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Random weights for every tensor that `config_json` calls for, in f32.
pub fn weights(config_json: &str, with_head: bool) -> Tensors {
    let config = Config::from_json("config.json", config_json.as_bytes()).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let tensors = layout::weights(&config, with_head).into_iter().map(|weight| {
        let values = (0..weight.rows * weight.cols).map(|_| random.f32() - 0.5);
        (weight.name.clone(), f32_tensor(&weight.shape(), values))
    });
    tensors.collect()
}

pub fn f32_tensor(shape: &[usize], values: impl IntoIterator<Item = f32>) -> (Dtype, Vec<usize>, Vec<u8>) {
    let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
    (Dtype::F32, shape.to_vec(), bytes)
}

pub fn safetensors(tensors: &Tensors) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// A safetensors file with this header and this many bytes of zeros.
pub fn safetensors_with_header(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(vec![0; data]);
    file
}

/// What `gander quantize` writes for a folder held in memory.
pub fn quantized(config_json: &str, weights: &Tensors, target: Target) -> Result<(Vec<u8>, Summary)> {
    quantized_with(config_json, weights, vec![], target)
}

/// The same with further keys.
pub fn quantized_with(
    config_json: &str,
    weights: &Tensors,
    metadata: Vec<(String, Value)>,
    target: Target,
) -> Result<(Vec<u8>, Summary)> {
    let file = safetensors(weights);
    let config = Config::from_json("config.json", config_json.as_bytes())?;
    let header = gander::formats::safetensors::Header::of_file("model.safetensors", &file)?;
    let contents = gander::formats::huggingface::contents(config, &[header], true)?;
    requantized(&contents, &file, metadata, target)
}

/// What `gander quantize` writes for a GGUF file held in memory.
pub fn requantized_gguf(file: &[u8], target: Target) -> Result<(Vec<u8>, Summary)> {
    let gguf = Gguf::parse("base.gguf", file)?;
    let contents = gander::formats::gguf::contents(&gguf)?;
    requantized(&contents, file, gander::formats::quantize::metadata_to_keep(&gguf), target)
}

fn requantized(
    contents: &Contents,
    file: &[u8],
    metadata: Vec<(String, Value)>,
    target: Target,
) -> Result<(Vec<u8>, Summary)> {
    let mut out = Vec::new();
    let read = |index: usize| -> Result<Matrix> {
        let (weight, tensor) = &contents.weights[index];
        contents.decode(weight, tensor, &file[tensor.range.clone()])
    };
    let summary = quantize(contents, read, metadata, target, &mut out)?;
    Ok((out, summary))
}

/// A GGUF file from its parts: metadata as raw bytes, tensors as (name, dimensions innermost first, type, offset).
pub struct RawGguf {
    pub version: u32,
    pub keys: Vec<(String, u32, Vec<u8>)>,
    pub tensors: Vec<(String, Vec<u64>, u32, u64)>,
    pub data: usize,
}

impl RawGguf {
    pub fn new() -> Self {
        RawGguf { version: 3, keys: Vec::new(), tensors: Vec::new(), data: 0 }
    }

    pub fn key(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.keys.push((key.to_string(), kind, value.to_vec()));
        self
    }

    pub fn tensor(mut self, name: &str, dimensions: &[u64], kind: u32, offset: u64) -> Self {
        self.tensors.push((name.to_string(), dimensions.to_vec(), kind, offset));
        self
    }

    pub fn data(mut self, bytes: usize) -> Self {
        self.data = bytes;
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        for (key, kind, value) in &self.keys {
            out.extend(string(key));
            out.extend(kind.to_le_bytes());
            out.extend(value);
        }
        for (name, dimensions, kind, offset) in &self.tensors {
            out.extend(string(name));
            out.extend((dimensions.len() as u32).to_le_bytes());
            out.extend(dimensions.iter().flat_map(|dimension| dimension.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(32) + self.data, 0);
        out
    }
}

/// A string as GGUF has it.
pub fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}
