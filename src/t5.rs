//! T5, once: v1.0, v1.1 and mT5, with or without experts, as code that appends to a recording.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::config::{Config, FeedForward};
use crate::device::{Device, Devices};
use crate::error::{Error, ErrorCode, Result};
use crate::formats::Checkpoint;
use crate::kernels::attention::{self, Columns};
use crate::kernels::input::Input;
use crate::kernels::linear::{self, Output};
use crate::kernels::weight::Weight;
use crate::kernels::{attention_step, embed, next_token, rms_norm};
use crate::quant::Matrix;
use crate::recording::Recording;
use crate::router::{RoutedLinears, Routes};
use crate::sampling::Sampling;
use crate::tensor::{DType, Tensor};
use crate::workspace::{Activations, DecoderWorkspace, EncoderWorkspace};

/// A T5 in the memory of one device, or of two.
pub struct T5 {
    /// The shape.
    pub config: Config,
    /// From the input's tokens to the keys and values of cross-attention.
    pub encoder: Encoder,
    /// From one token to the next.
    pub decoder: Decoder,
}

/// What reads the input, once.
pub struct Encoder {
    /// (vocabulary, d_model)
    embedding: Weight,
    stack: Stack,
    /// The keys and values that every decoder block takes from the encoder's output: k and v of block 0, of block 1, …
    cross_kv: RoutedLinears,
}

/// What writes the answer, token by token.
pub struct Decoder {
    /// (vocabulary, d_model), that of the encoder.
    embedding: Weight,
    stack: Stack,
    /// (vocabulary, d_model): the embedding again where the checkpoint has no head of its own.
    head: Weight,
}

/// Blocks of the same kind, one after another.
struct Stack {
    /// (2 reach + 1, heads): the relative position bias by distance. Every block uses that of block 0.
    position_bias: Tensor,
    blocks: Vec<Block>,
    final_norm: Tensor,
}

struct Block {
    self_attention: SelfAttention,
    /// In the decoder.
    cross_attention: Option<CrossAttention>,
    feed_forward: FeedForwardLayer,
}

struct SelfAttention {
    norm: Tensor,
    qkv: RoutedLinears,
    o: RoutedLinears,
}

struct CrossAttention {
    norm: Tensor,
    q: RoutedLinears,
    o: RoutedLinears,
}

struct FeedForwardLayer {
    norm: Tensor,
    /// `wi`, or `wi_0` and `wi_1` of the gated form.
    wi: RoutedLinears,
    wo: RoutedLinears,
}

impl T5 {
    /// Copies a checkpoint's weights to the devices. An owned checkpoint is used up weight by weight, so that none is in
    /// memory twice for long.
    pub fn upload(devices: &mut Devices, checkpoint: Cow<Checkpoint>) -> Result<T5> {
        let config = checkpoint.config.clone();
        let Some(on_decoder) = &mut devices.decoder else {
            let mut loader = Loader::new(&mut devices.encoder, &config, checkpoint);
            let embedding = loader.embedding()?;
            let encoder = loader.encoder(embedding)?;
            let decoder = loader.decoder(embedding)?;
            return Ok(T5 { config, encoder, decoder });
        };
        let mut loader = Loader::new(on_decoder, &config, Cow::Borrowed(checkpoint.as_ref()));
        let embedding = loader.embedding()?;
        let decoder = loader.decoder(embedding)?;
        let mut loader = Loader::new(&mut devices.encoder, &config, checkpoint);
        let embedding = loader.embedding()?;
        let encoder = loader.encoder(embedding)?;
        Ok(T5 { config, encoder, decoder })
    }
}

impl Stack {
    /// All linear layers, those that share an input together.
    fn linears(&mut self) -> impl Iterator<Item = &mut RoutedLinears> {
        self.blocks.iter_mut().flat_map(|block| {
            let Block { self_attention, cross_attention, feed_forward } = block;
            let SelfAttention { qkv, o, .. } = self_attention;
            let cross = cross_attention.iter_mut().flat_map(|CrossAttention { q, o, .. }| [q, o]);
            [qkv, o].into_iter().chain(cross).chain([&mut feed_forward.wi, &mut feed_forward.wo])
        })
    }
}

impl Encoder {
    /// The linear layers that can carry experts, those that share an input together.
    pub fn linears(&mut self) -> impl Iterator<Item = &mut RoutedLinears> {
        self.stack.linears().chain([&mut self.cross_kv])
    }

    /// Appends the encoder, and the keys and values that the decoder's cross-attention takes from its output.
    ///
    /// Reads `workspace.ids` (1, tokens); writes `workspace.encoded` and `workspace.cross`.
    pub fn record(
        &self,
        recording: &mut Recording,
        config: &Config,
        workspace: &EncoderWorkspace,
        routes: &mut Routes,
    ) {
        let EncoderWorkspace { activations, ids, encoded, cross } = *workspace;
        let Activations { control, x, qkv, attended, .. } = activations;
        let (heads, epsilon) = (config.num_heads, config.layer_norm_epsilon);
        let inner = attended.cols;
        let columns = |column| Columns { tensor: qkv, column };
        embed::record(recording, control, ids, &self.embedding, x);
        for (index, block) in self.stack.blocks.iter().enumerate() {
            let SelfAttention { norm, qkv: qkv_linears, o } = &block.self_attention;
            let u = Input::Norm { x, weight: *norm, epsilon };
            qkv_linears.record(recording, u, Output::Store, qkv, routes);
            let (q, k, v) = (columns(0), columns(inner), columns(2 * inner));
            attention::record(recording, control, q, k, v, self.stack.position_bias, heads, attended);
            o.record(recording, Input::Plain(attended), Output::Add, x, routes);
            block.feed_forward.record(recording, config, &activations, routes);
            recording.mark(format!("encoder.block.{index}.output"), x);
        }
        rms_norm::record(recording, control, x, self.stack.final_norm, epsilon, encoded);
        recording.mark("encoder.final", encoded);
        // Routed once for every encoder token and decoder block, then kept for all steps.
        self.cross_kv.record(recording, Input::Plain(encoded), Output::Store, cross, routes);
    }
}

impl Decoder {
    /// The linear layers that can carry experts, those that share an input together.
    pub fn linears(&mut self) -> impl Iterator<Item = &mut RoutedLinears> {
        self.stack.linears()
    }

    /// Appends one step: from the token in the workspace's control words to the next, which takes its place. Running it
    /// again goes on by one more token.
    pub fn record_step(
        &self,
        recording: &mut Recording,
        config: &Config,
        workspace: &DecoderWorkspace,
        routes: &mut Routes,
        rules: &Sampling,
    ) {
        let DecoderWorkspace { activations, cross, ref past, last, logits, ends, seen, produced } =
            *workspace;
        let Activations { control, x, qkv, attended, .. } = activations;
        let (heads, epsilon) = (config.num_heads, config.layer_norm_epsilon);
        let inner = attended.cols;
        embed::record(recording, control, activations.decoder_token(), &self.embedding, x);
        for (index, (block, past)) in self.stack.blocks.iter().zip(past).enumerate() {
            let SelfAttention { norm, qkv: qkv_linears, o } = &block.self_attention;
            let u = Input::Norm { x, weight: *norm, epsilon };
            qkv_linears.record(recording, u, Output::Store, qkv, routes);
            let bias = self.stack.position_bias;
            attention_step::record(recording, control, qkv, bias, heads, *past, attended);
            o.record(recording, Input::Plain(attended), Output::Add, x, routes);
            if let Some(CrossAttention { norm, q: q_linear, o }) = &block.cross_attention {
                let u = Input::Norm { x, weight: *norm, epsilon };
                let q = Tensor { cols: inner, ..qkv };
                q_linear.record(recording, u, Output::Store, q, routes);
                let q = Columns { tensor: q, column: 0 };
                let [k, v] = [2 * index, 2 * index + 1].map(|n| Columns { tensor: cross, column: n * inner });
                let no_bias = bias.slice_rows(0, 0);
                attention::record(recording, control, q, k, v, no_bias, heads, attended);
                o.record(recording, Input::Plain(attended), Output::Add, x, routes);
            }
            block.feed_forward.record(recording, config, &activations, routes);
            recording.mark(format!("decoder.block.{index}.output"), x);
        }
        rms_norm::record(recording, control, x, self.stack.final_norm, epsilon, last);
        recording.mark("decoder.final", last);
        let scale = if config.scale_decoder_outputs { (config.d_model as f32).powf(-0.5) } else { 1.0 };
        let u = Input::Plain(last);
        linear::record(recording, control, u, &self.head, scale, None, Output::Store, logits);
        recording.mark("logits", logits);
        next_token::record(recording, control, logits, ends, routes.flags.tensor, seen, produced, rules);
    }
}

impl FeedForwardLayer {
    /// `x += wo(act(wi u))`, `u = norm(x)`.
    fn record(
        &self,
        recording: &mut Recording,
        config: &Config,
        activations: &Activations,
        routes: &mut Routes,
    ) {
        let Activations { x, hidden, .. } = *activations;
        let u = Input::Norm { x, weight: self.norm, epsilon: config.layer_norm_epsilon };
        self.wi.record(recording, u, Output::Store, hidden, routes);
        let activated = match config.feed_forward {
            FeedForward::Relu => Input::Relu(hidden),
            FeedForward::GatedGelu => Input::GatedGelu(hidden),
        };
        self.wo.record(recording, activated, Output::Add, x, routes);
    }
}

/// Takes weights out of a checkpoint, one by one, so that none is in memory twice for long.
struct Loader<'a> {
    device: &'a mut Device,
    tensors: BTreeMap<String, Cow<'a, Matrix>>,
    config: &'a Config,
}

impl<'a> Loader<'a> {
    fn new(device: &'a mut Device, config: &'a Config, checkpoint: Cow<'a, Checkpoint>) -> Self {
        let tensors = match checkpoint {
            Cow::Owned(checkpoint) => {
                checkpoint.tensors.into_iter().map(|(name, matrix)| (name, Cow::Owned(matrix))).collect()
            }
            Cow::Borrowed(checkpoint) => checkpoint
                .tensors
                .iter()
                .map(|(name, matrix)| (name.clone(), Cow::Borrowed(matrix)))
                .collect(),
        };
        Loader { device, tensors, config }
    }

    fn take(&mut self, name: &str) -> Result<Cow<'a, Matrix>> {
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

    /// Layers that share an input.
    fn linears(&mut self, modules: Vec<String>) -> Result<RoutedLinears> {
        let matrices: Vec<Cow<Matrix>> =
            modules.iter().map(|module| self.take(&format!("{module}.weight"))).collect::<Result<_>>()?;
        let matrices: Vec<&Matrix> = matrices.iter().map(Cow::as_ref).collect();
        Ok(RoutedLinears { weight: Weight::upload_joined(self.device, &matrices), modules, router: None })
    }

    /// The layers `names` of a block's part.
    fn linears_of(&mut self, part: &str, names: &[&str]) -> Result<RoutedLinears> {
        self.linears(names.iter().map(|name| format!("{part}.{name}")).collect())
    }

    fn block(&mut self, block: &str, is_decoder: bool) -> Result<Block> {
        let part = format!("{block}.layer.0.SelfAttention");
        let self_attention = SelfAttention {
            norm: self.norm(format!("{block}.layer.0.layer_norm.weight"))?,
            qkv: self.linears_of(&part, &["q", "k", "v"])?,
            o: self.linears_of(&part, &["o"])?,
        };
        let part = format!("{block}.layer.1.EncDecAttention");
        let cross_attention = match is_decoder {
            true => Some(CrossAttention {
                norm: self.norm(format!("{block}.layer.1.layer_norm.weight"))?,
                q: self.linears_of(&part, &["q"])?,
                o: self.linears_of(&part, &["o"])?,
            }),
            false => None,
        };
        let layer = format!("{block}.layer.{}", 1 + is_decoder as usize);
        let part = format!("{layer}.DenseReluDense");
        let feed_forward = FeedForwardLayer {
            norm: self.norm(format!("{layer}.layer_norm.weight"))?,
            wi: self.linears_of(&part, self.config.feed_forward.inputs())?,
            wo: self.linears_of(&part, &["wo"])?,
        };
        Ok(Block { self_attention, cross_attention, feed_forward })
    }

    fn embedding(&mut self) -> Result<Weight> {
        let shared = self.take("shared.weight")?;
        Ok(Weight::upload(self.device, &shared))
    }

    fn encoder(&mut self, embedding: Weight) -> Result<Encoder> {
        let stack = self.stack("encoder", self.config.num_layers)?;
        let modules = (0..self.config.num_decoder_layers).flat_map(|block| {
            ["k", "v"].map(|name| format!("decoder.block.{block}.layer.1.EncDecAttention.{name}"))
        });
        let cross_kv = self.linears(modules.collect())?;
        Ok(Encoder { embedding, stack, cross_kv })
    }

    fn decoder(&mut self, embedding: Weight) -> Result<Decoder> {
        let head = match self.tensors.remove("lm_head.weight") {
            Some(head) => Weight::upload(self.device, &head),
            None => embedding,
        };
        let stack = self.stack("decoder", self.config.num_decoder_layers)?;
        Ok(Decoder { embedding, stack, head })
    }

    fn stack(&mut self, name: &str, block_count: usize) -> Result<Stack> {
        let table = format!("{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
        let table = self.take(&table)?.to_f32();
        let bias = bias_by_distance(&table, self.config, name == "encoder");
        let reach = reach(self.config) as usize;
        let position_bias = self.device.upload(2 * reach + 1, self.config.num_heads, DType::F32, &bias);
        let blocks = (0..block_count)
            .map(|index| self.block(&format!("{name}.block.{index}"), name == "decoder"))
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
