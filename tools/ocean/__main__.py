"""The one command:  python -m ocean --out DIR

Makes tokenizer and test lines, trains the base, the experts and their gates, evaluates, and exports. Every stage leaves files in DIR and is skipped when they
are there, so an interrupted run goes on where it stopped; `--stages` runs some stages only, `--again` runs them even if done.
"""
import argparse
import json
import multiprocessing
from pathlib import Path

import torch

from . import base, evaluate, export, jobs, tokenizer
from .kinds import KINDS

STAGES = ("data", "base", "experts", "gates", "evaluate", "export")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ocean", description="Train and export the pilot ocean.")
    parser.add_argument("--out", type=Path, required=True, help="where everything goes")
    parser.add_argument("--stages", default=",".join(STAGES), help="comma-separated, of: " + " ".join(STAGES))
    parser.add_argument("--kinds", default=",".join(KINDS), help="the experts to make")
    parser.add_argument("--workers", type=int, default=2, help="processes, one core each")
    parser.add_argument("--again", action="store_true", help="redo the stages even where their files exist")
    options = parser.parse_args()
    torch.set_num_threads(1)
    out, stages, kinds = options.out, options.stages.split(","), options.kinds.split(",")
    base_folder = out / "base-hf"
    folders = {kind: out / "experts" / kind for kind in KINDS if kind in kinds}

    def due(stage: str, *made: Path) -> bool:
        return stage in stages and (options.again or not all(f.exists() for f in made))

    def each(work, made: str) -> None:
        jobs = [(k, base_folder, f) for k, f in folders.items() if options.again or not (f / made).exists()]
        with multiprocessing.get_context("spawn").Pool(options.workers, maxtasksperchild=1) as pool:
            pool.map(work, jobs, chunksize=1)

    if due("data", base_folder / "tokenizer.json"):
        tokenizer.build(base_folder)
    if due("base", out / "base.done"):
        base.make(base_folder, out / "base.log", workers=options.workers)
        (out / "base.done").touch()
    if "experts" in stages:
        each(jobs.train_expert, "adapter_model.safetensors")
    if "gates" in stages:
        each(jobs.train_gates, "gates.safetensors")
    for split, file in (("validation", "validation.json"), ("test", "test.json")):
        if due("evaluate", out / file):
            tables = evaluate.everything(base_folder, folders, split, 200, out / "eval" if split == "test" else None)
            (out / file).write_text(json.dumps(tables, indent=1) + "\n")
    if "export" in stages:
        export.write(out, list(folders))


if __name__ == "__main__":
    main()
