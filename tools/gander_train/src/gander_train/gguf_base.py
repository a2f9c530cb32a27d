"""A T5 out of a GGUF file in llama.cpp's naming: its weights dequantised, so that gates are trained against what the browser will run."""
import re
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from .base import HEAD, Base
from .errors import TrainError, first_line
from .fingerprint import fingerprint

try:
    import gguf
except ImportError:
    gguf = None

WHOLE = {
    "token_embd": "shared", "output": "lm_head", "enc.output_norm": "encoder.final_layer_norm", "dec.output_norm": "decoder.final_layer_norm"}
#: within a block, for the layer numbers of {self-attention, cross-attention, feed-forward}
WITHIN = {
    "attn_norm": "{self}.layer_norm", "cross_attn_norm": "{cross}.layer_norm", "ffn_norm": "{feed}.layer_norm",
    "attn_rel_b": "{self}.SelfAttention.relative_attention_bias",
    **{f"attn_{part}": f"{{self}}.SelfAttention.{part}" for part in "qkvo"},
    **{f"cross_attn_{part}": f"{{cross}}.EncDecAttention.{part}" for part in "qkvo"},
    "ffn_gate": "{feed}.DenseReluDense.wi_0", "ffn_up": "{feed}.DenseReluDense.{up}", "ffn_down": "{feed}.DenseReluDense.wo"}


def huggingface_name(name: str, gated: bool) -> str | None:
    """`enc.blk.0.attn_q.weight` -> `encoder.block.0.layer.0.SelfAttention.q.weight`; None for no tensor of a T5."""
    stem = name.removesuffix(".weight")
    if stem in WHOLE:
        return f"{WHOLE[stem]}.weight"
    parts = re.fullmatch(r"(enc|dec)\.blk\.(\d+)\.(\w+)", stem)
    if not parts or parts[3] not in WITHIN or parts[1] == "enc" and parts[3].startswith("cross_"):
        return None
    layer = WITHIN[parts[3]].format(self=0, cross=1, feed=1 if parts[1] == "enc" else 2, up="wi_1" if gated else "wi")
    return f"{parts[1]}oder.block.{parts[2]}.layer.{layer}.weight"


class Fields:
    """The file's keys, with the errors that they deserve."""

    def __init__(self, file: Path, reader) -> None:
        self.file, self.reader = file, reader

    def get(self, key: str, default=None):
        field = self.reader.get_field(key)
        return default if field is None else field.contents()

    def need(self, key: str):
        value = self.get(key)
        if value is None:
            raise TrainError("invalid-file", f"{self.file}: {key}", "is absent", "a key of llama.cpp's T5")
        return value


def open_gguf(file: Path) -> Base:
    if gguf is None:
        raise TrainError("unsupported", file, "needs the gguf package", "pip install './tools/gander_train[gguf]'")
    try:
        reader = gguf.GGUFReader(file)
    except Exception as error:
        raise TrainError("invalid-file", file, first_line(error), "a GGUF file") from error
    fields = Fields(file, reader)
    if fields.get("general.architecture") != "t5":
        raise TrainError("unsupported", f"{file}: general.architecture", f"is {fields.get('general.architecture')!r}", "'t5'")
    gated = any(tensor.name.endswith(".ffn_gate.weight") for tensor in reader.tensors)
    tensors = {}
    for tensor in reader.tensors:
        name = huggingface_name(tensor.name, gated)
        if name is None:
            raise TrainError("unsupported", f"{file}: {tensor.name}", "is no tensor of llama.cpp's T5", "those of T5 v1.0, v1.1 or mT5")
        tensors[name] = dequantize(file, tensor)
    if "shared.weight" not in tensors:
        raise TrainError("missing-tensor", f"{file}: token_embd.weight", "is absent", "the embedding, of shape (vocabulary, d_model)")
    model = build(file, config_of(fields, tensors, gated), tensors)
    kinds = [t.tensor_type.name for t in reader.tensors if t.name.endswith("attn_q.weight")]
    return Base(str(file), model, fingerprint(model, HEAD in tensors), kinds[0] if kinds else "F32", tokenizer_of(fields, model.config))


def dequantize(file: Path, tensor) -> Tensor:
    try:
        return torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
    except NotImplementedError as error:
        raise TrainError("unsupported", f"{file}: {tensor.name}", f"is {tensor.tensor_type.name}", "a type that the gguf package dequantises") from error


def config_of(fields: Fields, tensors: dict[str, Tensor], gated: bool) -> T5Config:
    layers, pad = fields.need("t5.block_count"), fields.get("tokenizer.ggml.padding_token_id", 0)
    return T5Config(
        vocab_size=tensors["shared.weight"].shape[0], d_model=fields.need("t5.embedding_length"), d_ff=fields.need("t5.feed_forward_length"),
        d_kv=fields.need("t5.attention.key_length"), num_heads=fields.need("t5.attention.head_count"), num_layers=layers,
        num_decoder_layers=fields.get("t5.decoder_block_count", layers), layer_norm_epsilon=float(fields.need("t5.attention.layer_norm_rms_epsilon")),
        relative_attention_num_buckets=fields.need("t5.attention.relative_buckets_count"),
        # llama.cpp has no key for these two; gander writes its own where a model differs from what is taken for granted.
        relative_attention_max_distance=fields.get("gander.relative_attention_max_distance", 128),
        tie_word_embeddings=fields.get("gander.scale_decoder_outputs", HEAD not in tensors),  # transformers scales where this is not false
        feed_forward_proj="gated-gelu" if gated else "relu", pad_token_id=pad, decoder_start_token_id=fields.get("t5.decoder_start_token_id", pad),
        eos_token_id=fields.get("gander.eos_token_ids") or fields.get("tokenizer.ggml.eos_token_id", 1))


def build(file: Path, config: T5Config, tensors: dict[str, Tensor]) -> nn.Module:
    """A model whose every parameter is a tensor of the file, and the other way round."""
    model = T5ForConditionalGeneration(config).eval()
    if HEAD in tensors:
        model.lm_head.weight = nn.Parameter(torch.empty_like(model.lm_head.weight))
    parameters = dict(model.named_parameters())
    if missing := parameters.keys() - tensors.keys():
        raise TrainError("missing-tensor", file, f"has no {min(missing)}", "every tensor of the T5 that its keys describe")
    if extra := tensors.keys() - parameters.keys():
        raise TrainError("unsupported", file, f"has {min(extra)}", "only tensors of the T5 that its keys describe")
    for name, parameter in parameters.items():
        if parameter.shape != tensors[name].shape:
            raise TrainError("shape-mismatch", f"{file}: {name}", f"has shape {tuple(tensors[name].shape)}", f"{tuple(parameter.shape)}, by the keys")
        parameter.data.copy_(tensors[name])
    return model


def tokenizer_of(fields: Fields, config: T5Config) -> PreTrainedTokenizerFast | None:
    """The SentencePiece Unigram vocabulary of the file, as transformers builds T5's."""
    if fields.get("tokenizer.ggml.model") != "t5":
        return None
    tokens, scores, kinds = (fields.need(f"tokenizer.ggml.{key}") for key in ("tokens", "scores", "token_type"))
    unknown = fields.get("tokenizer.ggml.unknown_token_id", next((i for i, kind in enumerate(kinds) if kind == gguf.TokenType.UNKNOWN), None))
    if unknown is None:
        return None  # such as the dummies of a file that is run on token ids
    if not len(tokens) == len(scores) == len(kinds):
        raise TrainError("invalid-file", f"{fields.file}: tokenizer.ggml", f"has {len(tokens)} tokens, {len(scores)} scores, {len(kinds)} types", "as many of each")
    eos = config.eos_token_id[0] if isinstance(config.eos_token_id, list) else config.eos_token_id
    tokenizer = Tokenizer(Unigram(list(zip(tokens, scores, strict=True)), unknown))
    if charsmap := fields.get("tokenizer.ggml.precompiled_charsmap"):
        tokenizer.normalizer = normalizers.Precompiled(bytes(byte % 256 for byte in charsmap))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(single=["$A", tokens[eos]], special_tokens=[(tokens[eos], eos)])
    tokenizer.add_special_tokens([
        AddedToken(token, special=True, normalized=False) for token, kind in zip(tokens, kinds, strict=True)
        if kind in (gguf.TokenType.CONTROL, gguf.TokenType.UNKNOWN) or re.fullmatch(r"<extra_id_\d+>", token)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=tokens[config.pad_token_id], eos_token=tokens[eos], unk_token=tokens[unknown])
