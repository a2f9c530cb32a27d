"""From the folder that training leaves to the folder that the demo serves.

    python -m ocean.publish --gander ../target/release/gander --out DIR --to ../www/demo/ocean

The base becomes one Q8_0 GGUF file. The experts become two catalogues, one of each contributor: `fields` at the top, `words` in a folder of its own. Every
expert is measured as it is served, and its figures go into its catalogue:

    base_exact, alone_exact, routed_exact     lines of its own set that come out right: by the base, by the expert alone, and routed among all experts
"""
import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import examples, model as t5, sets
from .contributors import CONTRIBUTORS
from .kinds import KINDS

COMMAND = "cd tools && python -m ocean --out DIR"
COPIED = ("adapter_config.json", "adapter_model.safetensors", "gates.safetensors")
FIGURES = {"none": "base_exact", "single": "alone_exact", "phatgoose": "routed_exact"}  #: strategy -> figure


def publish(gander: Path, out: Path, to: Path) -> None:
    """Rebuild `to` from scratch."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    t5.untie(out / "base-hf")
    run(gander, "quantize", out / "base-hf", "-o", to / "base.gguf", "--type", "q8_0")
    sets.write(to / "eval", list(KINDS))
    for kind in KINDS:
        folder = folder_of(to, kind)
        folder.mkdir(parents=True)
        for name in COPIED:
            shutil.copyfile(out / "experts" / kind / name, folder / name)
        describe(kind, folder, {})
    build(gander, to)
    for kind, figures in measured(gander, to).items():
        describe(kind, folder_of(to, kind), figures)
    build(gander, to)
    vectors(gander, to)
    show(gander, to)


def home_of(to: Path, contributor: str) -> Path:
    """The folder of a contributor's catalogue."""
    return to if contributor == "fields" else to / contributor


def folder_of(to: Path, kind: str) -> Path:
    contributor = next(name for name, experts in CONTRIBUTORS.items() if kind in experts)
    return home_of(to, contributor) / "experts" / kind


def catalogs(to: Path) -> list[Path]:
    return [home_of(to, contributor) / "catalog.json" for contributor in CONTRIBUTORS]


def describe(kind: str, folder: Path, evaluation: dict[str, float]) -> None:
    module = KINDS[kind]
    about = {"title": module.TITLE, "description": module.DESCRIPTION, "licence": "Apache-2.0", "tags": module.TAGS, "source": COMMAND} | ({"evaluation": evaluation} if evaluation else {})
    (folder / "expert.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def build(gander: Path, to: Path) -> None:
    for contributor, experts in CONTRIBUTORS.items():
        run(gander, "catalog", "build", "--base", to / "base.gguf", "--name", contributor, *(folder_of(to, kind) for kind in experts), "-o", home_of(to, contributor))


def vectors(gander: Path, to: Path) -> None:
    """What the rival strategies tell experts apart by."""
    with tempfile.TemporaryDirectory() as folder:
        sets.write_examples(Path(folder), list(KINDS))
        for contributor, experts in CONTRIBUTORS.items():
            run(gander, "catalog", "vectors", home_of(to, contributor), "--base", to / "base.gguf", "--examples", *(f"{kind}={folder}/{kind}.jsonl" for kind in experts))


def measured(gander: Path, to: Path) -> dict[str, dict[str, float]]:
    """kind -> its figures, on its own set."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            strategies = ["none", f"single:{kind}", "phatgoose"]
            run(gander, "eval", "--base", to / "base.gguf", "--experts", *catalogs(to), "--data", to / f"eval/own/{kind}.jsonl", "--strategy", *strategies, "-o", f"{folder}/{kind}")
        summaries = {kind: json.loads(Path(f"{folder}/{kind}/summary.json").read_text()) for kind in KINDS}
    results = {kind: {figures["strategy"].split(":")[0]: figures["score"]["mean"] for figures in summary["blocks"][0]["results"]} for kind, summary in summaries.items()}
    return {kind: {"test_lines": sets.OWN} | {figure: round(found[strategy], 4) for strategy, figure in FIGURES.items()} for kind, found in results.items()}


def show(gander: Path, to: Path) -> None:
    """The examples of the demo, with what the ocean makes of them, for a reader's eye."""
    (to / "examples.json").write_text(json.dumps({"lines": [{"text": text, "kinds": kinds} for text, kinds in examples.LINES]}, indent=1, ensure_ascii=False) + "\n")
    for text, _ in examples.LINES:
        command = [gander, "generate", "--base", to / "base.gguf", "--experts", *catalogs(to), f"--text={text}"]
        print(f"{text}\n    {subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout.strip()}")


def run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gander", type=Path, required=True, help="the gander program")
    parser.add_argument("--out", type=Path, required=True, help="the folder that training wrote")
    parser.add_argument("--to", type=Path, required=True, help="the folder to serve; replaced")
    arguments = parser.parse_args()
    publish(arguments.gander.resolve(), arguments.out, arguments.to)
