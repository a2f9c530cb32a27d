"""What the worker processes run. Not in __main__, for a spawned process cannot find there what it is to call."""
import json
from pathlib import Path

from . import abstain, experts, gates


def train_expert(job: tuple[str, Path, Path, Path | None]) -> None:
    """The LoRA, then its gates."""
    kind, base_folder, folder, grown_from = job
    if not (folder / "adapter_model.safetensors").exists():
        note(folder, "lora", experts.train(kind, base_folder, folder, grown_from))
    abstain.complete(base_folder, folder)
    note(folder, "gates", gates.train(kind, base_folder, folder))


def note(folder: Path, key: str, value: dict) -> None:
    """Remember how something was trained, beside it."""
    file = folder / "training.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | {key: value}, indent=1) + "\n")
