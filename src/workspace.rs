//! Every activation of one generation and its key-value caches, allocated before the first token.

use crate::config::Config;
use crate::device::Device;
use crate::tensor::{BufferId, DType, Tensor};

/// Keys and values of one decoder block.
#[derive(Debug, Clone, Copy)]
pub struct KvCache {
    /// (positions, inner)
    pub k: Tensor,
    /// (positions, inner)
    pub v: Tensor,
}

/// The tensors that recordings work in. `tokens` is the number of input tokens for the encoder and 1 for a decoder
/// step, which reuses the encoder's memory.
pub struct Workspace {
    /// (1, tokens) of `u32`: the tokens to embed
    pub ids: Tensor,
    /// (1, 1) of `u32`: the position that the decoder's token has
    pub position: Tensor,
    /// (1, 1) of `u32`: always 0, the position of the encoder's first token
    pub origin: Tensor,
    /// (tokens, d_model): the residual stream
    pub x: Tensor,
    /// (tokens, d_model): the normalised input of a layer
    pub u: Tensor,
    /// (tokens, inner)
    pub q: Tensor,
    /// (tokens, inner)
    pub k: Tensor,
    /// (tokens, inner)
    pub v: Tensor,
    /// (tokens, inner): what attention returns
    pub attended: Tensor,
    /// (tokens, d_ff)
    pub hidden: Tensor,
    /// (tokens, d_ff): the second factor of the gated form
    pub gated: Tensor,
    /// (input tokens, d_model): the encoder's final output
    pub encoded: Tensor,
    /// For each decoder block, (input tokens, inner)
    pub cross: Vec<KvCache>,
    /// For each decoder block, (new tokens, inner)
    pub past: Vec<KvCache>,
    /// (1, vocabulary)
    pub logits: Tensor,
    /// (1, 2) of `u32`: the most likely token, and whether the logits are finite
    pub result: Tensor,
}

impl Workspace {
    /// Memory for `input_tokens` tokens in and `new_tokens` out, in the shape of the encoder.
    pub fn alloc(device: &mut Device, config: &Config, input_tokens: usize, new_tokens: usize) -> Workspace {
        let inner = config.num_heads * config.d_kv;
        let mut floats = |rows, cols| device.alloc(rows, cols, DType::F32);
        let mut caches = |positions| {
            let cache = |_| KvCache { k: floats(positions, inner), v: floats(positions, inner) };
            (0..config.num_decoder_layers).map(cache).collect()
        };
        let (cross, past) = (caches(input_tokens), caches(new_tokens));
        Workspace {
            x: floats(input_tokens, config.d_model),
            u: floats(input_tokens, config.d_model),
            q: floats(input_tokens, inner),
            k: floats(input_tokens, inner),
            v: floats(input_tokens, inner),
            attended: floats(input_tokens, inner),
            hidden: floats(input_tokens, config.d_ff),
            gated: floats(input_tokens, config.d_ff),
            encoded: floats(input_tokens, config.d_model),
            cross,
            past,
            logits: floats(1, config.vocab_size),
            ids: device.alloc(1, input_tokens, DType::U32),
            position: device.alloc(1, 1, DType::U32),
            origin: device.alloc(1, 1, DType::U32),
            result: device.alloc(1, 2, DType::U32),
        }
    }

    /// The same memory in the shape of one decoder step: one token.
    pub fn for_one_token(&self) -> Workspace {
        let row = |tensor: &Tensor| tensor.slice_rows(0, 1);
        Workspace {
            ids: Tensor { cols: 1, ..self.ids },
            x: row(&self.x),
            u: row(&self.u),
            q: row(&self.q),
            k: row(&self.k),
            v: row(&self.v),
            attended: row(&self.attended),
            hidden: row(&self.hidden),
            gated: row(&self.gated),
            cross: self.cross.clone(),
            past: self.past.clone(),
            ..*self
        }
    }

    /// The device memory that this workspace occupies.
    pub fn buffers(&self) -> impl Iterator<Item = BufferId> {
        let caches = self.cross.iter().chain(&self.past).flat_map(|cache| [cache.k, cache.v]);
        [
            self.ids,
            self.position,
            self.origin,
            self.x,
            self.u,
            self.q,
            self.k,
            self.v,
            self.attended,
            self.hidden,
            self.gated,
            self.encoded,
            self.logits,
            self.result,
        ]
        .into_iter()
        .chain(caches)
        .map(|tensor| tensor.buffer)
    }
}
