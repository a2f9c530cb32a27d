"""The gates: one vector per linear layer and expert, trained for 100 steps with base and LoRA frozen.

    y = W u + sigmoid(v . u) s B A u        v starts at zeros, and is all that trains

The paper trains on the expert's own data. So do we, and the expert's job is: put your kind into standard form, copy everything else. Its data is therefore half
lines of its own kind and half lines of all sorts, whose other fields it must leave alone. This matters. On its own lines alone, hardly any token wants *less* of
the expert, so v drifts along whatever all activations have in common, which is the same for every expert; with lines to keep out of, that part
cancels, and v points from "not mine" to "mine". No other expert and no other expert's standard forms are involved.
"""
import random
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from . import experts, lines, model as t5, training
from .kinds import KINDS
from .tokenizer import Codec
from .training import Batch, Example

SEED = 3
STEPS, BATCH, RATE = 100, 32, 5e-3
OTHERS = 0.5  #: the share of lines of all sorts


class GatedLinear(nn.Module):
    """A frozen linear layer with one expert behind a sigmoid gate."""

    def __init__(self, linear: nn.Linear, lora: experts.Lora) -> None:
        super().__init__()
        self.linear, self.lora = linear, lora
        self.weight = linear.weight  # T5 looks at the dtype of wo.weight
        self.gate = nn.Parameter(torch.zeros(linear.in_features))

    def forward(self, u: Tensor) -> Tensor:
        """u (..., d_in) -> (..., d_out)"""
        return self.linear(u) + torch.sigmoid(u @ self.gate[:, None]) * self.lora(u)


def example(codec: Codec, kind: str, rng: random.Random, split: str = "train") -> Example:
    line = lines.mixed(rng, split) if rng.random() < OTHERS else lines.own(kind, rng, split)
    return Example(codec.marked(line, markers=False)[0], codec.marked(line, {kind})[0])


def replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, new)


def train(kind: str, base: Path, folder: Path, steps: int = STEPS) -> dict[str, float]:
    """Train the gates of the expert in `folder` and save them beside it."""
    torch.set_num_threads(1)
    seed = SEED * 1000 + list(KINDS).index(kind)
    torch.manual_seed(seed)
    rng = random.Random(seed)
    codec = Codec(base)
    model = t5.load(base).requires_grad_(False)
    gated: dict[str, GatedLinear] = {}
    for name, lora in experts.load(folder).items():
        gated[name] = GatedLinear(model.get_submodule(name), lora)
        replace(model, name, gated[name])
    stream = training.batches(lambda: example(codec, kind, rng), BATCH, rng, pool=8)

    def loss_of(batch: Batch, step: int) -> Tensor:
        return model(input_ids=batch.inputs, attention_mask=batch.mask, labels=batch.labels).loss

    loss = training.train([g.gate for g in gated.values()], loss_of, stream, steps=steps, rate=RATE, warmup=6, floor=1.0, betas=(0.9, 0.999),
                          log=lambda t: print(kind, "gates", t, flush=True), every=25)
    save_file({f"base_model.model.{name}.lora_gate.weight": g.gate.detach().half() for name, g in gated.items()}, folder / "gates.safetensors", metadata={"format": "pt"})
    return {"steps": steps, "batch": BATCH, "rate": RATE, "others": OTHERS, "seed": seed, "loss": round(loss, 4)}


def load(folder: Path) -> dict[str, Tensor]:
    """module name -> gate vector (d_in)"""
    return {key.removeprefix("base_model.model.").removesuffix(".lora_gate.weight"): v.float() for key, v in load_file(folder / "gates.safetensors").items()}
