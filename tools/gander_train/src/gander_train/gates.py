"""The gates: one vector v (d_in) per linear layer with LoRA, trained with base and LoRA frozen.

    y = W u + sigmoid(v . u) s B A u        v starts at zeros, u is the layer's raw input

Source: Muqeeth, Liu, Liu, Raffel, "Learning to Route Among Specialized Experts for Zero-Shot Generalization", ICML 2024. The sigmoid is for training alone: at
inference the router compares normalised inputs with normalised gates, and only the direction of v remains.
"""
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from .adapter import GATES, Adapter, gate_key, write_tensors
from .base import Base
from .errors import TrainError, first_line
from .layers import replace
from .training import Settings

Mode = Literal["gated", "alone", "base"]

#: A gate counts as undecided if no number in it came further than this share of the way that the optimiser could have gone.
NEAR_ZERO = 0.01


class GatedLinear(nn.Module):
    """A frozen linear layer and a frozen LoRA behind a gate."""

    def __init__(self, linear: nn.Linear, a: Tensor, b: Tensor, scale: float) -> None:
        super().__init__()
        self.linear, self.scale = linear, scale
        self.register_buffer("a", a)  # (rank, d_in)
        self.register_buffer("b", b)  # (d_out, rank)
        self.gate = nn.Parameter(torch.zeros(linear.in_features, device=a.device))
        self.mode: Mode = "gated"

    @property
    def weight(self) -> Tensor:
        return self.linear.weight  # T5 asks for its type

    def forward(self, u: Tensor) -> Tensor:
        """u (..., d_in) -> (..., d_out)"""
        y = self.linear(u)
        if self.mode == "base":
            return y
        strength: Tensor | float = self.scale
        if self.mode == "gated":
            with torch.autocast(u.device.type, enabled=False):  # scores in float32, whatever the rest is in
                strength = self.scale * torch.sigmoid(u.to(self.gate.dtype) @ self.gate)[..., None]
        return y + (strength * F.linear(F.linear(u, self.a), self.b)).to(y.dtype)


def attach(base: Base, adapter: Adapter) -> dict[str, GatedLinear]:
    """Put a gate on every layer of the base's model that has LoRA. PEFT itself says what the scale of each is."""
    try:
        PeftModel.from_pretrained(base.model, adapter.folder)
    except Exception as error:
        raise TrainError("invalid-file", adapter.folder, first_line(error), "a LoRA that PEFT can load") from error
    return wrap(base.model, adapter)


def wrap(model: nn.Module, adapter: Adapter) -> dict[str, GatedLinear]:
    """Replace PEFT's layers by gated ones of the same weights."""
    gated = {}
    for name, layer in [(n, m) for n, m in model.named_modules() if isinstance(m, LoraLayer)]:
        (key,) = layer.scaling
        linear = layer.base_layer
        kind = linear.weight.dtype
        a, b = (factor[key].weight.detach().to(linear.weight.device, kind) for factor in (layer.lora_A, layer.lora_B))
        gated[name] = GatedLinear(linear, a, b, layer.scaling[key])
        replace(model, name, gated[name])
    if sorted(gated) != adapter.modules:
        odd = min(set(gated) ^ set(adapter.modules))
        raise TrainError("invalid-file", adapter.folder, f"target_modules and the tensors disagree on {odd}", "tensors for the modules that adapter_config.json targets")
    model.requires_grad_(False)
    for layer in gated.values():
        layer.gate.requires_grad_(True)
    return gated


def set_mode(gated: dict[str, GatedLinear], mode: Mode) -> None:
    for layer in gated.values():
        layer.mode = mode


def near_zero(gated: dict[str, GatedLinear], settings: Settings) -> list[str]:
    """Modules whose gate has hardly moved: nothing in the data says when this layer's LoRA helps, or the LoRA adds nothing there."""
    way = sum(settings.rate_at(step) for step in range(settings.steps))
    return [name for name, layer in gated.items() if layer.gate.abs().max().item() <= NEAR_ZERO * way]


def save_gates(gated: dict[str, GatedLinear], folder: Path) -> None:
    tensors = {gate_key(name): layer.gate.detach().float().cpu().contiguous() for name, layer in gated.items()}
    write_tensors(folder / GATES, tensors)
