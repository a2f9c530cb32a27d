//! The shape of a T5: what `config.json`, or the metadata of a GGUF file, says of it.

/// The shape of a T5 v1.0, v1.1 or mT5, under the field names of its `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of one attention head. Heads × `d_kv`, the inner size, may differ from `d_model`.
    pub d_kv: usize,
    /// Width of the feed-forward layer.
    pub d_ff: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Encoder blocks.
    pub num_layers: usize,
    /// Decoder blocks.
    pub num_decoder_layers: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Buckets of the relative position bias.
    pub relative_attention_num_buckets: usize,
    /// Distance from which all positions share the last bucket.
    pub relative_attention_max_distance: usize,
    /// Epsilon of the RMS norms.
    pub layer_norm_epsilon: f32,
    /// The feed-forward layer: one matrix and relu, or two and a gate.
    pub feed_forward: FeedForward,
    /// Whether the head is scaled by `d_model^-0.5` (v1.0, whose head is the embedding).
    pub scale_decoder_outputs: bool,
    /// First input of the decoder.
    pub decoder_start_token_id: u32,
    /// The tokens that end an answer.
    pub eos_token_ids: Vec<u32>,
    /// The token that fills batches; never produced by sampling rules of its own.
    pub pad_token_id: u32,
}

/// How a block's feed-forward layer computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedForward {
    /// `wo(relu(wi x))`: T5 v1.0.
    Relu,
    /// `wo(gelu(wi_0 x) · wi_1 x)` with the tanh approximation of gelu: v1.1, LM-adapt, flan, mT5.
    GatedGelu,
}
