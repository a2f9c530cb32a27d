//! Which tensors a T5 of a given shape has, under their Hugging Face names, and how large each must be.

use crate::config::Config;

/// What a tensor is for, as far as its storage is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An RMS norm's weight, (d): always f32.
    Norm,
    /// The relative position bias, (buckets, heads): always f32.
    PositionBias,
    /// A linear layer, (d_out, d_in).
    Linear,
    /// The embedding or the head, (vocab_size, d_model).
    Embedding,
}

impl Role {
    /// Whether the tensor stays in f32 whatever the type of its file: small, and added or multiplied elementwise.
    pub fn stays_f32(self) -> bool {
        matches!(self, Role::Norm | Role::PositionBias)
    }
}

/// One tensor that a T5 has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// Its Hugging Face name, `.weight` included.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Rows; one for a vector.
    pub rows: usize,
    /// Columns; the length of a vector.
    pub cols: usize,
}

impl Weight {
    /// The shape as PyTorch has it: one number for a vector, two for a matrix.
    pub fn shape(&self) -> Vec<usize> {
        match self.role {
            Role::Norm => vec![self.cols],
            _ => vec![self.rows, self.cols],
        }
    }
}

/// The most blocks of an encoder or decoder that are believed; T5-11B has 24.
pub const MOST_BLOCKS: usize = 256;

/// The embedding.
pub const EMBEDDING: &str = "shared.weight";
/// The head, where it is a matrix of its own.
pub const HEAD: &str = "lm_head.weight";

/// Every tensor of the model, in the order of a forward pass; the head only where it is a matrix of its own.
pub fn weights(config: &Config, with_head: bool) -> Vec<Weight> {
    let mut weights = vec![embedding(config, EMBEDDING)];
    for stack in [Stack::Encoder, Stack::Decoder] {
        let stack_name = stack.name();
        for block in 0..stack.blocks(config) {
            for (layer, linears) in stack.layers(config).iter().enumerate() {
                let place = format!("{stack_name}.block.{block}.layer.{layer}");
                weights.push(norm(config, format!("{place}.layer_norm.weight")));
                for linear in linears {
                    let name = format!("{place}.{}.weight", linear.name);
                    weights.push(Weight { name, role: Role::Linear, rows: linear.d_out, cols: linear.d_in });
                }
                if block == 0 && layer == 0 {
                    weights.push(Weight {
                        name: format!("{place}.SelfAttention.relative_attention_bias.weight"),
                        role: Role::PositionBias,
                        rows: config.relative_attention_num_buckets,
                        cols: config.num_heads,
                    });
                }
            }
        }
        weights.push(norm(config, format!("{stack_name}.final_layer_norm.weight")));
    }
    if with_head {
        weights.push(embedding(config, HEAD));
    }
    weights
}

/// (d_out, d_in) of the linear layer `module` (`encoder.block.0.layer.0.SelfAttention.q`), if the model has it.
pub fn linear_shape(config: &Config, module: &str) -> Option<[usize; 2]> {
    let (stack, block, layer, name) = split(module)?;
    if block >= stack.blocks(config) {
        return None;
    }
    let layers = stack.layers(config);
    let linear = layers.get(layer)?.iter().find(|linear| linear.name == name)?;
    Some([linear.d_out, linear.d_in])
}

/// Whether `module` is the name of a linear layer that some T5 has: one that can carry experts.
pub fn is_linear(module: &str) -> bool {
    let Some((stack, block, layer, name)) = split(module) else { return false };
    if block >= MOST_BLOCKS {
        return false;
    }
    match (stack, layer, name.split_once('.')) {
        (_, 0, Some(("SelfAttention", part))) | (Stack::Decoder, 1, Some(("EncDecAttention", part))) => {
            matches!(part, "q" | "k" | "v" | "o")
        }
        (Stack::Encoder, 1, Some(("DenseReluDense", part)))
        | (Stack::Decoder, 2, Some(("DenseReluDense", part))) => {
            matches!(part, "wi" | "wi_0" | "wi_1" | "wo")
        }
        _ => false,
    }
}

/// Stack, block, layer, and what is within the layer.
fn split(module: &str) -> Option<(Stack, usize, usize, &str)> {
    let parts: Vec<&str> = module.splitn(6, '.').collect();
    let &[stack, "block", block, "layer", layer, name] = parts.as_slice() else { return None };
    let stack = match stack {
        "encoder" => Stack::Encoder,
        "decoder" => Stack::Decoder,
        _ => return None,
    };
    Some((stack, index(block)?, index(layer)?, name))
}

/// A block or layer number as PyTorch writes it: digits, no sign, no leading zero.
fn index(text: &str) -> Option<usize> {
    let number: usize = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn norm(config: &Config, name: String) -> Weight {
    Weight { name, role: Role::Norm, rows: 1, cols: config.d_model }
}

fn embedding(config: &Config, name: &str) -> Weight {
    Weight { name: name.to_string(), role: Role::Embedding, rows: config.vocab_size, cols: config.d_model }
}

#[derive(Clone, Copy)]
enum Stack {
    Encoder,
    Decoder,
}

struct Linear {
    name: String,
    d_out: usize,
    d_in: usize,
}

impl Stack {
    fn name(self) -> &'static str {
        match self {
            Stack::Encoder => "encoder",
            Stack::Decoder => "decoder",
        }
    }

    fn blocks(self, config: &Config) -> usize {
        match self {
            Stack::Encoder => config.num_layers,
            Stack::Decoder => config.num_decoder_layers,
        }
    }

    /// The linear layers of each of a block's layers, in order.
    fn layers(self, config: &Config) -> Vec<Vec<Linear>> {
        match self {
            Stack::Encoder => vec![attention(config, "SelfAttention"), feed_forward(config)],
            Stack::Decoder => vec![
                attention(config, "SelfAttention"),
                attention(config, "EncDecAttention"),
                feed_forward(config),
            ],
        }
    }
}

fn attention(config: &Config, kind: &str) -> Vec<Linear> {
    let (inner, d_model) = (config.inner_size(), config.d_model);
    [("q", inner, d_model), ("k", inner, d_model), ("v", inner, d_model), ("o", d_model, inner)]
        .map(|(name, d_out, d_in)| Linear { name: format!("{kind}.{name}"), d_out, d_in })
        .into()
}

fn feed_forward(config: &Config) -> Vec<Linear> {
    let inputs = config.feed_forward.inputs().iter().map(|name| (*name, config.d_ff, config.d_model));
    inputs
        .chain([("wo", config.d_model, config.d_ff)])
        .map(|(name, d_out, d_in)| Linear { name: format!("DenseReluDense.{name}"), d_out, d_in })
        .collect()
}
