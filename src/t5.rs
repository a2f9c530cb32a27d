//! T5, once: v1.0, v1.1 and mT5, with or without experts, as code that appends to a recording.

mod assembly;
mod placed;

pub use assembly::Assembly;

use std::borrow::Cow;
use std::ops::Range;

use placed::PlacedMatrix;

use crate::config::{Config, FeedForward};
use crate::device::Devices;
use crate::error::Result;
use crate::formats::Checkpoint;
use crate::kernels::attention::{self, Columns};
use crate::kernels::input::Input;
use crate::kernels::linear::{self, Output};
use crate::kernels::weight::Weight;
use crate::kernels::{attention_step, embed, next_token, rms_norm};
use crate::recording::Recording;
use crate::router::{RoutedLinears, Routes};
use crate::sampling::Sampling;
use crate::tensor::Tensor;
use crate::workspace::{Activations, DecoderWorkspace, EncoderWorkspace};

/// A T5 in the memory of one device, or of two.
pub struct T5 {
    /// The shape.
    pub config: Config,
    /// From the input's tokens to the keys and values of cross-attention.
    pub encoder: Encoder,
    /// From one token to the next.
    pub decoder: Decoder,
    /// Where each matrix is.
    matrices: Vec<PlacedMatrix>,
}

/// What reads the input, once.
pub struct Encoder {
    /// (vocabulary, d_model)
    embedding: Weight,
    stack: Stack,
    /// The keys and values that every decoder block takes from the encoder's output: k and v of block 0, of block 1, …
    cross_kv: RoutedLinears,
    /// The same in as many groups of blocks as pages of experts have buffers; what is recorded.
    cross_groups: Vec<RoutedLinears>,
}

/// What writes the answer, token by token.
pub struct Decoder {
    /// (vocabulary, d_model), that of the encoder.
    embedding: Weight,
    stack: Stack,
    /// (vocabulary, d_model): the embedding again where the checkpoint has no head of its own.
    head: Weight,
    /// In how many groups of blocks the encoder leaves keys and values.
    cross_groups: usize,
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
    ///
    /// # Errors
    /// Those of [`Assembly::expect`] and [`Assembly::finish`].
    pub fn upload(devices: &mut Devices, checkpoint: Cow<Checkpoint>) -> Result<T5> {
        let mut assembly = Assembly::new(&checkpoint.config, devices.decoder.is_some());
        let formats = checkpoint.tensors.iter();
        assembly.expect(devices, formats.map(|(name, matrix)| (name.as_str(), matrix.values.format())))?;
        match checkpoint {
            Cow::Owned(checkpoint) => {
                for (name, matrix) in checkpoint.tensors {
                    assembly.write_rows(devices, &name, 0, &matrix);
                }
            }
            Cow::Borrowed(checkpoint) => {
                for (name, matrix) in &checkpoint.tensors {
                    assembly.write_rows(devices, name, 0, matrix);
                }
            }
        }
        assembly.finish(devices)
    }

    /// Computes keys and values of cross-attention in so many groups of decoder blocks. No layer may have a router.
    pub fn group_cross(&mut self, groups: usize) {
        self.encoder.group_cross(groups);
        self.decoder.cross_groups = self.encoder.cross_groups.len();
    }
}

/// The decoder blocks of each group, ascending: at least one in each.
fn cross_groups(blocks: usize, groups: usize) -> impl Iterator<Item = Range<usize>> {
    let groups = groups.clamp(1, blocks.max(1));
    (0..groups).map(move |group| {
        let first = |group: usize| (group * blocks).div_ceil(groups);
        first(group)..first(group + 1)
    })
}

/// The keys and values (tokens, 2 inner for each block) of a group's blocks, among those of all, group behind group.
fn cross_of(cross: Tensor, inner: usize, blocks: &Range<usize>) -> Tensor {
    let first = cross.rows * blocks.start * 2 * inner;
    Tensor { offset: cross.offset + first * cross.dtype.bytes(), cols: blocks.len() * 2 * inner, ..cross }
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
        self.stack.linears().chain(&mut self.cross_groups)
    }

    /// Computes the keys and values of cross-attention in so many groups of decoder blocks, each of which has its experts' pages in a
    /// buffer of its own ([`group_of_block`](crate::adapter_pool::group_of_block)). Routers go.
    fn group_cross(&mut self, groups: usize) {
        let blocks = self.cross_kv.modules.len() / 2;
        let counts = cross_groups(blocks, groups).map(|blocks| 2 * blocks.len());
        self.cross_groups = self.cross_kv.split(counts);
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
        let (blocks, groups) = (self.cross_kv.modules.len() / 2, self.cross_groups.len());
        for (linears, blocks) in self.cross_groups.iter().zip(cross_groups(blocks, groups)) {
            let y = cross_of(cross, inner, &blocks);
            linears.record(recording, Input::Plain(encoded), Output::Store, y, routes);
        }
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
                let group = cross_groups(self.stack.blocks.len(), self.cross_groups)
                    .find(|blocks| blocks.contains(&index))
                    .expect("every block is in a group");
                let tensor = cross_of(cross, inner, &group);
                let [k, v] =
                    [0, 1].map(|n| Columns { tensor, column: (2 * (index - group.start) + n) * inner });
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

    #[test]
    fn every_block_is_in_one_group() {
        for (blocks, groups, expected) in [(8, 1, 1), (8, 3, 3), (8, 8, 8), (2, 5, 2), (1, 1, 1)] {
            let found: Vec<_> = cross_groups(blocks, groups).collect();
            assert_eq!(found.len(), expected);
            assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), (0..blocks).collect::<Vec<_>>());
        }
    }

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
