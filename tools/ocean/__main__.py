"""The one command:  python -m ocean --out DIR

Makes the tokenizer, trains the base, the experts and their gates. Every stage leaves files in DIR and is skipped when they are there, so an interrupted run goes on
where it stopped; `--stages` runs some stages only, `--again` runs them even if done. Then `ocean.publish` makes what is served, and measures it.
"""
import argparse
import multiprocessing
import shutil
from pathlib import Path

import torch

from . import base, jobs, tokenizer
from .kinds import KINDS

STAGES = ("data", "base", "experts")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ocean", description="Train and export the pilot ocean.")
    parser.add_argument("--out", type=Path, required=True, help="where everything goes")
    parser.add_argument("--stages", default=",".join(STAGES), help="comma-separated, of: " + " ".join(STAGES))
    parser.add_argument("--kinds", default=",".join(KINDS), help="the experts to make")
    parser.add_argument("--grow", type=Path, help="a base of fewer kinds to start from: takes a third of the steps")
    parser.add_argument("--workers", type=int, default=2, help="processes, one core each")
    parser.add_argument("--again", action="store_true", help="redo the stages even where their files exist")
    options = parser.parse_args()
    torch.set_num_threads(1)
    out, stages, kinds = options.out, options.stages.split(","), options.kinds.split(",")
    base_folder = out / "base-hf"
    folders = {kind: out / "experts" / kind for kind in KINDS if kind in kinds}

    def due(stage: str, *made: Path) -> bool:
        return stage in stages and (options.again or not all(f.exists() for f in made))

    def spread(work, parts: list[tuple]) -> None:
        """Do the parts in worker processes."""
        with multiprocessing.get_context("spawn").Pool(options.workers, maxtasksperchild=1) as pool:
            pool.map(work, parts, chunksize=1)

    if due("data", base_folder / "tokenizer.json"):
        tokenizer.build(base_folder)
    if due("base", out / "base.done"):
        base.make(base_folder, out / "base.log", options.workers, options.grow)
        (out / "base.done").touch()
    if "experts" in stages:
        for folder in folders.values() if options.again else ():
            shutil.rmtree(folder, ignore_errors=True)
        grown = options.grow and options.grow.parent / "experts"
        spread(jobs.train_expert, [(k, base_folder, f, grown) for k, f in folders.items() if not (f / "gates.safetensors").exists()])


if __name__ == "__main__":
    main()
