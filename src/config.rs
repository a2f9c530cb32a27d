//! The shape of a T5: what `config.json`, or the metadata of a GGUF file, says of it.

use crate::error::{Error, ErrorCode, Result};
use crate::formats::json::{JsonObject, shown};
use crate::formats::layout::MOST_BLOCKS;

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

impl FeedForward {
    /// The matrices that read the layer's input: `wi`, or `wi_0` and `wi_1`.
    pub fn inputs(self) -> &'static [&'static str] {
        match self {
            FeedForward::Relu => &["wi"],
            FeedForward::GatedGelu => &["wi_0", "wi_1"],
        }
    }
}

/// What transformers takes where a `config.json` is silent (version 5.23; version 4 has the same).
struct Defaults {
    d_ff: u64,
    num_layers: u64,
    num_heads: u64,
    vocab_size: u64,
    feed_forward_proj: &'static str,
}

impl Defaults {
    const T5: Defaults =
        Defaults { d_ff: 2048, num_layers: 6, num_heads: 8, vocab_size: 32_128, feed_forward_proj: "relu" };
    const MT5: Defaults = Defaults {
        d_ff: 1024,
        num_layers: 8,
        num_heads: 6,
        vocab_size: 250_112,
        feed_forward_proj: "gated-gelu",
    };
    const D_MODEL: u64 = 512;
    const D_KV: u64 = 64;
    const RELATIVE_ATTENTION_NUM_BUCKETS: u64 = 32;
    const RELATIVE_ATTENTION_MAX_DISTANCE: u64 = 128;
    const LAYER_NORM_EPSILON: f64 = 1e-6;
    const PAD_TOKEN_ID: u32 = 0;
    const EOS_TOKEN_ID: u32 = 1;
}

impl Config {
    /// Reads a `config.json` as transformers 4 or 5 writes it. `file` is only for messages.
    ///
    /// The head is scaled if `scale_decoder_outputs` says so or, where that field is absent, if
    /// `tie_word_embeddings` is not false: transformers 5 turns the second into the first when it reads a
    /// file of version 4, and from then on writes `tie_word_embeddings: true` for every T5. An mT5 is never
    /// scaled by that rule: `MT5ForConditionalGeneration` has no scaling. Whether the head is a matrix of its own
    /// is for the checkpoint's tensors to say, not for this file.
    pub fn from_json(file: &str, bytes: &[u8]) -> Result<Config> {
        let json = JsonObject::parse(file, bytes)?;
        let model_type = json.text("model_type")?;
        if let Some(model) = model_type
            && !matches!(model, "t5" | "mt5")
        {
            return Err(json.error(
                ErrorCode::Unsupported,
                "model_type",
                format!("is {model:?}"),
                "\"t5\" or \"mt5\"",
            ));
        }

        let whole = |name: &str, default: u64| -> Result<usize> {
            let value = json.whole(name)?.unwrap_or(default);
            usize::try_from(value).map_err(|_| {
                json.error(
                    ErrorCode::InvalidFile,
                    name,
                    format!("is {value}"),
                    "a number that fits in memory",
                )
            })
        };
        let token = |name: &str| -> Result<Option<u32>> {
            let Some(value) = json.whole(name)? else { return Ok(None) };
            let value = u32::try_from(value)
                .map_err(|_| json.error(ErrorCode::InvalidFile, name, format!("is {value}"), "a token id"))?;
            Ok(Some(value))
        };

        let defaults = if model_type == Some("mt5") { Defaults::MT5 } else { Defaults::T5 };
        let num_layers = whole("num_layers", defaults.num_layers)?;
        let pad_token_id = token("pad_token_id")?.unwrap_or(Defaults::PAD_TOKEN_ID);
        let scale_decoder_outputs = match json.flag("scale_decoder_outputs")? {
            Some(scale) => scale,
            None => model_type != Some("mt5") && json.flag("tie_word_embeddings")?.unwrap_or(true),
        };
        let config = Config {
            d_model: whole("d_model", Defaults::D_MODEL)?,
            d_kv: whole("d_kv", Defaults::D_KV)?,
            d_ff: whole("d_ff", defaults.d_ff)?,
            num_heads: whole("num_heads", defaults.num_heads)?,
            num_layers,
            num_decoder_layers: whole("num_decoder_layers", num_layers as u64)?,
            vocab_size: whole("vocab_size", defaults.vocab_size)?,
            relative_attention_num_buckets: whole(
                "relative_attention_num_buckets",
                Defaults::RELATIVE_ATTENTION_NUM_BUCKETS,
            )?,
            relative_attention_max_distance: whole(
                "relative_attention_max_distance",
                Defaults::RELATIVE_ATTENTION_MAX_DISTANCE,
            )?,
            layer_norm_epsilon: json.number("layer_norm_epsilon")?.unwrap_or(Defaults::LAYER_NORM_EPSILON)
                as f32,
            feed_forward: feed_forward(&json, defaults.feed_forward_proj)?,
            scale_decoder_outputs,
            decoder_start_token_id: token("decoder_start_token_id")?.unwrap_or(pad_token_id),
            eos_token_ids: eos_token_ids(&json)?,
            pad_token_id,
        };
        config.validate().map_err(|error| error.inside(file))?;
        Ok(config)
    }

    /// Heads × `d_kv`: rows of q, k, v and columns of o.
    pub fn inner_size(&self) -> usize {
        self.num_heads * self.d_kv
    }

    /// Refuses what no T5 has: zeros, sizes whose products overflow or exhaust memory, ids outside the vocabulary.
    ///
    /// The limits lie well above T5-11B and mT5-XXL (`d_model` 4096, `d_ff` 65536, 128 heads, vocabulary 250112).
    pub fn validate(&self) -> Result<()> {
        let sizes = [
            ("d_model", self.d_model, 1, 1 << 14),
            ("d_kv", self.d_kv, 1, 1 << 12),
            ("d_ff", self.d_ff, 1, 1 << 18),
            ("num_heads", self.num_heads, 1, 1 << 10),
            ("num_layers", self.num_layers, 1, MOST_BLOCKS),
            ("num_decoder_layers", self.num_decoder_layers, 1, MOST_BLOCKS),
            ("vocab_size", self.vocab_size, 1, 1 << 21),
            // An encoder halves the buckets for the sign of the distance and keeps half of those for exact
            // distances; fewer than four leave it a logarithm of zero.
            ("relative_attention_num_buckets", self.relative_attention_num_buckets, 4, 1 << 12),
            ("relative_attention_max_distance", self.relative_attention_max_distance, 1, 1 << 24),
        ];
        for (name, value, least, most) in sizes {
            if value < least || value > most {
                return Err(invalid(name, value, format!("{least} to {most}")));
            }
        }
        if self.inner_size() > 1 << 18 {
            return Err(invalid("num_heads × d_kv", self.inner_size(), format!("at most {}", 1 << 18)));
        }
        // The decoder's exact buckets reach this far; beyond it distances are spaced by log(max_distance / exact).
        let exact = self.relative_attention_num_buckets / 2;
        if self.relative_attention_max_distance <= exact {
            return Err(invalid(
                "relative_attention_max_distance",
                self.relative_attention_max_distance,
                format!("more than half the buckets, {exact}"),
            ));
        }
        if !(self.layer_norm_epsilon > 0.0 && self.layer_norm_epsilon < 1.0) {
            return Err(invalid("layer_norm_epsilon", self.layer_norm_epsilon, "a number between 0 and 1"));
        }
        let tokens =
            [("pad_token_id", self.pad_token_id), ("decoder_start_token_id", self.decoder_start_token_id)];
        for (name, id) in tokens.into_iter().chain(self.eos_token_ids.iter().map(|&id| ("eos_token_id", id)))
        {
            if id as usize >= self.vocab_size {
                return Err(invalid(name, id, format!("less than vocab_size, {}", self.vocab_size)));
            }
        }
        Ok(())
    }
}

fn invalid(field: &str, found: impl std::fmt::Display, expected: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidFile, field, format!("is {found}"), expected)
}

/// `feed_forward_proj`, which transformers splits into `is_gated_act` and `dense_act_fn` unless the file has those too.
fn feed_forward(json: &JsonObject, default: &str) -> Result<FeedForward> {
    let projection = json.text("feed_forward_proj")?.unwrap_or(default);
    let (gated, activation) = match projection.strip_prefix("gated-") {
        // "For backwards compatibility", says transformers: plain gelu means the tanh approximation here.
        Some("gelu") => (true, "gelu_new"),
        Some(activation) => (true, activation),
        None => (false, projection),
    };
    let gated = json.flag("is_gated_act")?.unwrap_or(gated);
    let activation = json.text("dense_act_fn")?.unwrap_or(activation);
    match (gated, activation) {
        (false, "relu") => Ok(FeedForward::Relu),
        (true, "gelu_new" | "gelu_pytorch_tanh") => Ok(FeedForward::GatedGelu),
        _ => Err(json.error(
            ErrorCode::Unsupported,
            "feed_forward_proj",
            format!(
                "is {projection:?}: activation {activation:?}, {}",
                if gated { "gated" } else { "not gated" }
            ),
            "\"relu\" or \"gated-gelu\"",
        )),
    }
}

/// One id, a list of ids, or `null` for a model that never ends by itself. Absent means transformers' default.
fn eos_token_ids(json: &JsonObject) -> Result<Vec<u32>> {
    const NAME: &str = "eos_token_id";
    if !json.has(NAME) {
        return Ok(vec![Defaults::EOS_TOKEN_ID]);
    }
    let Some(value) = json.value(NAME) else { return Ok(Vec::new()) };
    let one = std::slice::from_ref(value);
    let ids = value.as_array().map_or(one, Vec::as_slice);
    ids.iter()
        .map(|id| {
            id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
                json.error(
                    ErrorCode::InvalidFile,
                    NAME,
                    format!("holds {}", shown(id)),
                    "a token id or a list of them",
                )
            })
        })
        .collect()
}
