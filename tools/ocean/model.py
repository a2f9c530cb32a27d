"""The small T5, and the same arithmetic in an order that a CPU likes better."""
import json
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn
from transformers import AttentionInterface, T5Config, T5ForConditionalGeneration
from transformers.masking_utils import AttentionMaskInterface, eager_mask
from transformers.models.t5.modeling_t5 import T5LayerNorm


def config(vocabulary: int) -> T5Config:
    """T5 v1.1 (gated GELU, untied head) in small; every dimension is a multiple of 32, the block of Q8_0."""
    return T5Config(
        vocab_size=vocabulary, d_model=256, d_kv=32, num_heads=8, d_ff=512, num_layers=3, num_decoder_layers=3, feed_forward_proj="gated-gelu",
        tie_word_embeddings=False, dropout_rate=0.0, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0)


def new(vocabulary: int, seed: int) -> T5ForConditionalGeneration:
    """An untrained model. transformers 5 ties the head to the embedding whatever the configuration says: untied here, and started as a small copy of it."""
    torch.manual_seed(seed)
    model = quick(T5ForConditionalGeneration(config(vocabulary)))
    nn.init.normal_(model.shared.weight, std=0.5)
    model.lm_head.weight = nn.Parameter(model.shared.weight.detach() * (2 * model.config.d_model**-0.5))
    look_at_neighbours(model)
    return model


def look_at_neighbours(model: T5ForConditionalGeneration, strength: float = 5.0) -> None:
    """Start the relative-position tables so that most heads look a few tokens aside; the others are free.

    Copying needs "what follows what I just wrote", and a table that starts near zero takes a thousand steps to say "the one before". Among repeated digits the
    last two or three tokens do not say where one is: five or six do.
    """
    # Buckets are distances; the encoder's second half (from 16) looks ahead.
    for stack, buckets in ((model.encoder, (1, 2, 3, 4, 5, 17)), (model.decoder, (1, 2, 3, 4, 5, 6))):
        table = stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        with torch.no_grad():
            table.zero_()
            for head, bucket in enumerate(buckets):
                table[bucket, head] = strength


def load(folder: Path) -> T5ForConditionalGeneration:
    transformers.logging.set_verbosity_error()  # it warns that the head is not tied; so it should be
    transformers.logging.disable_progress_bar()
    return quick(T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32))


def untie(folder: Path) -> None:
    """Let a saved configuration say that the head has weights of its own: transformers 5 writes that it has not, whatever the weights say."""
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"tie_word_embeddings": False}, indent=2) + "\n")


def quick(model: T5ForConditionalGeneration) -> T5ForConditionalGeneration:
    """Swap in fused norms and activations and a plain attention: the same function, about twice as fast in bfloat16 on a CPU."""
    AttentionInterface.register("plain", _attention)
    AttentionMaskInterface.register("plain", eager_mask)
    model.set_attn_implementation("plain")
    T5LayerNorm.forward = _norm
    for stack in (model.encoder, model.decoder):
        for block in stack.block:
            block.layer[-1].DenseReluDense.act = nn.GELU(approximate="tanh")
    return model


def _attention(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float = 0.0, scaling: float = 1.0,
               position_bias: Tensor | None = None, **_: object) -> tuple[Tensor, Tensor]:
    """query (batch, heads, m, d_kv), key and value (batch, heads, n, d_kv) -> (batch, m, heads, d_kv). T5 does not scale."""
    scores = query @ key.transpose(2, 3)
    bias = position_bias
    if mask is not None:
        mask = mask[..., : key.shape[-2]]
        bias = mask if bias is None else bias + mask
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    weights = torch.softmax(scores, -1)
    if getattr(module, "keep_weights", False):
        module.kept = weights
    return (weights @ value).transpose(1, 2), weights


def _norm(self: T5LayerNorm, x: Tensor) -> Tensor:
    y = F.rms_norm(x, (x.shape[-1],), self.weight, self.variance_epsilon)
    return y.to(torch.bfloat16) if torch.is_autocast_enabled("cpu") else y


def linears(model: nn.Module) -> dict[str, nn.Linear]:
    """Every linear layer that may carry experts, by its Hugging Face name: all of the blocks, not the head."""
    return {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear) and ".block." in name}
