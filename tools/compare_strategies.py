"""Compares every strategy of `gander generate --json` with its float64 definition, on models and experts made for the occasion.

    python tools/compare_strategies.py GANDER [--models 4] [--seed 1] [--device cpu]

Models are those of compare.py in float32: experts of several ranks, many of them on some layers only. Their vectors are written
here, as a catalogue has them: Arrow's prototypes by a whole singular value decomposition, which `gander catalog vectors` must
find too, up to their signs; mean inputs and examples at random.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import compare
from compare import ask_gander, new_trial
from reference import generate, load_base
from routing import Expert, load_expert
from strategies import NAMES, Strategy, prototype
from tiny import new_generator, normal

PROTOTYPE_TOLERANCE = 1e-4


def strategies(experts: list[Expert], d_model: int, seed: int) -> list[Strategy]:
    """All of them, with the vectors that they need."""
    ids = [expert.id for expert in experts]
    arrow = {e.id: {module: prototype(lora.a, lora.b) for module, lora in e.loras.items()} for e in experts}
    means = {e.id: {m: normal(new_generator(seed, e.id, m), lora.a.shape[1], 1.0) for m, lora in e.loras.items()} for e in experts}
    examples = {id: normal(new_generator(seed, id, "examples"), (5, d_model), 1.0) for id in ids}
    vectors = {"arrow": arrow, "average-activation": means}
    as_files = {name: {id: rounded(of) for id, of in by_expert.items()} for name, by_expert in vectors.items()}
    examples = rounded(examples)
    names = [*NAMES, *(f"single:{id}" for id in ids[:1])]
    return [Strategy(name, as_files.get(name, {}), examples, seed=0) for name in names]


def rounded(tensors: dict) -> dict:
    """As a file of 32-bit floats has them."""
    return {key: tensor.float().double() for key, tensor in tensors.items()}


def write_vectors(catalog: Path, strategies: list[Strategy]) -> None:
    """Beside the catalogue and into it."""
    described = json.loads((catalog / "catalog.json").read_text())
    described["vectors"] = {}
    for strategy in strategies:
        if strategy.has_vectors:
            tensors = {f"{id}/{module}.lora_gate.weight": v for id, of in strategy.vectors.items() for module, v in of.items()}
        elif strategy.name == "retrieval":
            tensors = {f"{id}/examples": rows for id, rows in strategy.examples.items()}
        else:
            continue
        file = catalog / f"{strategy.name}.safetensors"
        save_file({key: tensor.float().contiguous() for key, tensor in tensors.items()}, file)
        data = file.read_bytes()
        described["vectors"][strategy.name] = {"url": file.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (catalog / "catalog.json").write_text(json.dumps(described))


def check_prototypes(gander: Path, catalog: Path, base: Path, arrow: Strategy) -> list[str]:
    """`gander catalog vectors` has the same, but for signs, and where the first two singular values are apart."""
    command = [gander, "catalog", "vectors", catalog, "--base", base, "--strategy", "arrow"]
    subprocess.run(command, check=True, capture_output=True)
    found = load_file(catalog / "arrow.safetensors")
    errors = []
    for id, modules in arrow.vectors.items():
        for module, want in modules.items():
            have = found[f"{id}/{module}.lora_gate.weight"].double()
            if 1 - float(have @ want).__abs__() > PROTOTYPE_TOLERANCE:
                errors.append(f"prototype of {id} on {module}: cosine {float(have @ want):.6f}")
    return errors


def build(gander: Path, trial: compare.Trial, folder: Path) -> None:
    command = [gander, "catalog", "build", "--base", trial.base, "-o", folder, *trial.experts]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gander", type=Path, help="the native program")
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options, more = parser.parse_known_args()  # what is not known here goes to gander: --device gpu

    failed = trials = 0
    seed = options.seed
    while trials < options.models:
        with tempfile.TemporaryDirectory() as scratch:
            trial = new_trial(Path(scratch), seed, quantised=False)
            seed += 1
            if len(trial.experts) < 2:
                continue
            trials += 1
            experts = [load_expert(path) for path in trial.experts]
            catalog = Path(scratch) / "catalog"
            build(options.gander, trial, catalog)
            d_model = load_base(trial.base).config.d_model
            all_strategies = strategies(experts, d_model, seed)
            write_vectors(catalog, all_strategies)
            trial.experts = [catalog]
            print(f"{trial.name}, k {trial.top_k}")
            for strategy in all_strategies:
                if strategy.name == "spectr" and "gpu" in " ".join(more):
                    print("  not    spectr               on a GPU, which has no shader for it")
                    continue
                run = generate(load_base(trial.base), experts, trial.input_ids, trial.top_k, trial.max_new_tokens, strategy)
                have = ask_gander(options.gander, trial, [*more, "--strategy", strategy.name])
                # A layer whose experts may not be chosen is routed to nobody there, and is not routed here.
                have["routing"] = [choice for choice in have["routing"] if choice["experts"]]
                seen = compare.compare(trial, run, have)
                failed += bool(seen.errors)
                print(
                    f"  {'FAILED' if seen.errors else 'ok':6} {strategy.name:20} first_logits {seen.first_logits:.1e}, "
                    f"weights {seen.weights:.1e}, {seen.other_experts} of {seen.decisions} choices differ"
                )
                for error in seen.errors:
                    print(f"         {error}")
            errors = check_prototypes(options.gander, catalog, trial.base, next(s for s in all_strategies if s.name == "arrow"))
            failed += bool(errors)
            print("\n".join(f"  FAILED {error}" for error in errors) or "  ok     prototypes")
            sys.stdout.flush()
    print(f"{trials} models, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
