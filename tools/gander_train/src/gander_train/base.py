"""A base model to train against: a Hugging Face folder, a name on the Hugging Face Hub, or a GGUF file."""
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from huggingface_hub import snapshot_download
from safetensors import safe_open
from torch import nn
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedTokenizerBase

from .errors import TrainError, first_line
from .fingerprint import fingerprint
from .layers import routable

HEAD = "lm_head.weight"
#: what a base on the Hub is made of; other copies of the weights are left there
HUB_FILES = ["*.json", "*.safetensors", "*.model"]
OLD_WEIGHTS = "pytorch_model*.bin"


@dataclass
class Base:
    name: str  #: as the user gave it
    model: nn.Module  #: frozen, in float32
    fingerprint: str
    weights: str  #: how they were stored: "F32", "Q8_0", …
    tokenizer: PreTrainedTokenizerBase | None = None

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the model to where it runs. In bfloat16 the matrices of the blocks are; norms, embeddings and head stay as they are."""
        for layer in routable(self.model).values():
            layer.to(dtype)
        self.model.to(device)

    def need_tokenizer(self) -> PreTrainedTokenizerBase:
        if self.tokenizer is None:
            raise TrainError("no-tokenizer", self.name, "has no tokenizer", "tokenizer.json or spiece.model in its folder, or --tokenizer")
        return self.tokenizer


def open_base(name: str, tokenizer: str | None = None) -> Base:
    """`tokenizer` is a folder or a name on the Hub, for a base that has none."""
    transformers.logging.set_verbosity_error()  # it warns that the head is not tied; so it should be
    transformers.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # PEFT asks it for what it will rename
    path = Path(name)
    if path.suffix == ".gguf":
        from .gguf_base import open_gguf  # the gguf package is an extra

        base = open_gguf(path)
    elif not path.exists() and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        base = open_folder(download(name), name)
    else:
        base = open_folder(path, name)
    base.model.requires_grad_(False)
    if tokenizer:
        base.tokenizer = load_tokenizer(tokenizer)
    return base


def download(name: str) -> Path:
    try:
        folder = Path(snapshot_download(name, allow_patterns=HUB_FILES))
        if not any(folder.glob("*.safetensors")):
            snapshot_download(name, allow_patterns=OLD_WEIGHTS)
        return folder
    except Exception as error:
        raise TrainError("io", name, first_line(error), "a folder, a .gguf file, or a model on the Hugging Face Hub") from error


def open_folder(folder: Path, name: str) -> Base:
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise TrainError("io", name, "is no folder with a config.json", "a Hugging Face folder, a .gguf file, or a model on the Hub")
    kind = read_json(config_file).get("model_type")
    if kind not in ("t5", "mt5"):
        raise TrainError("unsupported", config_file, f"model_type is {kind!r}", "'t5' or 'mt5'")
    try:
        model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    except Exception as error:
        raise TrainError("invalid-file", folder, first_line(error), "a checkpoint that transformers can load") from error
    head, weights = stored_head(folder)
    if head is not None:
        model.lm_head.weight = nn.Parameter(head.float())  # whatever the configuration says of ties: as gander reads it
    base = Base(name, model, fingerprint(model, head is not None), weights)
    if any((folder / file).exists() for file in ("tokenizer.json", "spiece.model", "tokenizer_config.json")):
        base.tokenizer = load_tokenizer(folder)
    return base


def stored_head(folder: Path) -> tuple[torch.Tensor | None, str]:
    """The checkpoint's own lm_head.weight, if it has one, and the type that its tensors are stored in."""
    head, kind = None, "F32"
    for name, tensor in stored_tensors(folder, (HEAD, "shared.weight")):
        kind = {torch.float16: "F16", torch.bfloat16: "BF16"}.get(tensor.dtype, "F32")
        head = tensor if name == HEAD else head
    return head, kind


def stored_tensors(folder: Path, names: tuple[str, ...]) -> Iterator[tuple[str, torch.Tensor]]:
    """Those of the checkpoint's tensors that it has, as they are stored."""
    files = sorted(folder.glob("*.safetensors"))
    for file in files:
        with safe_open(file, "pt") as tensors:
            yield from ((name, tensors.get_tensor(name)) for name in names if name in tensors.keys())
    for file in [] if files else sorted(folder.glob(OLD_WEIGHTS)):
        tensors = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        yield from ((name, tensors[name]) for name in names if name in tensors)


def load_tokenizer(place: str | Path) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(place)
    except Exception as error:
        raise TrainError("no-tokenizer", place, first_line(error), "a tokenizer that transformers can load") from error


def read_json(file: Path) -> dict:
    try:
        value = json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise TrainError("io", file, "is not there", "a file that can be read") from error
    except (ValueError, OSError) as error:
        raise TrainError("invalid-file", file, first_line(error), "JSON") from error
    if not isinstance(value, dict):
        raise TrainError("invalid-file", file, f"is a {type(value).__name__}", "a JSON object")
    return value
