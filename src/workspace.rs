//! Every activation of one generation and its key-value caches, allocated before the first token.

use crate::config::{Config, FeedForward};
use crate::device::Device;
use crate::recording::Control;
use crate::tensor::{BufferId, DType, Tensor};

/// The activations of a stack of blocks.
#[derive(Debug, Clone, Copy)]
pub struct Activations {
    /// (1, [`Control::WORDS`]) of `u32`: what the steps tell one another
    pub control: Tensor,
    /// (tokens, d_model): the residual stream
    pub x: Tensor,
    /// (tokens, 3 inner): query, key and value side by side
    pub qkv: Tensor,
    /// (tokens, inner): what attention returns
    pub attended: Tensor,
    /// (tokens, d_ff), or (tokens, 2 d_ff) of the gated form: what comes out of `wi`
    pub hidden: Tensor,
}

/// What the encoder works in.
pub struct EncoderWorkspace {
    /// Of all input tokens
    pub activations: Activations,
    /// (1, tokens) of `u32`: the input
    pub ids: Tensor,
    /// (tokens, d_model): the encoder's final output
    pub encoded: Tensor,
    /// (tokens, blocks × 2 inner): for each decoder block, keys and values of the encoder's output; where blocks are in groups,
    /// the matrix of one group behind that of another
    pub cross: Tensor,
}

/// What the decoder works in.
pub struct DecoderWorkspace {
    /// Of one token
    pub activations: Activations,
    /// (input tokens, blocks × 2 inner): that of the encoder, or a copy of it
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

impl Activations {
    fn alloc(device: &mut Device, config: &Config, tokens: usize) -> Activations {
        let inner = config.inner_size();
        let width = match config.feed_forward {
            FeedForward::Relu => config.d_ff,
            FeedForward::GatedGelu => 2 * config.d_ff,
        };
        let mut floats = |cols| device.alloc(tokens, cols, DType::F32);
        Activations {
            x: floats(config.d_model),
            qkv: floats(3 * inner),
            attended: floats(inner),
            hidden: floats(width),
            control: device.alloc(1, Control::WORDS, DType::U32),
        }
    }

    /// (1, 1) of `u32`: the decoder's input, among the control words.
    pub fn decoder_token(&self) -> Tensor {
        let offset = std::mem::offset_of!(Control, token);
        Tensor { offset, cols: 1, ..self.control }
    }

    fn tensors(&self) -> [Tensor; 5] {
        [self.control, self.x, self.qkv, self.attended, self.hidden]
    }
}

impl EncoderWorkspace {
    /// Memory for an input.
    pub fn alloc(device: &mut Device, config: &Config, input_ids: &[u32]) -> EncoderWorkspace {
        let tokens = input_ids.len();
        EncoderWorkspace {
            activations: Activations::alloc(device, config, tokens),
            ids: device.upload(1, tokens, DType::U32, input_ids),
            encoded: device.alloc(tokens, config.d_model, DType::F32),
            cross: device.alloc(tokens, config.num_decoder_layers * 2 * config.inner_size(), DType::F32),
        }
    }

    /// The device memory that this workspace occupies.
    pub fn buffers(&self) -> impl Iterator<Item = BufferId> {
        let own = [self.ids, self.encoded, self.cross];
        self.activations.tensors().into_iter().chain(own).map(|tensor| tensor.buffer)
    }
}

impl DecoderWorkspace {
    /// Memory for an answer of up to `new_tokens` tokens, over the keys and values `cross`.
    pub fn alloc(device: &mut Device, config: &Config, cross: Tensor, new_tokens: usize) -> DecoderWorkspace {
        let start = config.decoder_start_token_id as usize;
        let mut seen = vec![0u32; config.vocab_size.div_ceil(32)];
        seen[start / 32] |= 1 << (start % 32);
        DecoderWorkspace {
            activations: Activations::alloc(device, config, 1),
            cross,
            past: (0..config.num_decoder_layers)
                .map(|_| device.alloc(new_tokens, 2 * config.inner_size(), DType::F32))
                .collect(),
            last: device.alloc(1, config.d_model, DType::F32),
            logits: device.alloc(1, config.vocab_size, DType::F32),
            ends: device.upload(1, config.eos_token_ids.len(), DType::U32, &config.eos_token_ids),
            seen: device.upload(1, seen.len(), DType::U32, &seen),
            produced: device.alloc(1, new_tokens, DType::U32),
        }
    }

    /// The device memory that this workspace alone occupies: not that of `cross`.
    pub fn buffers(&self) -> impl Iterator<Item = BufferId> {
        let own = [self.last, self.logits, self.ends, self.seen, self.produced];
        let activations = self.activations.tensors().into_iter();
        activations.chain(own).chain(self.past.iter().copied()).map(|tensor| tensor.buffer)
    }
}
