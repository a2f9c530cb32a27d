"""The experts: one LoRA per kind, trained alone on lines of its own kind and on plain text, the base frozen.

Those that deal in digits leave q, k and v of the two first self-attentions alone (contributors.py). What enters those is the bare embedding of one token, and a
digit says nothing of its field: no gate could tell whose it is.

An expert must also leave alone what is not its own: some of its lines have fields of other kinds, which it copies as they are.

Routing will never apply an expert as fully as training does: an early layer cannot always tell the kinds apart and picks somebody else now and then, and the second
of the two experts takes its share. So training varies the strength of every layer's update from step to step, and drops it at some of the tokens, more of
them in the first blocks. What such a LoRA learns, it learns redundantly.
"""
import random
import shutil
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from . import lines, model as t5, training
from .contributors import MULTITASK, RECIPES
from .kinds import KINDS
from .tokenizer import Codec
from .training import Batch, Example

SEED = 2
BATCH = 24
PLAIN, BESIDE = 0.12, 0.3  #: the shares of lines without a field, and of lines with fields of other kinds beside the own


class Cycle(NamedTuple):
    """One warm-up and one cosine."""

    rate: float
    dropped: dict[bool, float]  #: the largest share of tokens without the update, in the first blocks and in the others
    twice: float  #: the share of lines with two fields of the kind
    elsewhere: float = 0.0  #: the largest share of tokens outside of the expert's own fields without the update


#: The second is at half the rate and nearly in full strength. The third is for kinds whose standard form has another order: there an expert mixes up two fields.
CYCLES = (Cycle(3e-3, {True: 0.4, False: 0.15}, 0.12), Cycle(1.5e-3, {True: 0.2, False: 0.08}, 0.12), Cycle(1.5e-3, {True: 0.2, False: 0.08}, 0.5))
#: The last for every expert. Routed, it is applied at its own fields; elsewhere somebody else is as good, and gets the tokens. So here it learns to do with its own.
AMONG_OTHERS, AMONG_OTHERS_STEPS = Cycle(8e-4, {True: 0.25, False: 0.1}, 0.2, elsewhere=1.0), 700


def example(codec: Codec, kind: str, rng: random.Random, twice: float) -> Example:
    """A line whose fields of the kind are put into standard form, and nothing else. The kind "multitask" is all of them."""
    if kind == MULTITASK:
        line = lines.mixed(rng, "train")
        return Example(codec.marked(line, markers=False)[0], codec.marked(line, set(KINDS))[0])
    roll = rng.random()
    if roll < PLAIN:
        line = lines.line([], rng, "train")
    else:
        line = lines.beside(kind, rng, "train") if roll < PLAIN + BESIDE else lines.own(kind, rng, "train", twice)
    ids, kinds = codec.marked(line, markers=False)
    targets, target_kinds = codec.marked(line, {kind})
    return Example(ids, targets, kinds, target_kinds)


def reads_input(layer: str) -> bool:
    """Whether the tokens that enter the layer are the line's, not the answer's."""
    return ".encoder." in f".{layer}" or layer.endswith(("EncDecAttention.k", "EncDecAttention.v"))


class Strength:
    """How much of the update each layer applies, drawn anew for every step."""

    def __init__(self, model: nn.Module, dropped: dict[bool, float], elsewhere: float) -> None:
        self.dropped, self.elsewhere = dropped, elsewhere
        self.layers = {name: m for name, m in model.named_modules() if isinstance(m, LoraLayer)}
        for layer in self.layers.values():
            partial(layer)

    def draw(self, rng: random.Random, batch: Batch, own: int) -> None:
        for name, layer in self.layers.items():
            layer.strength = rng.uniform(0.6, 1.0) if rng.random() < 0.6 else 1.0
            dropped = rng.uniform(0.0, self.dropped["block.0." in name])
            elsewhere = max(dropped, rng.uniform(0.0, self.elsewhere))
            kinds = batch.input_kinds if reads_input(name) else batch.target_kinds
            layer.dropped = torch.where(kinds == own, dropped, elsewhere)[..., None]


def partial(layer: LoraLayer) -> None:
    """Let the layer apply its update at `strength`, and not at all at a share `dropped` of the tokens."""
    base, a, b, scale = layer.base_layer, layer.lora_A["default"], layer.lora_B["default"], layer.scaling["default"]

    def forward(u: Tensor) -> Tensor:
        """u (..., d_in) -> (..., d_out)"""
        kept = (torch.rand(*u.shape[:-1], 1) >= layer.dropped).to(torch.bfloat16)  # (lines, tokens, 1)
        return base(u) + F.linear(F.linear(u, a.weight) * (kept * (layer.strength * scale)), b.weight)

    layer.forward = forward


def train(kind: str, base: Path, out: Path, grown_from: Path | None = None) -> dict:
    """Train one expert and save it as PEFT does, the tensors in float16. Each cycle starts from what the one before it saved.

    With `grown_from`, a folder of experts for the base that this one was grown from, an expert that is there goes on from it in one more cycle.
    """
    recipe = RECIPES[kind]
    old = grown_from / kind if grown_from and (grown_from / kind).exists() else None
    if old:
        cycles = {len(recipe.steps) - 1: (CYCLES[len(recipe.steps) - 1], recipe.grown_steps)}
    else:
        cycles = dict(enumerate(zip(CYCLES, recipe.steps)))
    if kind != MULTITASK:
        cycles[len(CYCLES)] = (AMONG_OTHERS, AMONG_OTHERS_STEPS)
    loss, start, last = 0.0, old, max(cycles)
    for number, (cycle, steps) in cycles.items():
        folder = out if number == last else out / f"cycle-{number}"
        if folder == out or not folder.exists():
            loss = train_cycle(kind, base, start, folder, number, steps, cycle)
        start = folder
    for number in set(cycles) - {last}:
        shutil.rmtree(out / f"cycle-{number}")
    return {"steps": [steps for _, steps in cycles.values()], "cycles": [described(cycle) for cycle, _ in cycles.values()], "grown": bool(old), "batch": BATCH, "rank": recipe.rank,
            "alpha": recipe.alpha, "seed": seed_of(kind, 0), "loss": round(loss, 4)}


def described(cycle: Cycle) -> dict:
    return cycle._asdict() | {"dropped": {"first_blocks": cycle.dropped[True], "others": cycle.dropped[False]}}


def seed_of(kind: str, number: int) -> int:
    return SEED * 1000 + 100 * number + [*KINDS, MULTITASK].index(kind)


def train_cycle(kind: str, base: Path, start: Path | None, out: Path, number: int, steps: int, cycle: Cycle) -> float:
    """From a saved expert or from nothing. Returns the loss."""
    torch.set_num_threads(1)
    recipe = RECIPES[kind]
    seed = seed_of(kind, number)
    torch.manual_seed(seed)
    codec = Codec(base)
    if start:
        model = PeftModel.from_pretrained(t5.load(base), str(start), is_trainable=True, autocast_adapter_dtype=True)
    else:
        model = get_peft_model(t5.load(base), LoraConfig(r=recipe.rank, lora_alpha=recipe.alpha, target_modules=recipe.targets, bias="none", task_type="SEQ_2_SEQ_LM"))
    strength = Strength(model, cycle.dropped, cycle.elsewhere)
    own = [*KINDS, MULTITASK].index(kind) + 1
    rng = random.Random(seed)
    stream = training.batches(lambda: example(codec, kind, rng, cycle.twice), BATCH, rng)

    def loss_of(batch: Batch, step: int) -> Tensor:
        strength.draw(rng, batch, own)
        return model(input_ids=batch.inputs, attention_mask=batch.mask, labels=batch.labels).loss

    loss = training.train([p for p in model.parameters() if p.requires_grad], loss_of, stream, steps=steps, rate=cycle.rate, warmup=20, decay=0.01,
                          every=100, log=lambda t: print(kind, t, flush=True))
    save(model, out)
    return loss


def save(model: PeftModel, folder: Path) -> None:
    model.peft_config["default"].base_model_name_or_path = "gander-ocean-base"  # not where it lay on one machine
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
