//! T5, once: v1.0, v1.1 and mT5, with or without experts, as code that appends to a recording.

use std::collections::BTreeMap;

use crate::config::{Config, FeedForward};
use crate::device::Device;
use crate::error::{Error, ErrorCode, Result};
use crate::formats::Checkpoint;
use crate::kernels::attention::{self, Span};
use crate::kernels::matmul::{self, Output, Weight};
use crate::kernels::{activation, argmax, embed, kv_append, rms_norm};
use crate::quant::Matrix;
use crate::recording::Recording;
use crate::router::{RoutedLinear, Routes};
use crate::tensor::{DType, Tensor};
use crate::workspace::Workspace;

/// An encoder and a decoder in a device's memory.
pub struct T5 {
    /// The shape.
    pub config: Config,
    /// (vocabulary, d_model), shared by encoder and decoder.
    embedding: Weight,
    /// (vocabulary, d_model): the embedding again where the checkpoint has no head of its own.
    head: Weight,
    encoder: Stack,
    decoder: Stack,
}

/// Blocks of the same kind, one after another.
struct Stack {
    /// (2 reach + 1, heads): the relative position bias by distance. Every block uses that of block 0.
    position_bias: Tensor,
    blocks: Vec<Block>,
    final_norm: Tensor,
}

struct Block {
    self_attention: Attention,
    /// In the decoder.
    cross_attention: Option<Attention>,
    feed_forward: FeedForwardLayer,
}

struct Attention {
    norm: Tensor,
    q: RoutedLinear,
    k: RoutedLinear,
    v: RoutedLinear,
    o: RoutedLinear,
}

struct FeedForwardLayer {
    norm: Tensor,
    /// `wi`, or `wi_0` of the gated form.
    wi: RoutedLinear,
    /// `wi_1` of the gated form.
    wi_1: Option<RoutedLinear>,
    wo: RoutedLinear,
}

impl T5 {
    /// Copies a checkpoint's weights to the device.
    pub fn upload(device: &mut Device, checkpoint: Checkpoint) -> Result<T5> {
        let Checkpoint { config, tensors, .. } = checkpoint;
        let mut loader = Loader { device, tensors, config: &config };
        let shared = loader.take("shared.weight")?;
        let embedding = Weight::upload(loader.device, &shared);
        let head = match loader.tensors.remove("lm_head.weight") {
            Some(head) => Weight::upload(loader.device, &head),
            None => embedding,
        };
        let encoder = loader.stack("encoder", config.num_layers)?;
        let decoder = loader.stack("decoder", config.num_decoder_layers)?;
        Ok(T5 { config, embedding, head, encoder, decoder })
    }

    /// Every linear layer that can carry experts, encoder first, in the order of computation.
    pub fn linears(&mut self) -> impl Iterator<Item = &mut RoutedLinear> {
        self.encoder.blocks.iter_mut().chain(&mut self.decoder.blocks).flat_map(|block| {
            let Block { self_attention, cross_attention, feed_forward } = block;
            let attentions = std::iter::once(self_attention).chain(cross_attention);
            let FeedForwardLayer { wi, wi_1, wo, .. } = feed_forward;
            attentions
                .flat_map(|Attention { q, k, v, o, .. }| [q, k, v, o])
                .chain([wi])
                .chain(wi_1)
                .chain([wo])
        })
    }

    /// Appends the encoder, and the keys and values that the decoder's cross-attention takes from its output.
    ///
    /// Reads `workspace.ids` (1, tokens); writes `workspace.encoded` and `workspace.cross`.
    pub fn record_encoder(&self, recording: &mut Recording, workspace: &Workspace, routes: &mut Routes) {
        let Workspace { x, u, q, k, v, attended, origin, .. } = *workspace;
        embed::record(recording, workspace.ids, &self.embedding, x);
        for (index, block) in self.encoder.blocks.iter().enumerate() {
            let layer = &block.self_attention;
            rms_norm::record(recording, x, layer.norm, self.config.layer_norm_epsilon, u);
            layer.q.record(recording, u, Output::Store, q, routes);
            layer.k.record(recording, u, Output::Store, k, routes);
            layer.v.record(recording, u, Output::Store, v, routes);
            let (bias, heads) = (self.encoder.position_bias, self.config.num_heads);
            attention::record(recording, q, k, v, bias, origin, heads, Span::All, attended);
            layer.o.record(recording, attended, Output::Add, x, routes);
            self.record_feed_forward(recording, &block.feed_forward, workspace, routes);
            recording.mark(format!("encoder.block.{index}.output"), x);
        }
        let encoded = workspace.encoded;
        rms_norm::record(recording, x, self.encoder.final_norm, self.config.layer_norm_epsilon, encoded);
        recording.mark("encoder.final", encoded);
        // Keys and values are routed once per encoder token and decoder block, then kept for all steps.
        for (block, cache) in self.decoder.blocks.iter().zip(&workspace.cross) {
            let Some(layer) = &block.cross_attention else { continue };
            layer.k.record(recording, encoded, Output::Store, cache.k, routes);
            layer.v.record(recording, encoded, Output::Store, cache.v, routes);
        }
    }

    /// Appends one decoder step: from the token in `workspace.ids` (1, 1) at `workspace.position` to
    /// `workspace.logits` and `workspace.result`. Running it again at the same position gives the same again.
    pub fn record_decoder_step(&self, recording: &mut Recording, workspace: &Workspace, routes: &mut Routes) {
        let Workspace { x, u, q, k, v, attended, position, .. } = *workspace;
        let (heads, epsilon) = (self.config.num_heads, self.config.layer_norm_epsilon);
        embed::record(recording, workspace.ids, &self.embedding, x);
        let caches = workspace.past.iter().zip(&workspace.cross);
        for (index, (block, (past, cross))) in self.decoder.blocks.iter().zip(caches).enumerate() {
            let layer = &block.self_attention;
            rms_norm::record(recording, x, layer.norm, epsilon, u);
            layer.q.record(recording, u, Output::Store, q, routes);
            layer.k.record(recording, u, Output::Store, k, routes);
            layer.v.record(recording, u, Output::Store, v, routes);
            kv_append::record(recording, k, position, past.k);
            kv_append::record(recording, v, position, past.v);
            let bias = self.decoder.position_bias;
            attention::record(recording, q, past.k, past.v, bias, position, heads, Span::Past, attended);
            layer.o.record(recording, attended, Output::Add, x, routes);
            if let Some(layer) = &block.cross_attention {
                rms_norm::record(recording, x, layer.norm, epsilon, u);
                layer.q.record(recording, u, Output::Store, q, routes);
                let no_bias = bias.slice_rows(0, 0);
                attention::record(
                    recording,
                    q,
                    cross.k,
                    cross.v,
                    no_bias,
                    position,
                    heads,
                    Span::All,
                    attended,
                );
                layer.o.record(recording, attended, Output::Add, x, routes);
            }
            self.record_feed_forward(recording, &block.feed_forward, workspace, routes);
            recording.mark(format!("decoder.block.{index}.output"), x);
        }
        rms_norm::record(recording, x, self.decoder.final_norm, epsilon, u);
        recording.mark("decoder.final", u);
        let scale =
            if self.config.scale_decoder_outputs { (self.config.d_model as f32).powf(-0.5) } else { 1.0 };
        matmul::record(recording, u, &self.head, scale, Output::Store, workspace.logits);
        recording.mark("logits", workspace.logits);
        argmax::record(recording, workspace.logits, workspace.result);
    }

    /// `x += wo(act(wi u))`, `u = norm(x)`.
    fn record_feed_forward(
        &self,
        recording: &mut Recording,
        layer: &FeedForwardLayer,
        workspace: &Workspace,
        routes: &mut Routes,
    ) {
        let Workspace { x, u, hidden, gated, .. } = *workspace;
        rms_norm::record(recording, x, layer.norm, self.config.layer_norm_epsilon, u);
        layer.wi.record(recording, u, Output::Store, hidden, routes);
        if let Some(wi_1) = &layer.wi_1 {
            wi_1.record(recording, u, Output::Store, gated, routes);
        }
        activation::record(recording, self.config.feed_forward, hidden, gated);
        layer.wo.record(recording, hidden, Output::Add, x, routes);
    }
}

/// Takes weights out of a checkpoint, one by one, so that none is in memory twice for long.
struct Loader<'a> {
    device: &'a mut Device,
    tensors: BTreeMap<String, Matrix>,
    config: &'a Config,
}

impl Loader<'_> {
    fn take(&mut self, name: &str) -> Result<Matrix> {
        self.tensors.remove(name).ok_or_else(|| {
            Error::new(
                ErrorCode::MissingTensor,
                name,
                "not in the checkpoint",
                "every weight of its configuration",
            )
        })
    }

    /// A norm's weight (1, d_model), as floats whatever the checkpoint's format.
    fn norm(&mut self, name: String) -> Result<Tensor> {
        let matrix = self.take(&name)?;
        Ok(self.device.upload(matrix.rows, matrix.cols, DType::F32, &matrix.to_f32()))
    }

    fn linear(&mut self, module: String) -> Result<RoutedLinear> {
        let matrix = self.take(&format!("{module}.weight"))?;
        Ok(RoutedLinear { weight: Weight::upload(self.device, &matrix), module, router: None })
    }

    fn attention(&mut self, layer: &str, name: &str) -> Result<Attention> {
        Ok(Attention {
            norm: self.norm(format!("{layer}.layer_norm.weight"))?,
            q: self.linear(format!("{layer}.{name}.q"))?,
            k: self.linear(format!("{layer}.{name}.k"))?,
            v: self.linear(format!("{layer}.{name}.v"))?,
            o: self.linear(format!("{layer}.{name}.o"))?,
        })
    }

    fn feed_forward(&mut self, layer: &str) -> Result<FeedForwardLayer> {
        let norm = self.norm(format!("{layer}.layer_norm.weight"))?;
        let linear = format!("{layer}.DenseReluDense");
        let (wi, wi_1) = match self.config.feed_forward {
            FeedForward::Relu => (self.linear(format!("{linear}.wi"))?, None),
            FeedForward::GatedGelu => {
                (self.linear(format!("{linear}.wi_0"))?, Some(self.linear(format!("{linear}.wi_1"))?))
            }
        };
        Ok(FeedForwardLayer { norm, wi, wi_1, wo: self.linear(format!("{linear}.wo"))? })
    }

    fn stack(&mut self, name: &str, block_count: usize) -> Result<Stack> {
        let table = format!("{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
        let table = self.take(&table)?.to_f32();
        let bias = bias_by_distance(&table, self.config, name == "encoder");
        let reach = reach(self.config) as usize;
        let position_bias = self.device.upload(2 * reach + 1, self.config.num_heads, DType::F32, &bias);
        let blocks = (0..block_count)
            .map(|index| {
                let block = format!("{name}.block.{index}");
                let self_attention = self.attention(&format!("{block}.layer.0"), "SelfAttention")?;
                let cross_attention = match name {
                    "decoder" => Some(self.attention(&format!("{block}.layer.1"), "EncDecAttention")?),
                    _ => None,
                };
                let last = 1 + cross_attention.is_some() as usize;
                let feed_forward = self.feed_forward(&format!("{block}.layer.{last}"))?;
                Ok(Block { self_attention, cross_attention, feed_forward })
            })
            .collect::<Result<_>>()?;
        let final_norm = self.norm(format!("{name}.final_layer_norm.weight"))?;
        Ok(Stack { position_bias, blocks, final_norm })
    }
}

/// The distance from which all positions share a bucket. At least the number of buckets, some of which hold one
/// distance each.
fn reach(config: &Config) -> isize {
    config.relative_attention_max_distance.max(config.relative_attention_num_buckets) as isize
}

/// The bias table (buckets, heads) spread over distances −reach … reach: (2 reach + 1, heads). All distances beyond
/// the reach share a bucket, so that clamping the distance is exact.
fn bias_by_distance(table: &[f32], config: &Config, bidirectional: bool) -> Vec<f32> {
    let reach = reach(config);
    (-reach..=reach)
        .flat_map(|distance| {
            let bucket = relative_position_bucket(distance, config, bidirectional);
            table[bucket * config.num_heads..][..config.num_heads].iter().copied()
        })
        .collect()
}

/// Bucket of a distance (key position − query position). Half of the buckets hold one distance each, the rest grow
/// logarithmically up to the maximum distance. Where both directions count, each has half of all buckets; where only
/// the past does, what lies ahead shares bucket 0.
///
/// Source: `T5Attention._relative_position_bucket` of transformers.
fn relative_position_bucket(distance: isize, config: &Config, bidirectional: bool) -> usize {
    let mut buckets = config.relative_attention_num_buckets;
    let mut first = 0;
    let distance = if bidirectional {
        buckets /= 2;
        first = if distance > 0 { buckets } else { 0 };
        distance.unsigned_abs()
    } else {
        (-distance).max(0) as usize
    };
    let exact = buckets / 2;
    if distance < exact {
        return first + distance;
    }
    // In f32, operation by operation as transformers does: where a distance lies on the border of two buckets,
    // rounding decides. The logarithms are taken in f64 and rounded, so that all platforms agree.
    let log = |ratio: f32| (ratio as f64).ln() as f32;
    let span = (config.relative_attention_max_distance as f64 / exact as f64).ln() as f32;
    let steps = log(distance as f32 / exact as f32) / span * (buckets - exact) as f32;
    first + (exact + steps as usize).min(buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FeedForward;

    fn config(buckets: usize, max_distance: usize) -> Config {
        Config {
            d_model: 8,
            d_kv: 4,
            d_ff: 8,
            num_heads: 2,
            num_layers: 1,
            num_decoder_layers: 1,
            vocab_size: 16,
            relative_attention_num_buckets: buckets,
            relative_attention_max_distance: max_distance,
            layer_norm_epsilon: 1e-6,
            feed_forward: FeedForward::Relu,
            scale_decoder_outputs: false,
            decoder_start_token_id: 0,
            eos_token_ids: vec![1],
            pad_token_id: 0,
        }
    }

    /// Every distance that tools/goldens.py asked transformers about, for several numbers of buckets and reaches.
    #[test]
    fn buckets_are_those_of_transformers() {
        #[derive(serde::Deserialize)]
        struct Table {
            num_buckets: usize,
            max_distance: usize,
            bidirectional: bool,
            first_distance: isize,
            buckets: Vec<usize>,
        }
        let tables: Vec<Table> =
            serde_json::from_slice(include_bytes!("../tests/goldens/buckets.json")).expect("the golden file");
        assert!(tables.len() >= 16);
        for table in tables {
            let config = config(table.num_buckets, table.max_distance);
            for (distance, bucket) in (table.first_distance..).zip(table.buckets) {
                let found = relative_position_bucket(distance, &config, table.bidirectional);
                let Table { num_buckets, max_distance, bidirectional, .. } = table;
                assert_eq!(found, bucket, "{distance} of {num_buckets}, {max_distance}, {bidirectional}");
            }
        }
    }
}
