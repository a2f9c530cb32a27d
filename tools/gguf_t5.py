"""T5 as a GGUF file in llama.cpp's naming, both ways, with the `gguf` package."""

from __future__ import annotations

import re
from pathlib import Path

import gguf
import numpy as np
import torch
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration

SELF = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_o", "relative_attention_bias": "attn_rel_b"}
CROSS = {"q": "cross_attn_q", "k": "cross_attn_k", "v": "cross_attn_v", "o": "cross_attn_o"}
FEED_FORWARD = {"wi": "ffn_up", "wi_0": "ffn_gate", "wi_1": "ffn_up", "wo": "ffn_down"}

BLOCK = re.compile(r"(?P<stack>encoder|decoder)\.block\.(?P<block>\d+)\.layer\.(?P<layer>\d)\.(?P<rest>.+)\.weight")


def gguf_name(name: str) -> str:
    """`encoder.block.0.layer.0.SelfAttention.q.weight` -> `enc.blk.0.attn_q.weight`"""
    match name:
        case "shared.weight":
            return "token_embd.weight"
        case "lm_head.weight":
            return "output.weight"
        case "encoder.final_layer_norm.weight":
            return "enc.output_norm.weight"
        case "decoder.final_layer_norm.weight":
            return "dec.output_norm.weight"
    parts = BLOCK.fullmatch(name)
    if parts is None:
        raise ValueError(f"{name} is not a tensor of T5")
    part, _, leaf = parts["rest"].rpartition(".")
    if leaf == "layer_norm":
        norms = ["attn_norm", "ffn_norm"] if parts["stack"] == "encoder" else ["attn_norm", "cross_attn_norm", "ffn_norm"]
        leaf = norms[int(parts["layer"])]
    else:
        leaf = {"SelfAttention": SELF, "EncDecAttention": CROSS, "DenseReluDense": FEED_FORWARD}[part][leaf]
    return f"{parts['stack'][:3]}.blk.{parts['block']}.{leaf}.weight"


def write_gguf(model: nn.Module, path: Path, kind: gguf.GGMLQuantizationType) -> None:
    """Matrices in `kind`; norms and position bias in F32, as llama.cpp's own quantiser leaves them."""
    config = model.config
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.T5])
    writer.add_name("golden")
    writer.add_context_length(512)
    writer.add_embedding_length(config.d_model)
    writer.add_feed_forward_length(config.d_ff)
    writer.add_block_count(config.num_layers)
    writer.add_decoder_block_count(config.num_decoder_layers)
    writer.add_head_count(config.num_heads)
    writer.add_key_length(config.d_kv)
    writer.add_value_length(config.d_kv)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_layer_norm_rms_eps(config.layer_norm_epsilon)
    writer.add_relative_attn_buckets_count(config.relative_attention_num_buckets)
    writer.add_decoder_start_token_id(config.decoder_start_token_id)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if kind.name == "F32" else gguf.LlamaFileType[f"MOSTLY_{kind.name}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    # Token ids are all these files are run with. A real vocabulary has another test.
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([f"[{token}]".encode() for token in range(config.vocab_size)])
    writer.add_token_scores([0.0] * config.vocab_size)
    writer.add_token_types([gguf.TokenType.NORMAL] * config.vocab_size)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_pad_token_id(config.pad_token_id)

    tensors = {name: tensor for name, tensor in model.state_dict().items() if "embed_tokens" not in name}
    if config.scale_decoder_outputs:  # The head is the embedding, and llama.cpp's files say so by leaving it out.
        assert torch.equal(tensors.pop("lm_head.weight"), tensors["shared.weight"])
    for name, tensor in tensors.items():
        values = tensor.float().numpy()
        if tensor.dim() == 1 or "relative_attention_bias" in name or kind.name == "F32":
            writer.add_tensor(gguf_name(name), values)
        elif kind.name == "F16":
            writer.add_tensor(gguf_name(name), values.astype(np.float16))
        else:
            writer.add_tensor(gguf_name(name), gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def load_gguf(path: Path) -> nn.Module:
    """A transformers T5 with the dequantised weights."""
    reader = gguf.GGUFReader(path)

    def field(key: str, default=None):
        entry = reader.get_field(key)
        if entry is None and default is None:
            raise KeyError(f"{path.name}: {key} is missing")
        return default if entry is None else entry.contents()

    tensors = {
        tensor.name: torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
        for tensor in reader.tensors
    }
    layers = field("t5.block_count")
    config = T5Config(
        vocab_size=tensors["token_embd.weight"].shape[0],
        d_model=field("t5.embedding_length"),
        d_ff=field("t5.feed_forward_length"),
        d_kv=field("t5.attention.key_length"),
        num_heads=field("t5.attention.head_count"),
        num_layers=layers,
        num_decoder_layers=field("t5.decoder_block_count", layers),
        layer_norm_epsilon=float(np.float32(field("t5.attention.layer_norm_rms_epsilon"))),
        relative_attention_num_buckets=field("t5.attention.relative_buckets_count"),
        feed_forward_proj="gated-gelu" if "enc.blk.0.ffn_gate.weight" in tensors else "relu",
        decoder_start_token_id=field("t5.decoder_start_token_id"),
        eos_token_id=field("tokenizer.ggml.eos_token_id", 1),
        pad_token_id=field("tokenizer.ggml.padding_token_id", 0),
        # GGUF has no key for it: a head of its own is not scaled (v1.1), a shared one is (v1.0).
        tie_word_embeddings="output.weight" not in tensors,
    )
    model = T5ForConditionalGeneration._from_config(config, attn_implementation="eager")
    if not config.scale_decoder_outputs:
        model.lm_head.weight = nn.Parameter(torch.empty_like(model.lm_head.weight))
    used = set()
    for name, parameter in model.named_parameters():
        parameter.data.copy_(tensors[gguf_name(name)])
        used.add(gguf_name(name))
    assert used == tensors.keys(), sorted(tensors.keys() - used)
    return model
