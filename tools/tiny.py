"""Tiny random T5 bases and PEFT LoRA experts, saved exactly as transformers and PEFT save them."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import MT5Config, MT5ForConditionalGeneration, T5Config, T5ForConditionalGeneration

# Every linear of every block, as a pattern for `target_modules`.
ALL_LINEARS = r".*\.(q|k|v|o|wi|wi_0|wi_1|wo)"


def new_generator(*seed: int | str) -> torch.Generator:
    """One stream of numbers per name, so that adding a tensor changes no other."""
    number = 0
    for byte in "/".join(map(str, seed)).encode():
        number = (number * 257 + byte) % (2**61 - 1)
    return torch.Generator().manual_seed(number)


def normal(generator: torch.Generator, shape, std: float) -> Tensor:
    return torch.randn(shape, generator=generator) * std


# Bases


def new_base(seed: int, *, mt5: bool = False, own_head: bool = True, eos_strength: float = 1.0, **config) -> nn.Module:
    """A T5 whose residual stream is O(1) and whose greedy output does not stand still.

    `own_head`: `lm_head.weight` is a tensor of its own. transformers 5 ties the head whatever the
    config says, so an untied one must be put there by hand, as loading a v1.1 checkpoint does.
    `eos_strength`: 0 for an output that does not end, more than 1 for one that soon ends.
    """
    config = {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0} | config
    model = MT5ForConditionalGeneration(MT5Config(**config)) if mt5 else T5ForConditionalGeneration(T5Config(**config))
    if own_head:
        model.lm_head.weight = nn.Parameter(torch.empty_like(model.lm_head.weight))
    for name, parameter in model.named_parameters():
        parameter.data.copy_(random_weight(name, parameter.shape, model.config, new_generator(seed, name)))
    if own_head:
        model.lm_head.weight.data[model.config.eos_token_id] *= eos_strength
    else:
        # A head that is the embedding likes the token it was just given. Small embeddings, and a norm that makes up for it.
        model.shared.weight.data *= 0.3
        scaled = getattr(model.config, "scale_decoder_outputs", False)
        model.decoder.final_layer_norm.weight.data *= 10 if scaled else 10 * model.config.d_model**-0.5
    return model.eval()


def random_weight(name: str, shape, config, generator: torch.Generator) -> Tensor:
    """The decoder's feed-forward is strong and its attention weak, or else greedy decoding soon repeats one token."""
    decoder = name.startswith("decoder.")
    if "layer_norm" in name:
        return 0.6 + 0.8 * torch.rand(shape, generator=generator)
    match name.split(".")[-2]:
        case "shared":
            return normal(generator, shape, 1.0)
        case "lm_head":
            return normal(generator, shape, 3 * config.d_model**-0.5)
        case "relative_attention_bias":
            return normal(generator, shape, 0.7)
        case "q":
            return normal(generator, shape, 1.7 * (config.d_model * config.d_kv) ** -0.5)
        case "o" if decoder:
            return normal(generator, shape, 0.7 * shape[1] ** -0.5)
        case "wo":
            weight = normal(generator, shape, (4 if decoder else 1.6) * shape[1] ** -0.5)
            # What comes out of a relu has a mean, which would add the same vector to every token.
            return weight if config.is_gated_act else weight - weight.mean(1, keepdim=True)
        case _:
            return normal(generator, shape, 1.3 * shape[1] ** -0.5)


def save_base(model: nn.Module, folder: Path, **options) -> None:
    """A Hugging Face folder: the config and the weights alone."""
    model.save_pretrained(folder, **options)
    (folder / "generation_config.json").unlink(missing_ok=True)


# Experts


@dataclass
class ExpertPlan:
    id: str
    lora: dict  # of LoraConfig
    strength: float = 0.6  # of the LoRA branch, against the base's own output
    gate_std: float = 1.0  # at 0.01 the epsilon inside LN(v) matters
    gate_mean: float = 0.3  # LN takes it off again
    untrained: str = ""  # modules whose name contains this have an all-zero gate
    ungated: str = ""  # modules whose name contains this have no gate at all
    gates_inside: str = "-"  # modules whose name contains this have their gate in the adapter file
    dtype: torch.dtype = torch.float32


def save_expert(base: nn.Module, base_name: str, plan: ExpertPlan, folder: Path, seed: int) -> None:
    model = copy.deepcopy(base)
    model.name_or_path = base_name  # what PEFT writes into adapter_config.json
    model = get_peft_model(model, LoraConfig(task_type="SEQ_2_SEQ_LM", **plan.lora))

    modules = []
    for name, layer in model.base_model.model.named_modules():
        if not hasattr(layer, "lora_A"):
            continue
        modules.append(name)
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        reach = layer.scaling["default"] * a.shape[0] ** 0.5
        base_std = float(layer.base_layer.weight.std()) * a.shape[1] ** 0.5
        a.data = normal(new_generator(seed, plan.id, name, "A"), a.shape, a.shape[1] ** -0.5)
        b.data = normal(new_generator(seed, plan.id, name, "B"), b.shape, plan.strength * base_std / reach)
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)

    gates = {}
    for name in modules:
        d_in = model.base_model.model.get_submodule(name).base_layer.in_features
        if plan.ungated and plan.ungated in name:
            continue
        trained = not (plan.untrained and plan.untrained in name)
        gate = plan.gate_mean * plan.gate_std + normal(new_generator(seed, plan.id, name, "gate"), d_in, plan.gate_std)
        gates[f"base_model.model.{name}.lora_gate.weight"] = gate if trained else torch.zeros(d_in)
    inside = {key: gate for key, gate in gates.items() if plan.gates_inside in key}
    beside = {key: gate for key, gate in gates.items() if plan.gates_inside not in key}

    adapter = folder / "adapter_model.safetensors"
    save(load_file(adapter) | inside, adapter, plan.dtype)
    if beside:
        save(beside, folder / "gates.safetensors", plan.dtype)
    settle(folder / "adapter_config.json")


def save(tensors: dict[str, Tensor], path: Path, dtype: torch.dtype) -> None:
    save_file({key: tensor.to(dtype).contiguous() for key, tensor in tensors.items()}, path, metadata={"format": "pt"})


def settle(path: Path) -> None:
    """PEFT keeps target modules in a set, so their order in the file changes from run to run."""
    config = json.loads(path.read_text())
    for key, value in config.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            config[key] = sorted(value)
    path.write_text(json.dumps(config, indent=2, sort_keys=True))

