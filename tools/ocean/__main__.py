"""The one command:  python -m ocean --out DIR

Makes tokenizer and test lines, trains the base, the experts and their gates, evaluates, and exports. Every stage leaves files in DIR and is skipped when they
are there, so an interrupted run goes on where it stopped; `--stages` runs some stages only, `--again` runs them even if done.
"""
import argparse
import multiprocessing
import os
from pathlib import Path

# Before torch is loaded: one thread per process, for the work is split over processes; room for all compiled kernels, or half the time goes into compiling them again.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")

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

    def spread(work, parts: list[tuple]) -> None:
        """Do the parts in worker processes."""
        with multiprocessing.get_context("spawn").Pool(options.workers, maxtasksperchild=1) as pool:
            pool.map(work, parts, chunksize=1)

    def each(work, made: str) -> None:
        spread(work, [(k, base_folder, f) for k, f in folders.items() if options.again or not (f / made).exists()])

    if due("data", base_folder / "tokenizer.json"):
        tokenizer.build(base_folder)
    if due("base", out / "base.done"):
        base.make(base_folder, out / "base.log", workers=options.workers)
        (out / "base.done").touch()
    if "experts" in stages:
        each(jobs.train_expert, "adapter_model.safetensors")
    if "gates" in stages:
        each(jobs.train_gates, "gates.safetensors")
    tables = [("test", out / "test.json", out / "eval"), ("validation", out / "validation.json", None)]
    spread(jobs.evaluate_split, [(split, base_folder, folders, file, lines) for split, file, lines in tables if due("evaluate", file)])
    if "export" in stages:
        export.write(out, list(folders))


if __name__ == "__main__":
    main()
