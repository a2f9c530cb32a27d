//! A short name for a base model that survives quantisation.

use sha2::{Digest, Sha256};

use super::Checkpoint;
use super::layout::HEAD;
use crate::config::{Config, FeedForward};
use crate::experts::hex;
use crate::quant::Matrix;

impl Checkpoint {
    /// The checkpoint's [`fingerprint`].
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.config, self.tensors.contains_key(HEAD), &self.tensors)
    }
}

/// `sha256:` and 64 hexadecimal digits: the same for a Hugging Face folder and every GGUF made from it.
///
/// Hashed are, in this order, the text `gander base 1\n`; the shape as eleven u64: `d_model`, `d_kv`, `d_ff`,
/// `num_heads`, `num_layers`, `num_decoder_layers`, `vocab_size`, `relative_attention_num_buckets`,
/// `relative_attention_max_distance`, 0 for relu or 1 for gated gelu, 1 if there is an `lm_head.weight`
/// or 0; and for each RMS norm among `tensors`, in the byte order of their names, the name, a line feed, and the weights as
/// f32. All numbers are little-endian.
///
/// Norms, because every quantisation leaves them in f32, and because training moves them: flan-t5-small and
/// t5-small-lm-adapt have the same shape and different fingerprints. It tells bases apart; it does not protect
/// the matrices against changes, and is no signature.
pub fn fingerprint<'a>(
    config: &Config,
    has_head: bool,
    tensors: impl IntoIterator<Item = (&'a String, &'a Matrix)>,
) -> String {
    let mut hash = Sha256::new();
    hash.update(b"gander base 1\n");
    let shape = [
        config.d_model,
        config.d_kv,
        config.d_ff,
        config.num_heads,
        config.num_layers,
        config.num_decoder_layers,
        config.vocab_size,
        config.relative_attention_num_buckets,
        config.relative_attention_max_distance,
        match config.feed_forward {
            FeedForward::Relu => 0,
            FeedForward::GatedGelu => 1,
        },
        usize::from(has_head),
    ];
    for number in shape {
        hash.update((number as u64).to_le_bytes());
    }
    for (name, weights) in tensors.into_iter().filter(|(name, _)| name.ends_with("layer_norm.weight")) {
        hash.update(name.as_bytes());
        hash.update(b"\n");
        for weight in Matrix::to_f32(weights) {
            hash.update(weight.to_le_bytes());
        }
    }
    format!("sha256:{}", hex(&hash.finalize()))
}
