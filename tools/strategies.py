"""PHATGOOSE's rivals in float64, each as its formula says: which experts a layer considers, and how it scores them.

    phatgoose            LN(u) . LN(v) / sqrt(d)     v: trained gates
    gated                the same, and each weight is multiplied with sigmoid(u . v)
    average-activation   the same                    v: mean inputs
    arrow                |u . v|                     v: top right-singular vectors of B A
    spectr               |B A u|
    merged               0, and all experts are taken
    random               noise, and those taken weigh the same
    single:ID            0, of one expert
    retrieval            0, of the expert that has the example most like the input

Where a strategy has vectors, an expert is considered where it has one; else wherever it has LoRA.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

EPSILON = 1e-5
NAMES = ["phatgoose", "gated", "merged", "random", "average-activation", "arrow", "spectr", "retrieval"]


def layer_norm(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + EPSILON)


@dataclass
class Strategy:
    name: str = "phatgoose"
    # By expert and module, (d_in): what stands in the place of gates.
    vectors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    # By expert, (n, d_model): what retrieval compares with.
    examples: dict[str, Tensor] = field(default_factory=dict)
    seed: int = 0
    single: str | None = None

    def __post_init__(self) -> None:
        if self.name.startswith("single:"):
            self.single = self.name.removeprefix("single:")

    @property
    def has_gates(self) -> bool:
        return self.name in ("phatgoose", "gated")

    @property
    def has_vectors(self) -> bool:
        return self.name in ("average-activation", "arrow")

    def considers(self, expert, module: str) -> bool:
        if self.has_gates:
            return expert.serves(module)
        if self.has_vectors:
            return module in self.vectors[expert.id]
        return module in expert.loras and self.single in (None, expert.id)

    def count(self, top_k: int, experts: list) -> int:
        match self.name:
            case "merged":
                return len(experts)
            case "retrieval":
                return min(1, len(experts))
            case _:
                return min(top_k if self.single is None else 1, len(experts))

    def choose(self, encoded: Tensor) -> None:
        """For retrieval, the expert for an input whose encoding by the base alone is (tokens, d_model)."""
        query = encoded.mean(0)
        nearest = {name: float(torch.cosine_similarity(query[None], rows, eps=1e-12).max()) for name, rows in self.examples.items()}
        self.single = max(nearest, key=nearest.get)  # the first of equals

    def scores(self, module: str, experts: list, all_ids: list[str], u: Tensor, position: int) -> Tensor:
        """u: (tokens, d_in) -> (tokens, experts)"""
        tokens = u.shape[0]
        match self.name:
            case "phatgoose" | "gated" | "average-activation":
                source = [expert.gates if self.has_gates else self.vectors[expert.id] for expert in experts]
                vectors = torch.stack([vectors[module] for vectors in source])
                return layer_norm(u) @ layer_norm(vectors).T / math.sqrt(u.shape[-1])
            case "arrow":
                return (u @ torch.stack([self.vectors[expert.id][module] for expert in experts]).T).abs()
            case "spectr":
                loras = [expert.loras[module] for expert in experts]
                return torch.stack([(u @ lora.a.T @ lora.b.T).norm(dim=-1) for lora in loras], dim=-1)
            case "random":
                first, site = site_of(module)
                key = self.seed
                for byte in first.encode():
                    key = (key ^ byte) * 0x01000193 & 0xFFFFFFFF
                rows = [[noise(key, site, position + token, all_ids.index(expert.id)) for expert in experts] for token in range(tokens)]
                return torch.tensor(rows, dtype=torch.float64)
            case _:
                return torch.zeros(tokens, len(experts), dtype=torch.float64)

    def weights(self, scores: Tensor) -> Tensor:
        """Of those taken."""
        if self.name == "random":
            return torch.full_like(scores, 1 / max(scores.shape[-1], 1))
        return torch.softmax(scores, dim=-1)

    def openness(self, module: str, experts: list, u: Tensor) -> Tensor:
        """u: (tokens, d_in) -> (tokens, experts): what weights are multiplied with in the end."""
        if self.name != "gated":
            return u.new_ones(u.shape[0], len(experts))
        return torch.sigmoid(u @ torch.stack([expert.gates[module] for expert in experts]).T)


def prototype(a: Tensor, b: Tensor) -> Tensor:
    """The top right-singular vector of B A."""
    return torch.linalg.svd(b @ a).Vh[0]


def site_of(module: str) -> tuple[str, int]:
    """Layers that share an input are numbered: the first of them, and the layer's number."""
    parent, _, leaf = module.rpartition(".")
    if parent.endswith("EncDecAttention") and leaf in "kv":
        block = int(module.split(".")[2])
        return "decoder.block.0.layer.1.EncDecAttention.k", 2 * block + "kv".index(leaf)
    for group in (["q", "k", "v"], ["wi_0", "wi_1"]):
        if leaf in group and not (parent.endswith("EncDecAttention") and leaf == "q"):
            return f"{parent}.{group[0]}", group.index(leaf)
    return module, 0


def noise(*words: int) -> float:
    """In [0, 1): pcg of the words, one after another (Jarzynski and Olano 2020), its upper 24 bits."""
    bits = 0
    for word in words:
        state = ((bits ^ word) * 747796405 + 2891336453) & 0xFFFFFFFF
        mixed = ((state >> ((state >> 28) + 4)) ^ state) * 277803737 & 0xFFFFFFFF
        bits = (mixed >> 22) ^ mixed
    return (bits >> 8) / (1 << 24)
