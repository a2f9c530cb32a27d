"""PHATGOOSE: every token, at every linear layer, picks the two experts whose gates it resembles most.

    LN(x)   = (x - mean x) / sqrt(var x + 1e-5)
    score_z = LN(u) . LN(v_z) / sqrt(d_in)
    T       = the k experts of highest score
    w       = softmax of the scores over T
    y       = W u + sum over z in T of w_z s_z B_z (A_z u)
"""
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import experts, gates, model as t5


def layer_norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


class Strategy:
    """How weights are found; shared by all layers, so that one assignment changes the whole model. The last weights are kept by layer name."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.name, self.k = "phatgoose", 2
        self.weights: dict[str, Tensor] = {}

    def use(self, name: str, k: int = 2) -> None:
        """phatgoose, mean (all experts in equal parts), sum (all in full) or none."""
        self.name, self.k = name, k

    def __call__(self, layer: str, u: Tensor, directions: Tensor, here: list[int]) -> Tensor:
        """u (..., d_in), directions (experts here, d_in) -> weights (..., experts here), zero where not chosen; `here` are the numbers of the layer's experts."""
        if self.name == "phatgoose":
            scores = layer_norm(u) @ directions.T
            best, chosen = scores.topk(min(self.k, len(here)), -1)
            weights = torch.zeros_like(scores).scatter(-1, chosen, best.softmax(-1))
        else:
            weights = u.new_full((*u.shape[:-1], len(here)), {"mean": 1 / self.count, "sum": 1.0, "none": 0.0}[self.name])
        self.weights[layer] = weights.new_zeros(*weights.shape[:-1], self.count).index_copy(-1, torch.tensor(here), weights)
        return weights


class RoutedLinear(nn.Module):
    """A linear layer and all experts on it. Their outputs are mixed, never their matrices."""

    def __init__(self, name: str, linear: nn.Linear, here: list[int], loras: list[experts.Lora], vectors: list[Tensor], strategy: Strategy) -> None:
        super().__init__()
        self.name, self.linear, self.here, self.strategy = name, linear, here, strategy
        self.weight = linear.weight
        self.ranks = [lora.a.shape[0] for lora in loras]
        self.register_buffer("a", torch.cat([lora.a for lora in loras]))  # (sum of ranks, d_in)
        self.register_buffer("b", torch.cat([lora.b for lora in loras], 1))  # (d_out, sum of ranks)
        self.register_buffer("directions", layer_norm(torch.stack(vectors)) / linear.in_features**0.5)

    def forward(self, u: Tensor) -> Tensor:
        """u (..., d_in) -> (..., d_out)"""
        weights = self.strategy(self.name, u, self.directions, self.here)
        spread = weights.repeat_interleave(torch.tensor(self.ranks), -1)
        return self.linear(u) + (u @ self.a.T * spread) @ self.b.T


def load(base: Path, folders: list[Path]) -> tuple[nn.Module, Strategy]:
    """The base with every expert of `folders` (in this order) behind PHATGOOSE routing."""
    model = t5.load(base)
    strategy = Strategy(len(folders))
    loras = [experts.load(f) for f in folders]
    vectors = [gates.load(f) for f in folders]
    for name, linear in t5.linears(model).items():
        here = [i for i in range(len(folders)) if name in loras[i]]
        if here:
            gates.replace(model, name, RoutedLinear(name, linear, here, [loras[i][name] for i in here], [vectors[i][name] for i in here], strategy))
    return model.eval(), strategy
