"""The short name by which gander knows a base, quantised or not: `Checkpoint::fingerprint` in src/formats/fingerprint.rs says what is hashed."""
import hashlib
import struct

from torch import nn


def fingerprint(model: nn.Module, own_head: bool) -> str:
    """`own_head`: whether the checkpoint has an lm_head.weight of its own."""
    config = model.config
    digest = hashlib.sha256(b"gander base 1\n")
    shape = (
        config.d_model, config.d_kv, config.d_ff, config.num_heads, config.num_layers, config.num_decoder_layers, config.vocab_size,
        config.relative_attention_num_buckets, config.relative_attention_max_distance, int(config.is_gated_act), int(own_head))
    digest.update(struct.pack("<11Q", *shape))
    norms = {name: weight for name, weight in model.named_parameters() if name.endswith("layer_norm.weight")}
    for name in sorted(norms):
        digest.update(name.encode() + b"\n")
        digest.update(norms[name].detach().float().cpu().numpy().astype("<f4").tobytes())
    return f"sha256:{digest.hexdigest()}"
