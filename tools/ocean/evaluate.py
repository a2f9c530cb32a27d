"""What the ocean can do: exact lines, right fields, and who did the work.

Test sets are made here from values that no training saw: per kind, lines with fields of that kind; mixed lines, whose fields are all to be put into standard form;
and plain lines, to be left as they are.
"""
import json
import random
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import experts, lines, model as t5, routing, training
from .kinds import KINDS
from .tokenizer import CLOSE, EOS, MARKER_ID, PAD, Codec
from .training import Example

SEED = {"validation": 50, "test": 70}
KIND_OF_MARKER = {MARKER_ID[f"<{kind}>"]: kind for kind in KINDS}


class Case(NamedTuple):
    """One line to be cleaned."""

    input: str
    target: str
    example: Example  #: the same as ids


class Score(NamedTuple):
    """Shares, 0 to 1."""

    exact: float  #: lines that come out letter for letter
    fields: float  #: fields that come out right, of those in the line


def cases(codec: Codec, name: str, split: str, count: int, known: list[str] = list(KINDS)) -> list[Case]:
    """`name` is a kind, "mixed" (two or three of the `known` kinds) or "plain"."""
    rng = random.Random(f"{SEED[split]} {name}")
    made = []
    for _ in range(count):
        if name == "mixed":
            line = lines.several(known, rng, split)
        else:
            line = lines.line([], rng, split) if name == "plain" else lines.own(name, rng, split)
        clean = set(KINDS) if name in ("mixed", "plain") else {name}
        ids, kinds = codec.marked(line, markers=False)
        targets, target_kinds = codec.marked(line, clean)
        made.append(Case(lines.text(line), lines.text(line, clean), Example(ids, targets, kinds, target_kinds)))
    return made


@torch.no_grad()
def generate(model: nn.Module, codec: Codec, rows: list[Case], size: int = 400) -> list[list[int]]:
    """Greedy answers, as ids up to </s>, in the order of `rows`."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].example.targets))
    answers: list[list[int]] = [[] for _ in rows]
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        inputs = training.pad([rows[i].example.inputs for i in chosen], PAD)
        longest = max(len(rows[i].example.targets) for i in chosen)
        out = model.generate(input_ids=inputs, attention_mask=(inputs != PAD).long(), max_new_tokens=longest + 6, do_sample=False, num_beams=1)
        for i, ids in zip(chosen, out[:, 1:].tolist()):
            answers[i] = ids[: ids.index(EOS)] if EOS in ids else ids
    return answers


def fields_of(codec: Codec, ids: list[int]) -> list[tuple[str, str]]:
    """(kind, text) of every marked field."""
    found, kind, inside = [], None, []
    for token in ids:
        if token in KIND_OF_MARKER:
            kind, inside = KIND_OF_MARKER[token], []
        elif token == MARKER_ID[CLOSE]:
            if kind:
                found.append((kind, codec.decode(inside).strip()))
            kind = None
        else:
            inside.append(token)
    return found


def scores(model: nn.Module, codec: Codec, sets: dict[str, list[Case]]) -> dict[str, dict[str, float]]:
    """set -> Score, from greedy answers; all sets are answered together."""
    rows = [row for name in sets for row in sets[name]]
    answers = iter(generate(model, codec, rows))
    found = {}
    for name in sets:
        exact = right = asked = 0
        for row in sets[name]:
            ids = next(answers)
            exact += codec.decode(ids) == row.target
            want, got = fields_of(codec, row.example.targets), fields_of(codec, ids)
            asked += len(want)
            for field in want:
                if field in got:
                    got.remove(field)
                    right += 1
        found[name] = Score(exact / len(sets[name]), right / asked if asked else float("nan"))._asdict()
    return found


@torch.no_grad()
def forced_scores(model: nn.Module, sets: dict[str, list[Case]]) -> dict[str, float]:
    """set -> share of lines whose every token is the likeliest one after the right beginning: what greedy decoding would get right, in one pass."""
    found = {}
    for name, rows in sets.items():
        batch = training.collate([row.example for row in rows])
        best = model(input_ids=batch.inputs, attention_mask=batch.mask, labels=batch.labels).logits.argmax(-1)
        found[name] = ((best == batch.labels) | (batch.labels == -100)).all(-1).float().mean().item()
    return found


@torch.no_grad()
def shares(model: nn.Module, strategy: routing.Strategy, rows: list[Case], kind: str, expert: int) -> dict[str, float]:
    """layer -> the mean routed weight that goes to the kind's own expert (number `expert`), over the tokens of its fields (the right answer forced)."""
    number = list(KINDS).index(kind)
    batch = training.collate([row.example for row in rows])
    model(input_ids=batch.inputs, attention_mask=batch.mask, labels=batch.labels)
    found = {}
    for layer, weights in strategy.weights.items():
        reads_input = layer.startswith("encoder") or layer.endswith(("EncDecAttention.k", "EncDecAttention.v"))
        kinds = batch.input_kinds if reads_input else batch.target_kinds
        found[layer] = weights[kinds == number + 1][:, expert].mean().item()
    return found


def everything(base: Path, folders: dict[str, Path], split: str, count: int, save: Path | None = None) -> dict:
    """All tables. With `save`, the test lines are written there too."""
    codec = Codec(base)
    sets = {name: cases(codec, name, split, count, list(folders)) for name in [*folders, "mixed", "plain"]}
    if save:
        save.mkdir(parents=True, exist_ok=True)
        for name, rows in sets.items():
            (save / f"{name}.jsonl").write_text("".join(json.dumps({"input": r.input, "target": r.target}, ensure_ascii=False) + "\n" for r in rows))
    model, strategy = routing.load(base, list(folders.values()))
    assert list(folders) == [k for k in KINDS if k in folders]
    result: dict = {"split": split, "lines": count}
    for title, name, k in (("base", "none", 0), ("phatgoose", "phatgoose", 2), ("phatgoose_k1", "phatgoose", 1), ("mean", "mean", 0)):
        strategy.use(name, k)
        result[title] = scores(model, codec, sets)
        print(title, {s: round(v["exact"], 3) for s, v in result[title].items()}, flush=True)
    strategy.use("phatgoose")
    result["share"] = {kind: shares(model, strategy, sets[kind], kind, i) for i, kind in enumerate(folders)}
    result["alone"] = {}
    for kind, folder in folders.items():
        result["alone"][kind] = scores(experts.apply_alone(base, folder), codec, {kind: sets[kind]})[kind]
        print("alone", kind, result["alone"][kind], flush=True)
    return result


def by_part(share: dict[str, float]) -> dict[str, float]:
    """Mean share per stack, block and kind of layer, e.g. "encoder 0 SelfAttention"."""
    parts: dict[str, list[float]] = {}
    for layer, value in share.items():
        stack, _, block, _, _, module, _ = layer.split(".")
        parts.setdefault(f"{stack} {block} {module}", []).append(value)
    return {part: sum(v) / len(v) for part, v in parts.items()}
