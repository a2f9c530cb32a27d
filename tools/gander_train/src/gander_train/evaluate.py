"""What an expert does on lines that nobody trained on: the figures for a catalogue."""
import json
from pathlib import Path

import torch
from torch import nn

from .adapter import ABOUT, about
from .base import Base
from .data import Example, collate, encode
from .gates import GatedLinear, set_mode
from .training import loss_of, precision

#: what a person is to fill in
BLANKS = {"title": "", "description": "", "licence": "", "tags": [], "source": ""}


def evaluate(base: Base, gated: dict[str, GatedLinear], examples: list[Example], dtype: str, batch_size: int, with_gates: bool) -> dict[str, float]:
    """Loss (nats a token) and exact match (0 to 1) of the base, of the LoRA in full, and of the LoRA behind its gates as they were trained.

    In full is how gander applies an expert that is alone; beside others, the gates share out the weight.
    """
    figures: dict[str, float] = {"examples": len(examples)}
    for mode in ("base", "alone", "gated") if with_gates else ("base", "alone"):
        set_mode(gated, mode)
        figures[f"{mode}_exact"] = round(exact_match(base, examples, dtype, batch_size), 4)
        figures[f"{mode}_loss"] = round(mean_loss(base.model, examples, dtype, batch_size), 4)
    set_mode(gated, "gated")
    return figures


def by_length(examples: list[Example], size: int) -> list[list[Example]]:
    """Batches of like length, so that little is padding."""
    order = sorted(examples, key=lambda e: (len(e.input_ids), len(e.target_ids)))
    return [order[i : i + size] for i in range(0, len(order), size)]


@torch.no_grad()
def mean_loss(model: nn.Module, examples: list[Example], dtype: str, batch_size: int) -> float:
    """Over all tokens of all targets."""
    model.eval()
    total = tokens = 0.0
    for chosen in by_length(examples, batch_size):
        batch = collate(chosen, model.config.pad_token_id).to(model.device)
        count = sum(len(e.target_ids) for e in chosen)
        total += loss_of(model, batch, dtype).item() * count
        tokens += count
    return total / tokens


@torch.no_grad()
def exact_match(base: Base, examples: list[Example], dtype: str, batch_size: int) -> float:
    """The share of greedy answers that are one of the targets, letter for letter once the tokenizer has read and written both."""
    base.model.eval()
    tokenizer, right = base.need_tokenizer(), 0

    def written(ids: list[int]) -> str:
        return tokenizer.decode(ids, skip_special_tokens=True).strip()

    for chosen in by_length(examples, batch_size):
        batch = collate(chosen, base.model.config.pad_token_id).to(base.model.device)
        wanted = [{written(tokenizer(answer).input_ids) for answer in e.answers} for e in chosen]
        longest = max(len(encode(tokenizer, answer)) for e in chosen for answer in e.answers)
        with precision(batch.inputs.device, dtype):
            answers = base.model.generate(input_ids=batch.inputs, attention_mask=batch.mask, max_new_tokens=longest, do_sample=False, num_beams=1)
        right += sum(written(ids) in accepted for ids, accepted in zip(answers.tolist(), wanted, strict=True))
    return right / len(examples)


def write_entry(folder: Path, figures: dict) -> Path:
    """Put the figures into expert.json, which `gander catalog build` reads; what people wrote there stays."""
    file = folder / ABOUT
    known = about(folder)
    evaluation = known.get("evaluation") if isinstance(known.get("evaluation"), dict) else {}
    evaluation = {key: value for key, value in evaluation.items() if not key.endswith(("_exact", "_loss", "examples"))}  # of other weights or other lines
    file.write_text(json.dumps(BLANKS | known | {"evaluation": evaluation | figures}, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return file
