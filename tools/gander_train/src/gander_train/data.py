"""Examples out of a JSONL file, and their order: which examples a step sees follows from the seed and the step's number alone."""
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from .errors import TrainError, first_line

IGNORED = -100  #: labels that the loss skips


@dataclass(frozen=True)
class Example:
    input_ids: list[int]
    target_ids: list[int]  #: of the first target
    answers: list[str]  #: every target


@dataclass(frozen=True)
class Batch:
    """All (examples, longest)."""

    inputs: Tensor
    mask: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.inputs.to(device), self.mask.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Limits:
    """In tokens, the end token included."""

    input: int = 512
    target: int = 512
    vocabulary: int | None = None


def read_examples(file: Path, tokenizer: PreTrainedTokenizerBase, limits: Limits) -> tuple[list[Example], list[str]]:
    """Every line is `{"input": "…", "target": "…"}`, or has `"targets": ["…", …]`: the first is learned, any counts as right.

    Returns examples and warnings. Inputs that are too long are cut, as in the paper, with a warning; a target that is too long is an error.
    """
    try:
        lines = file.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainError("io", file, first_line(error), "a JSONL file in UTF-8") from error
    examples, cut, unknown = [], [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{file}:{number}"
        text, answers = parse(place, line)
        inputs, targets = encode(tokenizer, text), encode(tokenizer, answers[0])
        if len(targets) > limits.target:
            raise TrainError("invalid-file", place, f"the target has {len(targets)} tokens", f"at most {limits.target} (--max-target)")
        highest = max(max(inputs), max(targets))
        if limits.vocabulary is not None and highest >= limits.vocabulary:
            raise TrainError("token-out-of-range", place, f"has token {highest}", f"ids below {limits.vocabulary}, the model's vocabulary: is it its tokenizer?")
        if len(inputs) > limits.input:
            inputs = inputs[: limits.input - 1] + inputs[-1:]
            cut.append(place)
        if tokenizer.unk_token_id in targets:
            unknown.append(place)
        examples.append(Example(inputs, targets, answers))
    if not examples:
        raise TrainError("empty-input", file, "has no examples", 'lines like {"input": "…", "target": "…"}')
    warnings = []
    if cut:
        warnings.append(f"{len(cut)} inputs are longer than {limits.input} tokens and were cut (first: {cut[0]}; --max-input)")
    if unknown:
        warnings.append(f"{len(unknown)} targets have characters that the tokenizer does not know (first: {unknown[0]}); the model cannot write them")
    return examples, warnings


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """With the end token, which not every tokenizer adds by itself."""
    ids, end = tokenizer(text).input_ids, tokenizer.eos_token_id
    return ids if end is None or ids[-1:] == [end] else [*ids, end]


def parse(place: str, line: str) -> tuple[str, list[str]]:
    """Input and targets of one line."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise TrainError("invalid-file", place, f"is not JSON: {first_line(error)}", "one JSON object a line") from error
    if not isinstance(row, dict):
        raise TrainError("invalid-file", place, f"is a {type(row).__name__}", "an object with input and target")
    if "input" not in row:
        raise TrainError("invalid-file", place, 'has no "input"', "an object with input and target")
    if not isinstance(row["input"], str):
        raise TrainError("invalid-file", place, f'"input" is a {type(row["input"]).__name__}', "a string")
    if "target" not in row and "targets" not in row:
        raise TrainError("invalid-file", place, 'has no "target"', "an object with input and target")
    answers = row["targets"] if "targets" in row else [row["target"]]
    if not isinstance(answers, list) or not answers or not all(isinstance(answer, str) for answer in answers):
        raise TrainError("invalid-file", place, 'its "target" is no string', "a string, or \"targets\" with a list of strings")
    return row["input"], answers


def overlap(training: list[Example], held_out: list[Example]) -> int:
    """How many held-out examples were trained on."""
    seen = {(tuple(e.input_ids), tuple(e.target_ids)) for e in training}
    return sum((tuple(e.input_ids), tuple(e.target_ids)) in seen for e in held_out)


class Order:
    """An endless sequence of examples: one shuffle after another, each fixed by seed and number."""

    def __init__(self, examples: list[Example], seed: int, pad: int) -> None:
        self.examples, self.seed, self.pad = examples, seed, pad
        self.epoch, self.shuffled = -1, []

    def at(self, position: int) -> Example:
        epoch, index = divmod(position, len(self.examples))
        if epoch != self.epoch:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self.epoch, self.shuffled = epoch, torch.randperm(len(self.examples), generator=generator).tolist()
        return self.examples[self.shuffled[index]]

    def batch(self, number: int, size: int) -> Batch:
        """The batch of that number, counted from 0."""
        return collate([self.at(position) for position in range(number * size, (number + 1) * size)], self.pad)


def collate(examples: list[Example], pad: int) -> Batch:
    inputs = padded([e.input_ids for e in examples], pad)
    mask = padded([[1] * len(e.input_ids) for e in examples], 0)
    return Batch(inputs, mask, padded([e.target_ids for e in examples], IGNORED))


def padded(rows: list[list[int]], value: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])
