"""The experts: one LoRA per kind, trained alone on lines of its own kind and on plain text, the base frozen.

Routing will never apply an expert as fully as training does: an early layer cannot tell the kinds apart and picks somebody else now and then, and the second
of the two experts takes its share. So training varies the strength of every layer's update from step to step, and drops it altogether at times, more often
where little can be known (the first block's self-attention). What such a LoRA learns, it learns redundantly.
"""
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from . import lines, model as t5, training
from .kinds import KINDS
from .tokenizer import Codec
from .training import Batch, Example

SEED = 2
RANK, ALPHA = 16, 32
BATCH = 24
CYCLES = ((600, 4e-3), (600, 2e-3), (600, 2e-3))  #: steps and highest rate of each cosine
STEPS = sum(steps for steps, _ in CYCLES)
TARGETS = ["q", "k", "v", "o", "wi_0", "wi_1", "wo"]


def example(codec: Codec, kind: str, rng: random.Random, split: str = "train") -> Example:
    """A line with fields of the kind, put into standard form; one in eight has none."""
    line = lines.own(kind, rng, split) if rng.random() < 0.88 else lines.line([], rng, split)
    return Example(codec.marked(line, markers=False)[0], codec.marked(line, {kind})[0])


def vary_strength(layers: dict[str, LoraLayer], rng: random.Random) -> None:
    """Draw this step's strength for every layer: full, partial or, where the kinds can hardly be told apart, none."""
    for name, layer in layers.items():
        blind = "block.0.layer.0.SelfAttention" in name
        roll = rng.random()
        strength = 0.0 if blind and roll < 0.5 else rng.uniform(0.7, 1.0) if roll < 0.6 else 1.0
        layer.scaling["default"] = strength * ALPHA / RANK


def merged_forward(layer: LoraLayer) -> None:
    """Compute (W + s B A) u instead of W u + s B A u: the same for a line of text, and a third of the time on a CPU."""
    base, a, b = layer.base_layer, layer.lora_A["default"], layer.lora_B["default"]
    layer.forward = lambda u: F.linear(u, base.weight + layer.scaling["default"] * (b.weight @ a.weight))


def train(kind: str, base: Path, out: Path) -> dict:
    """Train one expert and save it as PEFT does, the tensors in float16. A finished cycle is kept, and not trained again."""
    torch.set_num_threads(1)
    seed = SEED * 1000 + list(KINDS).index(kind)
    torch.manual_seed(seed)
    codec = Codec(base)
    model = get_peft_model(t5.load(base), LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, bias="none", task_type="SEQ_2_SEQ_LM"))
    layers = {name: m for name, m in model.named_modules() if isinstance(m, LoraLayer)}
    for layer in layers.values():
        merged_forward(layer)
    trained = [p for p in model.parameters() if p.requires_grad]
    loss = float("nan")
    for number, (steps, rate) in enumerate(CYCLES, 1):
        kept = out.parent.parent / "cycles" / f"{kind}-{number}"
        if kept.exists():
            set_peft_model_state_dict(model, {k: v.float() for k, v in load_file(kept / "adapter_model.safetensors").items()})
            continue
        rng = random.Random(f"{seed} {number}")
        stream = training.batches(lambda: example(codec, kind, rng), BATCH, rng, pool=8)

        def loss_of(batch: Batch, step: int) -> Tensor:
            vary_strength(layers, rng)
            return model(input_ids=batch.inputs, attention_mask=batch.mask, labels=batch.labels).loss

        loss = training.train(trained, loss_of, stream, steps=steps, rate=rate, warmup=20, decay=0.01, every=100,
                              log=lambda t: print(kind, f"cycle {number}", t, flush=True))
        save(model, kept)
    save(model, out)
    return {"cycles": CYCLES, "batch": BATCH, "rank": RANK, "alpha": ALPHA, "seed": seed, "loss": round(loss, 4)}


def save(model: PeftModel, folder: Path) -> None:
    model.save_pretrained(folder)
    stored = folder / "adapter_model.safetensors"
    save_file({k: v.half().contiguous() for k, v in load_file(stored).items()}, stored, metadata={"format": "pt"})


class Lora(nn.Module):
    """One expert on one linear layer, ready to compute: scale and B joined. A (r, d_in), B (d_out, r)."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        super().__init__()
        self.register_buffer("a", a)
        self.register_buffer("b", b)

    def forward(self, u: Tensor) -> Tensor:
        return u @ self.a.T @ self.b.T


def load(folder: Path) -> dict[str, Lora]:
    """module name -> its LoRA, from a PEFT folder."""
    config = LoraConfig.from_pretrained(str(folder))
    stored = load_file(folder / "adapter_model.safetensors")
    prefix, found = "base_model.model.", {}
    for key in stored:
        if key.endswith(".lora_A.weight"):
            name = key.removeprefix(prefix).removesuffix(".lora_A.weight")
            b = stored[f"{prefix}{name}.lora_B.weight"].float()
            found[name] = Lora(stored[key].float(), b * (config.lora_alpha / config.r))
    return found


def apply_alone(base: Path, folder: Path) -> PeftModel:
    """The base with this one expert on, in full."""
    return PeftModel.from_pretrained(t5.load(base), str(folder)).eval()
