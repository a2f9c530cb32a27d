"""The command line: `gander-train lora`, `gander-train gate`, `gander-train convert`."""
import argparse
import hashlib
import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from torch import nn

from . import convert, lora
from .adapter import ABOUT, CONFIG, WEIGHTS, check_fit, read_adapter
from .base import Base, open_base
from .data import Example, Limits, overlap, read_examples
from .errors import Interrupted, TrainError, first_line
from .evaluate import evaluate, write_entry
from .gates import attach, near_zero, save_gates, wrap
from .training import UNFINISHED, Run, Settings, train

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def main(arguments: list[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    try:
        options.work(options)
    except TrainError as error:
        sys.exit(f"gander-train: {error}")  # exit status 1
    except Interrupted as stopped:
        say(f"gander-train: {stopped}")
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except torch.OutOfMemoryError as error:
        sys.exit(f"gander-train: {TrainError('out-of-memory', 'device', first_line(error), 'a smaller --batch-size, with --accumulate')}")
    except OSError as error:
        sys.exit(f"gander-train: {TrainError('io', error.filename or 'file system', error.strerror or first_line(error), 'files that can be read and written')}")


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="gander-train", description="Make an expert that gander can route to.")
    commands = root.add_subparsers(required=True, metavar="COMMAND")

    gate = commands.add_parser("gate", help="train the gates of a LoRA", description="Train the gates of a PEFT LoRA; base and LoRA are frozen.")
    gate.add_argument("--adapter", type=Path, required=True, help="PEFT folder of the LoRA")
    add_training(gate, steps=100, rate=5e-3)
    gate.set_defaults(work=train_gates)

    new = commands.add_parser("lora", help="train a LoRA, for those who have none", description="Train a LoRA with PEFT; the base is frozen.")
    new.add_argument("--rank", type=positive, default=16)
    new.add_argument("--alpha", type=float, default=32, help="the LoRA is scaled with alpha / rank (default: 32)")
    new.add_argument("--targets", default="all", help="all linear layers of the blocks (default), qv, or an expression for whole names of modules")
    add_training(new, steps=1000, rate=1e-3)
    new.set_defaults(work=train_lora)

    old = commands.add_parser("convert", help="experts of r-three/phatgoose as PEFT folders", description="Convert a checkpoint of r-three/phatgoose.")
    old.add_argument("checkpoint", type=Path, help="best.pt or a safetensors file")
    old.add_argument("-o", "--out", type=Path, required=True, help="folder to put one folder per expert in")
    old.add_argument("--names", type=lambda text: text.split(","), help="ids of the experts, comma-separated, in the order of their numbers")
    old.add_argument("--base-name", default="google/t5-xl-lm-adapt", help="what to call the base (default: %(default)s)")
    old.set_defaults(work=convert_checkpoint)
    return root


def add_training(command: argparse.ArgumentParser, steps: int, rate: float) -> None:
    command.add_argument("--base", required=True, help="Hugging Face folder, a name on the Hub, or a GGUF file")
    command.add_argument("--tokenizer", help="folder or name, if the base has none")
    command.add_argument("--data", type=Path, required=True, help='JSONL: {"input": "…", "target": "…"} a line')
    command.add_argument("--eval", type=Path, help="JSONL of lines that are not trained on, for the figures in the catalogue")
    command.add_argument("-o", "--out", type=Path, required=True, help="folder to write the expert to")
    command.add_argument("--steps", type=positive, default=steps, help="default: %(default)s")
    command.add_argument("--lr", type=rate_above_zero, default=rate, help="default: %(default)s")
    command.add_argument("--batch-size", type=positive, default=32, help="default: %(default)s")
    command.add_argument("--accumulate", type=positive, default=1, help="batches a step; the paper's 1024 examples are --accumulate 32 (default: 1)")
    command.add_argument("--max-input", type=positive, default=512, help="tokens; longer inputs are cut (default: 512)")
    command.add_argument("--max-target", type=positive, default=512, help="tokens; a longer target is an error (default: 512)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--device", default="auto", help="auto (default: a GPU if there is one), cpu, cuda, mps")
    command.add_argument("--dtype", choices=("auto", *DTYPES), default="auto", help="auto is bf16 on a GPU that has it, else f32")
    command.add_argument("--restart", action="store_true", help="forget an interrupted run in the same folder")


def positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def rate_above_zero(text: str) -> float:
    if not 0 < (number := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return number


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def warn(warnings: list[str]) -> None:
    for warning in warnings:
        say(f"warning: {warning}")


def train_gates(options: argparse.Namespace) -> None:
    adapter = read_adapter(options.adapter)
    base, device, settings = prepare(options)
    warn(check_fit(adapter, base))
    examples, held_out = read_data(options, base)
    same_expert(options.out, adapter.folder)
    base.prepare(device, DTYPES[settings.dtype])
    gated = attach(base, adapter)
    say(f"{len(gated)} gates, {len(examples)} examples, {settings.dtype} on {device}")
    run = begin(options, base, adapter=digest(adapter.folder / CONFIG) + digest(adapter.folder / WEIGHTS))
    loss = train(base.model, {name: layer.gate for name, layer in gated.items()}, examples, settings, device, run)

    options.out.mkdir(parents=True, exist_ok=True)
    for name in (CONFIG, WEIGHTS, ABOUT):
        if (adapter.folder / name).exists() and not (options.out / name).exists():
            shutil.copyfile(adapter.folder / name, options.out / name)
    save_gates(gated, options.out)
    undecided = near_zero(gated, settings)
    if undecided:
        warn([f"{len(undecided)} of {len(gated)} gates stayed near zero, first {undecided[0]}: the router will hardly prefer the expert there"])
    training = {"loss": round(loss, 4), "examples": len(examples), "gates": len(gated), "near_zero": len(undecided)}
    finish(options, base, gated, held_out, settings, run, gates=training)


def train_lora(options: argparse.Namespace) -> None:
    base, device, settings = prepare(options)
    examples, held_out = read_data(options, base)
    if (options.out / WEIGHTS).exists() and not (options.out / UNFINISHED).exists():
        raise TrainError("invalid-option", options.out, f"has an {WEIGHTS} already", "a folder for a new LoRA")
    base.prepare(device, DTYPES[settings.dtype])
    model, parameters = lora.add_lora(base, options.rank, options.alpha, options.targets, settings.seed)
    say(f"{sum(p.numel() for p in parameters.values())} numbers to train, {len(examples)} examples, {settings.dtype} on {device}")
    run = begin(options, base, rank=options.rank, alpha=options.alpha, targets=options.targets)
    loss = train(base.model, parameters, examples, settings, device, run)

    options.out.mkdir(parents=True, exist_ok=True)
    lora.save_lora(model, options.out)
    gated = wrap(base.model, read_adapter(options.out))
    finish(options, base, gated, held_out, settings, run, lora={"loss": round(loss, 4), "examples": len(examples)})


def convert_checkpoint(options: argparse.Namespace) -> None:
    for folder in convert.convert(options.checkpoint, options.out, options.names, options.base_name):
        print(folder)


def prepare(options: argparse.Namespace) -> tuple[Base, torch.device, Settings]:
    device = choose_device(options.device)
    dtype = options.dtype
    if dtype == "auto":
        dtype = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "f32"
    settings = Settings(options.steps, options.lr, options.batch_size, options.accumulate, options.seed, dtype)
    return open_base(options.base, options.tokenizer), device, settings


def choose_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except Exception as error:
        raise TrainError("invalid-option", f"--device {name}", first_line(error), "auto, cpu, or a device that this machine has") from error
    return device


def read_data(options: argparse.Namespace, base: Base) -> tuple[list[Example], list[Example]]:
    """What to train on, and what to evaluate on: nothing if there is no --eval."""
    limits = Limits(options.max_input, options.max_target, base.model.config.vocab_size)
    examples, warnings = read_examples(options.data, base.need_tokenizer(), limits)
    warn(warnings)
    if options.eval is None:
        return examples, []
    held_out, warnings = read_examples(options.eval, base.need_tokenizer(), limits)
    warn(warnings)
    if both := overlap(examples, held_out):
        warn([f"{both} of {len(held_out)} lines of {options.eval} are trained on too: the figures will flatter"])
    return examples, held_out


def digest(file: Path) -> str:
    """SHA-256 of the file's bytes."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def same_expert(out: Path, folder: Path) -> None:
    """Refuse to write gates over another expert."""
    there = out / WEIGHTS
    if there.exists() and digest(there) != digest(folder / WEIGHTS):
        raise TrainError("invalid-option", out, "holds another adapter", "an empty folder, or that of the adapter")


def begin(options: argparse.Namespace, base: Base, **identity: object) -> Run:
    """What must be the same for an interrupted run to go on, besides the settings."""
    limits = f"{options.max_input} {options.max_target}"
    known = {"base": base.fingerprint, "weights": base.weights, "data": digest(options.data), "limits": limits} | {k: str(v) for k, v in identity.items()}
    run = Run(options.out, known, say)
    if options.restart:
        run.file.unlink(missing_ok=True)
    return run


def finish(options: argparse.Namespace, base: Base, gated: dict[str, nn.Module], held_out: list[Example], settings: Settings, run: Run, **training: dict) -> None:
    """Evaluate, write the entry for the catalogue, and forget the checkpoint."""
    ((what, facts),) = training.items()
    facts |= {"steps": settings.steps, "examples_per_step": settings.batch_size * settings.accumulate, "rate": settings.rate, "seed": settings.seed, "dtype": settings.dtype}
    figures = {"base": base.name.rstrip("/").rpartition("/")[2], "base_fingerprint": base.fingerprint, "base_weights": base.weights, what: facts}
    if held_out:
        figures |= evaluate(base, gated, held_out, settings.dtype, settings.batch_size, with_gates=what == "gates")
    else:
        warn(["without --eval there are no figures for the catalogue"])
    file = write_entry(options.out, figures)
    run.file.unlink(missing_ok=True)
    for name in ("base", "alone", "gated"):
        if f"{name}_exact" in figures:
            print(f"{name}: {100 * figures[f'{name}_exact']:.1f} % exact, loss {figures[f'{name}_loss']:.4f}")
    print(f"wrote {options.out}; say in {file.name} what the expert does")
