"""A PEFT LoRA folder: what it holds, whether gander can apply it, and whether it fits a base."""
from dataclasses import dataclass
from pathlib import Path

from peft.utils.other import get_pattern_key
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .base import Base, read_json
from .errors import TrainError, first_line
from .layers import ROUTABLE, routable

CONFIG, WEIGHTS, GATES, ABOUT = "adapter_config.json", "adapter_model.safetensors", "gates.safetensors", "expert.json"
PREFIX = "base_model.model."

#: each changes what is computed
MUST_BE_FALSE = ("use_dora", "lora_bias", "fan_in_fan_out", "use_qalora")
MUST_BE_EMPTY = (
    "modules_to_save", "trainable_token_indices", "layer_replication", "target_parameters", "alora_invocation_tokens", "use_bdlora", "arrow_config",
    "kasa_config", "monteclora_config")
#: other initialisations move a part of the base's weights into the adapter
PLAIN_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")


@dataclass
class Adapter:
    folder: Path
    modules: list[str]  #: that have LoRA, in the order of their names
    config: dict


def write_tensors(file: Path, tensors: dict[str, Tensor]) -> None:
    """Readable by whom the user lets read: safetensors' own writer makes files for their owner alone, and these are to be served."""
    file.write_bytes(save(tensors, metadata={"format": "pt"}))


def gate_key(module: str) -> str:
    return f"{PREFIX}{module}.lora_gate.weight"


def read_adapter(folder: Path) -> Adapter:
    """Read configuration and shapes, and refuse by name what is not a plain LoRA on a T5's linear layers."""
    if not (folder / CONFIG).is_file():
        raise TrainError("io", folder, f"has no {CONFIG}", "a folder as PEFT saves a LoRA")
    if not (folder / WEIGHTS).is_file():
        raise TrainError("io", folder, f"has no {WEIGHTS}", "weights in safetensors (save an adapter_model.bin again with PEFT)")
    config = read_json(folder / CONFIG)
    refuse_other_methods(folder / CONFIG, config)
    shapes = read_shapes(folder / WEIGHTS)
    factors: dict[str, dict[str, tuple[int, ...]]] = {}
    for key, shape in shapes.items():
        module, part = parse_key(folder / WEIGHTS, key)
        if part == "lora_gate":
            check_gate(f"{folder / WEIGHTS}: {key}", shape, shapes.get(f"{PREFIX}{module}.lora_A.weight"))
            raise TrainError("unsupported", f"{folder / WEIGHTS}: {key}", "is a gate inside the adapter file", "an adapter without gates")
        factors.setdefault(module, {})[part] = shape
    if not factors:
        raise TrainError("missing-tensor", folder / WEIGHTS, "has no LoRA factors", "lora_A.weight and lora_B.weight of some modules")
    for module, parts in factors.items():
        check_pair(folder / WEIGHTS, module, parts)
        rank, wanted = parts["lora_A"][0], rank_of(config, module)
        if rank != wanted:
            raise TrainError("shape-mismatch", f"{folder / WEIGHTS}: {PREFIX}{module}.lora_A.weight", f"has {rank} rows", f"{wanted}, its rank by {CONFIG}")
    if (folder / GATES).is_file():
        for key, shape in read_shapes(folder / GATES).items():
            module, part = parse_key(folder / GATES, key)
            check_gate(f"{folder / GATES}: {key}", shape, factors.get(module, {}).get("lora_A"))
    return Adapter(folder, sorted(factors), config)


def rank_of(config: dict, module: str) -> int:
    patterns = config.get("rank_pattern") or {}
    return patterns.get(get_pattern_key(patterns, module), config.get("r", 8))


def refuse_other_methods(file: Path, config: dict) -> None:
    def refuse(key: str, expected: str) -> TrainError:
        return TrainError("unsupported", f"{file}: {key}", f"is {config.get(key)!r}", expected)

    if config.get("peft_type") != "LORA":
        raise refuse("peft_type", "'LORA'")
    for key in MUST_BE_FALSE:
        if config.get(key):
            raise refuse(key, "false: gander applies plain LoRA")
    if config.get("bias") not in (None, "none"):
        raise refuse("bias", "'none': an expert may not change the base")
    for key in MUST_BE_EMPTY:
        if config.get(key):
            raise refuse(key, "nothing: gander applies plain LoRA")
    if config.get("init_lora_weights") not in PLAIN_STARTS:
        raise refuse("init_lora_weights", "one that leaves the base as it is (PEFT can convert when it saves)")


def read_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(file, "pt") as tensors:
            return {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}
    except (SafetensorError, OSError) as error:
        raise TrainError("invalid-file", file, first_line(error), "a safetensors file") from error


def parse_key(file: Path, key: str) -> tuple[str, str]:
    """A tensor's name -> module and lora_A, lora_B or lora_gate."""
    module, _, part = key.removeprefix(PREFIX).removesuffix(".weight").rpartition(".")
    plain = key.startswith(PREFIX) and key.endswith(".weight") and part in ("lora_A", "lora_B", "lora_gate")
    if not plain:
        raise TrainError("unsupported", f"{file}: {key}", "is no part of a plain LoRA", "lora_A.weight and lora_B.weight alone")
    if not ROUTABLE.fullmatch(module):
        raise TrainError("unsupported", f"{file}: {key}", "is not on a linear layer of a T5 block", "q, k, v, o, wi, wi_0, wi_1 or wo of encoder or decoder")
    return module, part


def check_pair(file: Path, module: str, parts: dict[str, tuple[int, ...]]) -> None:
    for part in ("lora_A", "lora_B"):
        place = f"{file}: {PREFIX}{module}.{part}.weight"
        if part not in parts:
            raise TrainError("missing-tensor", place, "is absent", "both factors of a module")
        if len(parts[part]) != 2:
            raise TrainError("shape-mismatch", place, f"has shape {parts[part]}", "a matrix")
    rank, columns = parts["lora_A"][0], parts["lora_B"][1]
    if rank != columns:
        raise TrainError("shape-mismatch", f"{file}: {PREFIX}{module}.lora_B.weight", f"has {columns} columns", f"{rank}, the rows of A")


def check_gate(place: str, shape: tuple[int, ...], factor: tuple[int, ...] | None) -> None:
    """A gate reads what the module's A (rank, d_in) reads."""
    if factor is None:
        raise TrainError("missing-tensor", place, "is the gate of a module without LoRA", "gates of modules with LoRA alone")
    if shape != factor[1:]:
        raise TrainError("shape-mismatch", place, f"has shape {shape}", f"{factor[1:]}, the module's inputs")


def check_fit(adapter: Adapter, base: Base) -> list[str]:
    """Refuse a base whose layers have other shapes. Returns what looks odd but may be right."""
    layers = routable(base.model)
    file = adapter.folder / WEIGHTS
    shapes = read_shapes(file)
    for module in adapter.modules:
        if module not in layers:
            raise TrainError("wrong-base", f"{file}: {PREFIX}{module}", f"is a module that {base.name} does not have", "an adapter of this base")
        outputs, inputs = layers[module].weight.shape
        for part, axis, size in (("lora_A", 1, inputs), ("lora_B", 0, outputs)):
            key = f"{PREFIX}{module}.{part}.weight"
            if shapes[key][axis] != size:
                wanted = (shapes[key][0], inputs) if part == "lora_A" else (outputs, shapes[key][1])
                raise TrainError("wrong-base", f"{file}: {key}", f"has shape {shapes[key]}", f"{wanted}, for {base.name} maps {inputs} to {outputs} there")
    known = about(adapter.folder).get("evaluation", {})
    trained_on = known.get("base_fingerprint") if isinstance(known, dict) else None
    if trained_on and trained_on != base.fingerprint:
        raise TrainError("wrong-base", adapter.folder / ABOUT, f"says that the adapter was made on a base with fingerprint {trained_on}", f"{base.fingerprint}, that of {base.name}")
    named = adapter.config.get("base_model_name_or_path")
    if named and not trained_on and Path(named).name != Path(base.name).name:
        return [f"{adapter.folder / CONFIG} names the base {named}; make sure that {base.name} is the same model"]
    return []


def about(folder: Path) -> dict:
    """What expert.json says of the expert, for people; nothing if it is not there."""
    return read_json(folder / ABOUT) if (folder / ABOUT).is_file() else {}
