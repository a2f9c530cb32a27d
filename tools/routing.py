"""PHATGOOSE routing in float64, written to be read next to the paper.

    LN(x)   = (x - mean x) / sqrt(var x + 1e-5)      over the features, biased variance, no affine
    score_z = LN(u) . LN(v_z) / sqrt(d_in)
    T       = the k experts of highest score         ties: the lower index; k = min(k, experts on this layer)
    w       = softmax of the scores over T alone
    y       = W u + sum over z in T of  w_z s_z B_z (A_z u)

Source: Muqeeth, Liu, Liu, Raffel, "Learning to Route Among Specialized Experts for Zero-Shot
Generalization", ICML 2024. Experts are PEFT LoRA folders plus one gate vector per module.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from strategies import Strategy

# The linear layers that can carry experts: never lm_head, embeddings, norms or position bias.
ROUTABLE = re.compile(r"(encoder|decoder)\.block\.\d+\.layer\.\d+\.(SelfAttention|EncDecAttention|DenseReluDense)\.(q|k|v|o|wi|wi_0|wi_1|wo)")

PEFT_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.(?P<kind>lora_A|lora_B|lora_gate)\.weight")


@dataclass
class Lora:
    """One expert's low-rank update of one linear layer."""

    a: Tensor  # (rank, d_in)
    b: Tensor  # (d_out, rank)
    scale: float


@dataclass
class Expert:
    id: str
    loras: dict[str, Lora] = field(default_factory=dict)  # by module name
    gates: dict[str, Tensor] = field(default_factory=dict)  # by module name, (d_in)

    def serves(self, module: str) -> bool:
        """An expert is considered where it has both LoRA and a trained gate: an all-zero gate means "not trained"."""
        return module in self.loras and module in self.gates and bool(self.gates[module].any())


def load_expert(folder: Path) -> Expert:
    """Reads a PEFT LoRA folder and its gates: from `gates.safetensors`, or from the adapter file itself."""
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    if (folder / "gates.safetensors").exists():
        tensors |= load_file(folder / "gates.safetensors")

    parts: dict[str, dict[str, Tensor]] = {"lora_A": {}, "lora_B": {}, "lora_gate": {}}
    for key, tensor in tensors.items():
        match = PEFT_KEY.fullmatch(key)
        if match is None:
            raise ValueError(f"{folder.name}: {key} is not a tensor of a plain LoRA")
        parts[match["kind"]][match["module"]] = tensor.double()

    expert = Expert(folder.name, gates={module: gate.flatten() for module, gate in parts["lora_gate"].items()})
    for module, a in parts["lora_A"].items():
        expert.loras[module] = Lora(a, parts["lora_B"][module], lora_scale(config, module))
    return expert


def lora_scale(config: dict, module: str) -> float:
    """alpha / r, or alpha / sqrt(r) for rsLoRA; r and alpha may be set per module by pattern, the first that matches."""
    rank = by_pattern(config.get("rank_pattern"), module, config["r"])
    alpha = by_pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def by_pattern(patterns: dict | None, module: str, default: float) -> float:
    """PEFT's rule: a key is a regular expression for the module's name, or for its end after a dot."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


@dataclass
class Trace:
    """Every routing decision, in the order it was made."""

    routing: list[dict] = field(default_factory=list)
    position: int = 0  # of the first token of the input being run

    def record(self, module: str, token: int, ids: list[str], weights: list[float], margin: float | None, order_margin: float | None) -> None:
        self.routing.append(
            {"module": module, "token": token, "experts": ids, "weights": weights, "margin": margin, "order_margin": order_margin}
        )


class RoutedLinear(nn.Module):
    """A linear layer W and the experts that may add to it."""

    def __init__(self, module: str, linear: nn.Linear, experts: list[Expert], top_k: int, trace: Trace, strategy: Strategy):
        super().__init__()
        self.module, self.trace, self.strategy = module, trace, strategy
        self.weight = linear.weight  # (d_out, d_in)
        self.ids = [expert.id for expert in experts]
        self.experts = [expert for expert in experts if strategy.considers(expert, module)]
        self.top_k = strategy.count(top_k, self.experts)

    def forward(self, u: Tensor) -> Tensor:
        """u: (1, tokens, d_in) -> (1, tokens, d_out)"""
        y = u @ self.weight.T
        if self.experts:
            y = y + self.mixture(u[0])[None]
        return y

    def mixture(self, u: Tensor) -> Tensor:
        scores = self.strategy.scores(self.module, self.experts, self.ids, u, self.trace.position)  # (tokens, experts)
        ranked = torch.sort(scores, dim=-1, descending=True, stable=True)  # stable: ties go to the lower index
        chosen = ranked.indices[:, : self.top_k]
        weights = self.strategy.weights(ranked.values[:, : self.top_k])
        weights = weights * self.strategy.openness(self.module, self.experts, u).gather(-1, chosen)
        self.note(ranked.values, chosen, weights)

        y = u.new_zeros(u.shape[0], self.weight.shape[0])
        for index, expert in enumerate(self.experts):
            lora = expert.loras[self.module]
            weight = torch.where(chosen == index, weights, 0.0).sum(-1, keepdim=True)  # (tokens, 1): 0 where not chosen
            y = y + weight * lora.scale * (u @ lora.a.T @ lora.b.T)
        return y

    def note(self, ranked: Tensor, chosen: Tensor, weights: Tensor) -> None:
        k = self.top_k
        gaps = (ranked[:, :-1] - ranked[:, 1:]).tolist()  # gap i: between rank i and rank i + 1
        for token in range(chosen.shape[0]):
            self.trace.record(
                self.module,
                token + self.trace.position,
                [self.experts[index].id for index in chosen[token].tolist()],
                weights[token].tolist(),
                gaps[token][k - 1] if k < len(self.experts) else None,
                min(gaps[token][: k - 1]) if k > 1 else None,
            )


def attach(model: nn.Module, experts: list[Expert], top_k: int, strategy: Strategy | None = None) -> Trace:
    """Replaces every routable linear of a T5 by a routed one. Experts are in catalogue order."""
    trace = Trace()
    linears = {name: module for name, module in model.named_modules() if ROUTABLE.fullmatch(name)}
    unknown = {module for expert in experts for module in expert.loras} - linears.keys()
    if unknown:
        raise ValueError(f"the base has no linear layer {sorted(unknown)[0]}")
    for name, linear in linears.items():
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, RoutedLinear(name, linear, experts, top_k, trace, strategy or Strategy()))
    return trace
