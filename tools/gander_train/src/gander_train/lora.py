"""A LoRA for those who have none: PEFT's own, with the loop of the gates."""
import math
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import nn

from .adapter import WEIGHTS, write_tensors
from .base import Base
from .errors import TrainError
from .layers import ROUTABLE

#: what --targets may say besides a regular expression
TARGETS = {"all": r".*\.(q|k|v|o|wi|wi_0|wi_1|wo)", "qv": r".*\.(q|v)"}


def add_lora(base: Base, rank: int, alpha: float, targets: str, seed: int) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """A LoRA that does nothing yet. Returns the PEFT model and the parameters to train."""
    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=TARGETS.get(targets, targets), lora_dropout=0.0, bias="none", task_type="SEQ_2_SEQ_LM")
    base.model.name_or_path = base.name  # what PEFT writes into adapter_config.json
    try:
        model = get_peft_model(base.model, config)
    except ValueError as error:
        raise TrainError("invalid-option", "--targets", f"{targets!r} names no layer of {base.name}", "all, qv, or an expression for whole names of modules") from error
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name in parameters:
        module = name.removeprefix("base_model.model.").partition(".lora_")[0]
        if not ROUTABLE.fullmatch(module):
            raise TrainError("invalid-option", "--targets", f"names {module}", "linear layers of the blocks alone")
    return model, parameters


def save_lora(model: nn.Module, folder: Path) -> None:
    """As PEFT saves it, in float16 where the numbers allow: half the bytes to stream."""
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
    stored = {key: tensor.contiguous() for key, tensor in load_file(folder / WEIGHTS).items()}
    halved = {key: tensor.half() for key, tensor in stored.items()}
    fits = all(math.isfinite(tensor.abs().max().item()) for tensor in halved.values())
    (folder / WEIGHTS).unlink()  # or the new file keeps the rights of PEFT's
    write_tensors(folder / WEIGHTS, halved if fits else stored)
