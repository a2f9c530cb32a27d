//! llama.cpp's names of T5 tensors, and Hugging Face's, both ways.
//!
//! | llama.cpp | Hugging Face |
//! |---|---|
//! | `token_embd.weight` | `shared.weight` |
//! | `output.weight` | `lm_head.weight` |
//! | `enc.output_norm.weight` | `encoder.final_layer_norm.weight` |
//! | `enc.blk.N.attn_norm.weight` | `encoder.block.N.layer.0.layer_norm.weight` |
//! | `enc.blk.N.attn_q.weight` | `encoder.block.N.layer.0.SelfAttention.q.weight` |
//! | `enc.blk.N.attn_rel_b.weight` | `encoder.block.N.layer.0.SelfAttention.relative_attention_bias.weight` |
//! | `dec.blk.N.cross_attn_o.weight` | `decoder.block.N.layer.1.EncDecAttention.o.weight` |
//! | `dec.blk.N.ffn_gate.weight` | `decoder.block.N.layer.2.DenseReluDense.wi_0.weight` |
//! | `dec.blk.N.ffn_up.weight` | `….wi_1.weight` in a gated model, `….wi.weight` in one that is not |
//! | `dec.blk.N.ffn_down.weight` | `decoder.block.N.layer.2.DenseReluDense.wo.weight` |
//!
//! Source: `gguf.tensor_mapping` and `gguf.constants` of the `gguf` Python package, `MODEL_ARCH.T5`.

use crate::config::FeedForward;

/// Whole names.
const TOP: [(&str, &str); 4] = [
    ("token_embd.weight", "shared.weight"),
    ("output.weight", "lm_head.weight"),
    ("enc.output_norm.weight", "encoder.final_layer_norm.weight"),
    ("dec.output_norm.weight", "decoder.final_layer_norm.weight"),
];

/// Within an attention layer, after `attn_` or `cross_attn_`.
const ATTENTION: [(&str, &str); 5] =
    [("q", "q"), ("k", "k"), ("v", "v"), ("o", "o"), ("rel_b", "relative_attention_bias")];

/// The Hugging Face name of a tensor in a GGUF file; `None` for a name that is no T5's.
pub fn to_huggingface_name(name: &str, feed_forward: FeedForward) -> Option<String> {
    if let Some((_, theirs)) = TOP.iter().find(|(ours, _)| *ours == name) {
        return Some((*theirs).to_string());
    }
    let (stack, name) = name.split_once(".blk.")?;
    let (block, name) = name.split_once('.')?;
    let name = name.strip_suffix(".weight")?;
    let (stack, last_layer) = match stack {
        "enc" => ("encoder", 1),
        "dec" => ("decoder", 2),
        _ => return None,
    };
    let within = match name {
        "attn_norm" => "layer.0.layer_norm".to_string(),
        "cross_attn_norm" => "layer.1.layer_norm".to_string(),
        "ffn_norm" => format!("layer.{last_layer}.layer_norm"),
        "ffn_gate" => format!("layer.{last_layer}.DenseReluDense.wi_0"),
        "ffn_up" => {
            let input = feed_forward.inputs().last()?;
            format!("layer.{last_layer}.DenseReluDense.{input}")
        }
        "ffn_down" => format!("layer.{last_layer}.DenseReluDense.wo"),
        _ => {
            let (layer, part) = match name.strip_prefix("cross_attn_") {
                Some(part) => ("layer.1.EncDecAttention", part),
                None => ("layer.0.SelfAttention", name.strip_prefix("attn_")?),
            };
            let (_, theirs) = ATTENTION.iter().find(|(ours, _)| *ours == part)?;
            format!("{layer}.{theirs}")
        }
    };
    // An encoder has no cross-attention; without this its tensors would pass as those of the feed-forward layer.
    if stack == "encoder" && name.starts_with("cross_") {
        return None;
    }
    Some(format!("{stack}.block.{block}.{within}.weight"))
}

/// The name that llama.cpp gives to a tensor with this Hugging Face name; `None` for a name that is no T5's.
pub fn from_huggingface_name(name: &str) -> Option<String> {
    if let Some((ours, _)) = TOP.iter().find(|(_, theirs)| *theirs == name) {
        return Some((*ours).to_string());
    }
    let parts: Vec<&str> = name.splitn(6, '.').collect();
    let &[stack, "block", block, "layer", layer, within] = parts.as_slice() else { return None };
    let (stack, last_layer) = match stack {
        "encoder" => ("enc", "1"),
        "decoder" => ("dec", "2"),
        _ => return None,
    };
    let within = within.strip_suffix(".weight")?;
    let name = match within.split_once('.') {
        None if within == "layer_norm" => match layer {
            "0" => "attn_norm",
            _ if layer == last_layer => "ffn_norm",
            "1" => "cross_attn_norm",
            _ => return None,
        }
        .to_string(),
        Some(("DenseReluDense", part)) if layer == last_layer => match part {
            "wi_0" => "ffn_gate",
            "wi_1" | "wi" => "ffn_up",
            "wo" => "ffn_down",
            _ => return None,
        }
        .to_string(),
        Some((kind @ ("SelfAttention" | "EncDecAttention"), part)) => {
            let (ours, _) = ATTENTION.iter().find(|(_, theirs)| *theirs == part)?;
            match (kind, layer) {
                ("SelfAttention", "0") => format!("attn_{ours}"),
                ("EncDecAttention", "1") if stack == "dec" => format!("cross_attn_{ours}"),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(format!("{stack}.blk.{block}.{name}.weight"))
}
