"""Experts that are not of the ocean, to ask what it stands: one for everything, bad ones, and gates trained otherwise.

    python -m ocean.variants --out DIR --only NAME,...

    multitask     one LoRA trained on all kinds at once: what apart-trained experts are measured against
    half          a date expert after 300 steps
    copy          the phone expert once more
    noise         random A and B as large as the date expert's; its gates trained on dates by the language loss alone
    noise-told    the same, its gates told that dates are theirs: a bad expert that claims a kind
    noise-gates   random A and B, and random gates
    gates-<n>     experts of the ocean with gates of n steps
    untold        experts of the ocean with gates trained by the language loss alone, as in the paper
    examples-<n>  experts of the ocean with gates trained on n lines, over and over
"""
import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from . import experts, gates, jobs, model as t5
from .contributors import MULTITASK
from .kinds import KINDS

TOKENIZER_FILES = ("spiece.model", "tokenizer.json", "tokenizer_config.json")
LORA_FILES = ("adapter_config.json", "adapter_model.safetensors")


def multitask(out: Path) -> None:
    """As a LoRA, and as a model of its own, which `gander eval` asks beside the ocean."""
    base, folder, merged = out / "base-hf", out / "variants" / MULTITASK, out / "variants" / f"{MULTITASK}-hf"
    if not (folder / "adapter_model.safetensors").exists():
        jobs.note(folder, "lora", experts.train(MULTITASK, base, folder))
    experts.apply_alone(base, folder).merge_and_unload().save_pretrained(merged)
    t5.untie(merged)
    for file in TOKENIZER_FILES:
        shutil.copyfile(base / file, merged / file)


def half(out: Path) -> None:
    folder = out / "variants/half"
    experts.train_cycle("date", out / "base-hf", None, folder, 0, 300, experts.CYCLES[0])
    gates.train("date", out / "base-hf", folder)


def noise(out: Path, name: str) -> None:
    folder = copy_lora(out / "experts/date", out / "variants" / name)
    stored = folder / "adapter_model.safetensors"
    torch.manual_seed(4)
    save_file({key: (torch.randn(v.shape) * v.float().std()).half() for key, v in load_file(stored).items()}, stored, metadata={"format": "pt"})
    gates.train("date", out / "base-hf", folder, told=1.0 if name == "noise-told" else 0.0)
    if name == "noise-gates":
        stored = folder / "gates.safetensors"
        save_file({key: (torch.randn(v.shape) * v.float().std()).half() for key, v in load_file(stored).items()}, stored, metadata={"format": "pt"})


def regated(out: Path, name: str, kinds: list[str], **options: float) -> None:
    for kind in kinds:
        folder = copy_lora(out / "experts" / kind, out / "variants" / name / kind)
        if not (folder / "gates.safetensors").exists():
            gates.train(kind, out / "base-hf", folder, **options)


def copy_lora(expert: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in LORA_FILES:
        shutil.copyfile(expert / file, folder / file)
    return folder


def make(out: Path, name: str, kinds: list[str]) -> None:
    start, _, number = name.partition("-")
    if name == MULTITASK:
        multitask(out)
    elif name == "half":
        half(out)
    elif name == "copy":
        folder = copy_lora(out / "experts/phone", out / "variants/copy")
        shutil.copyfile(out / "experts/phone/gates.safetensors", folder / "gates.safetensors")
    elif start == "noise":
        noise(out, name)
    elif name == "untold":
        regated(out, name, kinds, told=0.0)
    elif start == "gates":
        regated(out, name, kinds, steps=int(number))
    elif start == "examples":
        regated(out, name, kinds, examples=int(number))
    else:
        raise SystemExit(f"{name}: not a variant; known are those of --help")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ocean.variants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder that the ocean was trained in")
    parser.add_argument("--only", required=True, help="comma-separated")
    parser.add_argument("--kinds", default=",".join(KINDS), help="whose gates are trained otherwise")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.only.split(","):
        make(options.out, name, options.kinds.split(","))


if __name__ == "__main__":
    main()
