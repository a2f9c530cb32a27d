//! Models and experts of random numbers: for testing and timing a device before there is any other model.
//!
//! The same seed makes the same numbers everywhere.

use std::collections::BTreeMap;

use crate::config::{Config, FeedForward};
use crate::experts::{Expert, OtherVectors, Page, PageTensor, block_of};
use crate::formats::Checkpoint;
use crate::formats::layout::{self, Role};
use crate::formats::peft::LoraPart;
use crate::maps::map_of;
use crate::quant::{Matrix, Values};
use crate::tensor::DType;

/// A flan-T5 of the given size: gated gelu, a head of its own.
pub fn config(d_model: usize, heads: usize, d_ff: usize, blocks: usize, vocabulary: usize) -> Config {
    Config {
        d_model,
        d_kv: 64,
        d_ff,
        num_heads: heads,
        num_layers: blocks,
        num_decoder_layers: blocks,
        vocab_size: vocabulary,
        relative_attention_num_buckets: 32,
        relative_attention_max_distance: 128,
        layer_norm_epsilon: 1e-6,
        feed_forward: FeedForward::GatedGelu,
        scale_decoder_outputs: false,
        decoder_start_token_id: 0,
        eos_token_ids: vec![1],
        pad_token_id: 0,
    }
}

/// A checkpoint whose activations neither vanish nor explode. `round` gives a weight its format, from its number among the
/// weights and its floats.
pub fn checkpoint(config: &Config, seed: u64, round: impl Fn(usize, &[f32]) -> Values) -> Checkpoint {
    Checkpoint { config: config.clone(), tensors: weights(config, seed, &round) }
}

fn weights(config: &Config, seed: u64, round: &dyn Fn(usize, &[f32]) -> Values) -> BTreeMap<String, Matrix> {
    let mut random = fastrand::Rng::with_seed(seed);
    let weights = layout::weights(config, true).into_iter().enumerate();
    map_of(weights.map(|(number, weight)| {
        let (centre, spread) = match weight.role {
            Role::Norm => (1.0, 0.1),
            Role::PositionBias => (0.0, 1.0),
            // T5 does not scale the scores of attention; its q starts smaller instead.
            Role::Linear if weight.name.contains("Attention.q") => (0.0, (weight.cols * config.d_kv) as f32),
            Role::Linear => (0.0, weight.cols as f32),
            Role::Embedding => (0.0, 1.0),
        };
        let spread = if weight.role == Role::Linear { spread.powf(-0.5) } else { spread };
        let floats: Vec<f32> =
            (0..weight.rows * weight.cols).map(|_| centre + spread * deviate(&mut random)).collect();
        let values = if weight.role.stays_f32() { Values::F32(floats) } else { round(number, &floats) };
        (weight.name, Matrix { rows: weight.rows, cols: weight.cols, values })
    }))
}

/// An expert on every linear layer, and the bytes of each of its pages.
pub fn expert(config: &Config, id: &str, rank: usize, seed: u64) -> (Expert, Vec<Vec<u8>>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut expert = Expert {
        id: id.to_owned(),
        full_name: id.to_owned(),
        gates: BTreeMap::new(),
        vectors: OtherVectors::default(),
        scales: BTreeMap::new(),
        pages: Vec::new(),
    };
    let mut bytes: Vec<Vec<u8>> = Vec::new();
    let linears = layout::weights(config, false).into_iter().filter(|weight| weight.role == Role::Linear);
    for weight in linears {
        let module = weight.name.trim_end_matches(".weight");
        if expert.pages.last().is_none_or(|page| page.block != block_of(module)) {
            let (block, file) = (block_of(module).to_owned(), format!("{id}.safetensors"));
            expert.pages.push(Page { block, file, range: 0..0, sha256: None, tensors: Vec::new() });
            bytes.push(Vec::new());
        }
        let (Some(page), Some(bytes)) = (expert.pages.last_mut(), bytes.last_mut()) else {
            unreachable!("a page was just made")
        };
        for (part, shape) in [(LoraPart::A, [rank, weight.cols]), (LoraPart::B, [weight.rows, rank])] {
            let spread = (shape[1] as f32).powf(-0.5);
            let offset = bytes.len();
            for _ in 0..shape[0] * shape[1] {
                bytes.extend((spread * deviate(&mut random)).to_le_bytes());
            }
            page.tensors.push(PageTensor {
                module: module.to_owned(),
                part,
                dtype: DType::F32,
                shape,
                offset,
            });
        }
        page.range.end = bytes.len() as u64;
        let gate = (0..weight.cols).map(|_| deviate(&mut random)).collect();
        expert.gates.insert(module.to_owned(), gate);
        expert.scales.insert(module.to_owned(), 0.5);
    }
    (expert, bytes)
}

/// A number of mean 0 and variance 1: evenly spread is as good as normal here.
fn deviate(random: &mut fastrand::Rng) -> f32 {
    (random.f32() - 0.5) * 12.0f32.sqrt()
}
