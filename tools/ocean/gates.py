"""The gates: one vector per linear layer and expert, trained for 100 steps with base and LoRA frozen.

    y = W u + sigmoid(v . u) s B A u        v starts at zeros, and is all that trains

The paper trains on the expert's own data with its own loss. Two things differ here, and both are needed (docs/ocean-log.md has the figures):

- The data is lines of the expert's kind, some with fields of other kinds beside it, and lines of all sorts, whose fields must be copied: that is part of the expert's job.
- The gate is also told, at the fields of these lines, whether it should be open (own kind) or shut (another kind): a cross-entropy on sigmoid(v . u) itself, beside the
  language loss. In a model this small and with so few steps, the language loss alone leaves most gates undecided: no layer matters enough by itself.

No other expert is involved, nor any other expert's standard forms; only the kind of each field, which the base was trained to mark anyway.
"""
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from . import experts, lines, model as t5, training
from .kinds import KINDS
from .tokenizer import Codec
from .training import Batch, Example

SEED = 3
STEPS, BATCH, RATE = 100, 48, 5e-3
TOLD_WEIGHT = 1.0
OTHERS, BESIDE = 0.4, 0.25  #: the shares of lines of all sorts, and of lines with an own field and others


class GatedLinear(nn.Module):
    """A frozen linear layer with one expert behind a sigmoid gate."""

    def __init__(self, linear: nn.Linear, lora: experts.Lora) -> None:
        super().__init__()
        self.linear, self.lora = linear, lora
        self.weight = linear.weight  # T5 looks at the dtype of wo.weight
        self.gate = nn.Parameter(torch.zeros(linear.in_features))

    def forward(self, u: Tensor) -> Tensor:
        """u (..., d_in) -> (..., d_out)"""
        self.logit = u @ self.gate[:, None]
        return self.linear(u) + torch.sigmoid(self.logit) * self.lora(u)

    def told(self, kinds: Tensor, own: int) -> Tensor:
        """How far the gate is from open on fields of kind `own` and shut on other fields; plain text does not count."""
        fields = kinds > 0
        return F.binary_cross_entropy_with_logits(self.logit[..., 0].float()[fields], (kinds[fields] == own).float())


def example(codec: Codec, kind: str, rng: random.Random, split: str = "train") -> Example:
    roll = rng.random()
    line = lines.mixed(rng, split) if roll < OTHERS else lines.beside(kind, rng, split) if roll < OTHERS + BESIDE else lines.own(kind, rng, split)
    ids, kinds = codec.marked(line, markers=False)
    targets, target_kinds = codec.marked(line, {kind})
    return Example(ids, targets, kinds, target_kinds)


def reads_input(layer: str) -> bool:
    """Whether the tokens that enter the layer are the line's, not the answer's."""
    return layer.startswith("encoder") or layer.endswith(("EncDecAttention.k", "EncDecAttention.v"))


def replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, new)


def train(kind: str, base: Path, folder: Path, steps: int = STEPS, told: float = TOLD_WEIGHT, examples: int | None = None) -> dict[str, float]:
    """Train the gates of the expert in `folder` and save them beside it: on new lines, or on so many `examples` over and over."""
    torch.set_num_threads(1)
    seed = SEED * 1000 + list(KINDS).index(kind)
    own = list(KINDS).index(kind) + 1
    torch.manual_seed(seed)
    rng = random.Random(seed)
    codec = Codec(base)
    model = t5.load(base).requires_grad_(False)
    gated: dict[str, GatedLinear] = {}
    for name, lora in experts.load(folder).items():
        if not told and not lora.b.any():
            continue  # the language loss cannot tell an open gate from a shut one where nothing is behind it
        gated[name] = GatedLinear(model.get_submodule(name), lora)
        replace(model, name, gated[name])
    known = [example(codec, kind, rng) for _ in range(examples or 0)]
    stream = training.batches(lambda: rng.choice(known) if known else example(codec, kind, rng), BATCH, rng, pool=8)

    def loss_of(batch: Batch, step: int) -> Tensor:
        language = model(input_ids=batch.inputs, attention_mask=batch.mask, labels=batch.labels).loss
        if not told:
            return language
        cross_entropies = [g.told(batch.input_kinds if reads_input(name) else batch.target_kinds, own) for name, g in gated.items()]
        return language + told * torch.stack(cross_entropies).mean()

    loss = training.train([g.gate for g in gated.values()], loss_of, stream, steps=steps, rate=RATE, warmup=6, floor=0.05, betas=(0.9, 0.999),
                          log=lambda t: print(kind, "gates", t, flush=True), every=25)
    save_file({f"base_model.model.{name}.lora_gate.weight": g.gate.detach().half() for name, g in gated.items()}, folder / "gates.safetensors", metadata={"format": "pt"})
    return {"steps": steps, "batch": BATCH, "rate": RATE, "others": OTHERS, "beside": BESIDE, "told_weight": told, "seed": seed, "loss": round(loss, 4)}


def load(folder: Path) -> dict[str, Tensor]:
    """module name -> gate vector (d_in)"""
    return {key.removeprefix("base_model.model.").removesuffix(".lora_gate.weight"): v.float() for key, v in load_file(folder / "gates.safetensors").items()}
