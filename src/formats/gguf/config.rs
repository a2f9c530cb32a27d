//! The shape of a T5 as llama.cpp's keys tell it, and the keys of our own for what they cannot tell.

use super::{Gguf, Value};
use crate::config::{Config, FeedForward};
use crate::error::{ErrorCode, Result};

/// llama.cpp's distance from which all positions share the last bucket: a constant of its graph, not a key.
const MAX_DISTANCE: usize = 128;

/// Keys of our own, written only where a model differs from what llama.cpp takes for granted.
mod ours {
    /// u32, where it is not 128.
    pub const MAX_DISTANCE: &str = "gander.relative_attention_max_distance";
    /// bool, where it is not "the head is the embedding".
    pub const SCALE: &str = "gander.scale_decoder_outputs";
    /// A list of u32, where there is not exactly one.
    pub const EOS: &str = "gander.eos_token_ids";
}

/// Reads the shape. Gated or not is told by `ffn_gate`, the head by `output.weight`, the vocabulary by the embedding.
pub fn read(gguf: &Gguf) -> Result<Config> {
    const ARCHITECTURE: &str = "general.architecture";
    match gguf.text(ARCHITECTURE)? {
        Some("t5") => {}
        found => {
            let problem = found.map_or("is absent".to_string(), |found| format!("is {found:?}"));
            return Err(gguf.error(ErrorCode::Unsupported, ARCHITECTURE, problem, "\"t5\""));
        }
    }
    let required = |key: &str| -> Result<usize> {
        let value = gguf.u32(key)?;
        value
            .map(|value| value as usize)
            .ok_or_else(|| gguf.error(ErrorCode::InvalidFile, key, "is absent", "a whole number"))
    };
    let num_heads = required("t5.attention.head_count")?;
    let d_kv = required("t5.attention.key_length")?;
    let same = [("t5.attention.head_count_kv", num_heads), ("t5.attention.value_length", d_kv)];
    for (key, expected) in same {
        if let Some(found) = gguf.u32(key)?
            && found as usize != expected
        {
            return Err(gguf.error(
                ErrorCode::Unsupported,
                key,
                format!("is {found}"),
                format!("{expected}, as for queries and keys: a T5 has no other attention"),
            ));
        }
    }
    const EPSILON: &str = "t5.attention.layer_norm_rms_epsilon";
    let layer_norm_epsilon = gguf
        .f32(EPSILON)?
        .ok_or_else(|| gguf.error(ErrorCode::InvalidFile, EPSILON, "is absent", "a floating-point number"))?;
    let tensor = |name: &str| gguf.tensors.iter().find(|tensor| tensor.name == name);
    let Some(embedding) = tensor("token_embd.weight") else {
        return Err(gguf.error(
            ErrorCode::MissingTensor,
            "token_embd.weight",
            "is absent",
            "the embedding, of shape (vocabulary, d_model)",
        ));
    };
    let gated = gguf.tensors.iter().any(|tensor| tensor.name.ends_with(".ffn_gate.weight"));
    let num_layers = required("t5.block_count")?;
    let pad_token_id = gguf.u32("tokenizer.ggml.padding_token_id")?.unwrap_or(0);
    let config = Config {
        d_model: required("t5.embedding_length")?,
        d_kv,
        d_ff: required("t5.feed_forward_length")?,
        num_heads,
        num_layers,
        num_decoder_layers: gguf.u32("t5.decoder_block_count")?.map_or(num_layers, |blocks| blocks as usize),
        vocab_size: embedding.shape[0],
        relative_attention_num_buckets: required("t5.attention.relative_buckets_count")?,
        relative_attention_max_distance: gguf
            .u32(ours::MAX_DISTANCE)?
            .map_or(MAX_DISTANCE, |distance| distance as usize),
        layer_norm_epsilon,
        feed_forward: if gated { FeedForward::GatedGelu } else { FeedForward::Relu },
        // llama.cpp never scales: it leaves out a factor that changes no order. The model needs it where the
        // head is the embedding, so that is what a file that does not say is taken to mean.
        scale_decoder_outputs: gguf.flag(ours::SCALE)?.unwrap_or(tensor("output.weight").is_none()),
        decoder_start_token_id: gguf.u32("t5.decoder_start_token_id")?.unwrap_or(pad_token_id),
        eos_token_ids: eos_token_ids(gguf)?,
        pad_token_id,
    };
    config.validate().map_err(|error| error.inside(&gguf.file))?;
    Ok(config)
}

fn eos_token_ids(gguf: &Gguf) -> Result<Vec<u32>> {
    if let Some(ids) = gguf.i32s(ours::EOS)? {
        let ids = ids.into_iter().map(u32::try_from).collect::<Result<Vec<_>, _>>();
        return ids.map_err(|_| {
            gguf.error(ErrorCode::InvalidFile, ours::EOS, "holds a negative number", "token ids")
        });
    }
    // llama.cpp's default for tokenizers of the kind "t5".
    Ok(vec![gguf.u32("tokenizer.ggml.eos_token_id")?.unwrap_or(1)])
}

/// The keys that llama.cpp's loader asks of a T5, and ours where they do not suffice.
///
/// `head_is_embedding`: whether the file has no `output.weight`.
pub fn write(config: &Config, head_is_embedding: bool) -> Vec<(String, Value)> {
    let number = |value: usize| Value::U32(value as u32);
    let epsilon = Value::F32(config.layer_norm_epsilon);
    let mut keys = vec![
        ("general.architecture", Value::String("t5".to_string())),
        // Relative positions have no end; 512 is what T5 was trained with and what llama.cpp's converter writes.
        ("t5.context_length", number(512)),
        ("t5.embedding_length", number(config.d_model)),
        ("t5.feed_forward_length", number(config.d_ff)),
        ("t5.block_count", number(config.num_layers)),
        ("t5.decoder_block_count", number(config.num_decoder_layers)),
        ("t5.attention.head_count", number(config.num_heads)),
        ("t5.attention.key_length", number(config.d_kv)),
        ("t5.attention.value_length", number(config.d_kv)),
        ("t5.attention.layer_norm_epsilon", epsilon.clone()),
        ("t5.attention.relative_buckets_count", number(config.relative_attention_num_buckets)),
        ("t5.attention.layer_norm_rms_epsilon", epsilon),
        ("t5.decoder_start_token_id", Value::U32(config.decoder_start_token_id)),
        ("t5.vocab_size", number(config.vocab_size)),
        ("tokenizer.ggml.padding_token_id", Value::U32(config.pad_token_id)),
    ];
    if let Some(&eos) = config.eos_token_ids.first() {
        keys.push(("tokenizer.ggml.eos_token_id", Value::U32(eos)));
    }
    if config.eos_token_ids.len() != 1 {
        keys.push((ours::EOS, Value::Array(super::Array::U32(config.eos_token_ids.clone()))));
    }
    if config.relative_attention_max_distance != MAX_DISTANCE {
        keys.push((ours::MAX_DISTANCE, number(config.relative_attention_max_distance)));
    }
    if config.scale_decoder_outputs != head_is_embedding {
        keys.push((ours::SCALE, Value::Bool(config.scale_decoder_outputs)));
    }
    keys.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}
