"""Gates where an expert has no LoRA.

The rule always chooses somebody. On a layer that an expert does not adapt, its tokens go to whoever else is there, though the base alone is what its author had trained with. So every expert gets
a LoRA of rank 1 that adds nothing on each layer it leaves alone, as PEFT makes one before training (B is zero). Its gate there is trained as any other: chosen, it takes the weight, and leaves the
layer as it was. What the expert does alone stays the same to the last bit.
"""
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from . import model as t5
from .contributors import LINEARS

PREFIX = "base_model.model."


def complete(base: Path, folder: Path) -> list[str]:
    """Give the expert in `folder` a LoRA of nothing wherever it has none. Returns those layers."""
    stored = load_file(folder / "adapter_model.safetensors")
    linears = t5.linears(t5.load(base))
    missing = [name for name in linears if f"{PREFIX}{name}.lora_A.weight" not in stored]
    for name in missing:
        stored[f"{PREFIX}{name}.lora_A.weight"] = torch.full((1, linears[name].in_features), linears[name].in_features**-0.5).half()
        stored[f"{PREFIX}{name}.lora_B.weight"] = torch.zeros(linears[name].out_features, 1).half()
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    config |= {"target_modules": list(LINEARS), "rank_pattern": config["rank_pattern"] | {name: 1 for name in missing}}
    save_file(stored, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    file.write_text(json.dumps(config, indent=2) + "\n")
    return missing
