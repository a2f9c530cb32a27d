"""Checkpoints of r-three/phatgoose, as PEFT folders with gates.

A checkpoint with experts (`put_index_to_lora` in scripts/manipulations.py) has, for module M and expert i,

    M._addons.expert_lora.layer1__i (d_in, r)     M._addons.expert_lora.layer2__i (r, d_out)     M._addons.router.expert_embeddings__i (d_in)

and computes (u layer1) layer2 / r: PEFT's A and B are the transposes, and alpha is 1. A checkpoint of a LoRA before that has M.expert_lora_a (r, d_in) and M.expert_lora_b
(d_out, r), and no gates; one whose gates were just trained has M._addons.expert_lora.expert_input_gate (d_in) in the router's place.
"""
import json
import re
from collections import defaultdict
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from .adapter import CONFIG, GATES, PREFIX, WEIGHTS, check_gate, check_pair, gate_key, write_tensors
from .errors import TrainError, first_line
from .layers import ROUTABLE

FORMS = (
    (re.compile(r"(?P<module>.+)\._addons\.expert_lora\.layer1__(?P<expert>\d+)"), "lora_A", True),
    (re.compile(r"(?P<module>.+)\._addons\.expert_lora\.layer2__(?P<expert>\d+)"), "lora_B", True),
    (re.compile(r"(?P<module>.+)\._addons\.router\.expert_embeddings__(?P<expert>\d+)"), "gate", False),
    (re.compile(r"(?P<module>.+)\._addons\.expert_lora\.expert_input_gate"), "gate", False),
    (re.compile(r"(?P<module>.+)\.expert_lora_a"), "lora_A", False),
    (re.compile(r"(?P<module>.+)\.expert_lora_b"), "lora_B", False),
)
#: copies of the embedding, which some checkpoints carry along
IGNORED = re.compile(r"(encoder|decoder)\.embed_tokens\.weight|shared\.weight")
FLOATS = (torch.float32, torch.float16, torch.bfloat16)

Parts = dict[str, Tensor]


def convert(file: Path, out: Path, names: list[str] | None = None, base: str = "google/t5-xl-lm-adapt") -> list[Path]:
    """Write one folder per expert into `out`. `names` are the experts' ids, by number; without, `expert_0` and so on."""
    experts = sort_out(file, read_checkpoint(file))
    numbers = sorted(experts)
    names = names or [f"expert_{number}" for number in numbers]
    if len(names) != len(numbers):
        raise TrainError("invalid-option", "--names", f"are {len(names)}", f"{len(numbers)}, one for each expert in {file}")
    if len(set(names)) != len(names) or not all(re.fullmatch(r"[\w.-]+", name) for name in names):
        raise TrainError("invalid-option", "--names", "do not make folders", "different names of letters, digits, dots, dashes and underscores")
    for number in numbers:
        check(file, experts[number], number)
    for number, name in zip(numbers, names, strict=True):
        write(out / name, experts[number], base)
    return [out / name for name in names]


def read_checkpoint(file: Path) -> dict[str, Tensor]:
    try:
        # weights_only: a pickle may otherwise run any program
        tensors = load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainError("invalid-file", file, first_line(error), "a checkpoint of r-three/phatgoose: tensors by name") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise TrainError("invalid-file", file, "is not a table of tensors", "a checkpoint of r-three/phatgoose: tensors by name")
    return tensors


def sort_out(file: Path, tensors: dict[str, Tensor]) -> dict[int, dict[str, Parts]]:
    """expert number -> module -> its lora_A (r, d_in), lora_B (d_out, r) and gate (d_in)."""
    experts: dict[int, dict[str, Parts]] = defaultdict(lambda: defaultdict(dict))
    for key, tensor in tensors.items():
        if IGNORED.fullmatch(key):
            continue
        found = next(((match, part, turn) for form, part, turn in FORMS if (match := form.fullmatch(key))), None)
        if found is None or not ROUTABLE.fullmatch(found[0]["module"]):
            raise TrainError("unsupported", f"{file}: {key}", "is no tensor of a PHATGOOSE expert", "layer1__i, layer2__i and expert_embeddings__i of a T5's linear layers")
        match, part, turn = found
        if tensor.dtype not in FLOATS:
            raise TrainError("unsupported", f"{file}: {key}", f"is {tensor.dtype}", "float32, float16 or bfloat16")
        if not tensor.isfinite().all():
            raise TrainError("not-finite", f"{file}: {key}", "has NaN or infinite numbers", "finite numbers")
        if turn and tensor.dim() != 2:
            raise TrainError("shape-mismatch", f"{file}: {key}", f"has shape {tuple(tensor.shape)}", "a matrix")
        number = int(match.groupdict().get("expert") or 0)
        experts[number][match["module"]][part] = (tensor.T if turn else tensor).contiguous()
    if not experts:
        raise TrainError("missing-tensor", file, "has no experts", "layer1__i, layer2__i and expert_embeddings__i")
    return experts


def check(file: Path, modules: dict[str, Parts], number: int) -> None:
    """Both factors everywhere, one rank, and gates as long as their layer's input."""
    ranks = set()
    for module, parts in modules.items():
        shapes = {part: tuple(tensor.shape) for part, tensor in parts.items()}
        place = f"{file}: expert {number}: {module}"
        if "gate" in shapes:
            check_gate(f"{place}: gate", shapes["gate"], shapes.get("lora_A"))
        check_pair(Path(f"{file}: expert {number}"), module, shapes)
        ranks.add(shapes["lora_A"][0])
    if len(ranks) > 1:
        raise TrainError("shape-mismatch", f"{file}: expert {number}", f"has ranks {sorted(ranks)}", "one rank")


def write(folder: Path, modules: dict[str, Parts], base: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rank = next(iter(modules.values()))["lora_A"].shape[0]
    config = {
        "peft_type": "LORA", "task_type": "SEQ_2_SEQ_LM", "base_model_name_or_path": base, "r": rank, "lora_alpha": 1, "lora_dropout": 0.0, "bias": "none",
        "inference_mode": True, "target_modules": sorted(modules)}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    factors = {f"{PREFIX}{module}.{part}.weight": tensor for module, parts in modules.items() for part, tensor in parts.items() if part != "gate"}
    write_tensors(folder / WEIGHTS, factors)
    if gates := {gate_key(module): parts["gate"] for module, parts in modules.items() if "gate" in parts}:
        write_tensors(folder / GATES, gates)
