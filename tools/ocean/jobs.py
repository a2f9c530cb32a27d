"""What the worker processes run. Not in __main__, for a spawned process cannot find there what it is to call."""
import json
from pathlib import Path

import torch

from . import evaluate, experts, gates


def train_expert(job: tuple[str, Path, Path]) -> None:
    kind, base_folder, folder = job
    note(folder, "lora", experts.train(kind, base_folder, folder))


def train_gates(job: tuple[str, Path, Path]) -> None:
    kind, base_folder, folder = job
    note(folder, "gates", gates.train(kind, base_folder, folder))


def evaluate_split(job: tuple[str, Path, dict[str, Path], Path, Path | None]) -> None:
    """Write all tables of one split to a file; with a folder, the lines too."""
    split, base_folder, folders, file, lines_folder = job
    torch.set_num_threads(1)
    tables = evaluate.everything(base_folder, folders, split, 200, lines_folder)
    file.write_text(json.dumps(tables, indent=1) + "\n")


def note(folder: Path, key: str, value: dict) -> None:
    """Remember how something was trained, beside it."""
    file = folder / "training.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | {key: value}, indent=1) + "\n")
