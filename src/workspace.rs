//! Every activation of one generation and its key-value caches, allocated before the first token.

use crate::config::{Config, FeedForward};
use crate::device::Device;
use crate::recording::Control;
use crate::tensor::{BufferId, DType, Tensor};

/// The tensors that recordings work in. `tokens` is the number of input tokens for the encoder and 1 for a decoder
/// step, which reuses the encoder's memory.
pub struct Workspace {
    /// (1, [`Control::WORDS`]) of `u32`: what the steps tell one another
    pub control: Tensor,
    /// (1, tokens) of `u32`: the input
    pub ids: Tensor,
    /// (tokens, d_model): the residual stream
    pub x: Tensor,
    /// (tokens, 3 inner): query, key and value side by side
    pub qkv: Tensor,
    /// (tokens, inner): what attention returns
    pub attended: Tensor,
    /// (tokens, d_ff), or (tokens, 2 d_ff) of the gated form: what comes out of `wi`
    pub hidden: Tensor,
    /// (input tokens, d_model): the encoder's final output
    pub encoded: Tensor,
    /// (input tokens, blocks × 2 inner): for each decoder block, keys and values of the encoder's output
    pub cross: Tensor,
    /// For each decoder block, (new tokens, 2 inner): keys and values of the answer so far
    pub past: Vec<Tensor>,
    /// (1, d_model): the decoder's final output
    pub last: Tensor,
    /// (1, vocabulary)
    pub logits: Tensor,
    /// (1, n) of `u32`: the tokens that end an answer
    pub ends: Tensor,
    /// (1, vocabulary / 32) of `u32`: a bit for each token that the decoder was given
    pub seen: Tensor,
    /// (1, new tokens) of `u32`: the answer
    pub produced: Tensor,
}

impl Workspace {
    /// Memory for `input_tokens` tokens in and `new_tokens` out, in the shape of the encoder.
    pub fn alloc(device: &mut Device, config: &Config, input_tokens: usize, new_tokens: usize) -> Workspace {
        let inner = config.num_heads * config.d_kv;
        let width = match config.feed_forward {
            FeedForward::Relu => config.d_ff,
            FeedForward::GatedGelu => 2 * config.d_ff,
        };
        let mut floats = |rows, cols| device.alloc(rows, cols, DType::F32);
        Workspace {
            x: floats(input_tokens, config.d_model),
            qkv: floats(input_tokens, 3 * inner),
            attended: floats(input_tokens, inner),
            hidden: floats(input_tokens, width),
            encoded: floats(input_tokens, config.d_model),
            cross: floats(input_tokens, config.num_decoder_layers * 2 * inner),
            past: (0..config.num_decoder_layers).map(|_| floats(new_tokens, 2 * inner)).collect(),
            last: floats(1, config.d_model),
            logits: floats(1, config.vocab_size),
            control: device.alloc(1, Control::WORDS, DType::U32),
            ids: device.alloc(1, input_tokens, DType::U32),
            ends: device.upload(1, config.eos_token_ids.len(), DType::U32, &config.eos_token_ids),
            seen: device.alloc(1, config.vocab_size.div_ceil(32), DType::U32),
            produced: device.alloc(1, new_tokens, DType::U32),
        }
    }

    /// The same memory in the shape of one decoder step: one token.
    pub fn for_one_token(&self) -> Workspace {
        let row = |tensor: &Tensor| tensor.slice_rows(0, 1);
        Workspace {
            x: row(&self.x),
            qkv: row(&self.qkv),
            attended: row(&self.attended),
            hidden: row(&self.hidden),
            past: self.past.clone(),
            ..*self
        }
    }

    /// (1, 1) of `u32`: the decoder's input, among the control words.
    pub fn decoder_token(&self) -> Tensor {
        let offset = std::mem::offset_of!(Control, token);
        Tensor { offset, cols: 1, ..self.control }
    }

    /// The device memory that this workspace occupies.
    pub fn buffers(&self) -> impl Iterator<Item = BufferId> {
        [
            self.control,
            self.ids,
            self.x,
            self.qkv,
            self.attended,
            self.hidden,
            self.encoded,
            self.cross,
            self.last,
            self.logits,
            self.ends,
            self.seen,
            self.produced,
        ]
        .into_iter()
        .chain(self.past.iter().copied())
        .map(|tensor| tensor.buffer)
    }
}
