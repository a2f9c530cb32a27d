"""Compares what `gander catalog vectors` makes with transformers, in float64, on a base that has a tokenizer.

    python tools/compare_vectors.py GANDER --base BASE.gguf --catalog FOLDER --expert ID --examples FILE.jsonl [--most 5]

For one expert: the mean input of each layer over its examples with the expert active (average-activation), the base's mean
encoder output for each (retrieval), and the top right-singular vectors of its B A (arrow). The catalogue is copied, not changed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from reference import load_base
from routing import ROUTABLE, attach, load_expert
from strategies import Strategy, prototype

# The engine rounds activations to 16 bits for quantised bases, and keeps examples in 16 bits.
LEAST_COSINE = 0.9999


def ids(gander: Path, base: Path, text: str) -> list[int]:
    command = [gander, "generate", "--base", base, "--text", text, "--max-new-tokens", "1", "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["input_ids"]


def mean_inputs(model, start: int, examples: list[tuple[list[int], list[int]]]) -> dict[str, Tensor]:
    """By layer, over all tokens of the examples; the decoder is given its target token by token."""
    sums, counts = {}, defaultdict(int)

    def add(name: str, u: Tensor) -> None:
        sums[name] = sums.get(name, 0) + u.sum(0)
        counts[name] += u.shape[0]

    for name, layer in model.named_modules():
        if ROUTABLE.fullmatch(name):
            layer.register_forward_pre_hook(lambda _layer, inputs, name=name: add(name, inputs[0][0]))
    for source, target in examples:
        model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([[start, *target[:-1]]]), use_cache=False)
    return {name: total / counts[name] for name, total in sums.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gander", type=Path, help="the native program")
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--catalog", type=Path, required=True, help="a folder of experts with their PEFT folders")
    parser.add_argument("--expert", required=True)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--most", type=int, default=5)
    options = parser.parse_args()

    lines = [json.loads(line) for line in options.examples.read_text().splitlines()[: options.most]]
    pairs = [(line["input"], line["target"] if "target" in line else line["targets"][0]) for line in lines]
    examples = [tuple(ids(options.gander, options.base, text) for text in pair) for pair in pairs]
    with tempfile.TemporaryDirectory() as scratch:
        catalog = Path(shutil.copytree(options.catalog, Path(scratch) / "catalog"))
        others = [e["id"] for e in json.loads((catalog / "catalog.json").read_text())["experts"] if e["id"] != options.expert]
        subprocess.run([options.gander, "catalog", "remove", catalog, *others], check=True, capture_output=True)
        command = [options.gander, "catalog", "vectors", catalog, "--base", options.base, "--most", str(options.most)]
        subprocess.run([*command, "--examples", f"{options.expert}={options.examples}"], check=True, capture_output=True)
        found = {name: load_file(catalog / f"{name}.safetensors") for name in ("arrow", "average-activation", "retrieval")}
        expert = load_expert(catalog / "experts" / options.expert)

    plain = load_base(options.base)
    encoded = [plain.encoder(input_ids=torch.tensor([source])).last_hidden_state[0].mean(0) for source, _ in examples]
    start = plain.config.decoder_start_token_id
    model = load_base(options.base)
    attach(model, [expert], 1, Strategy(f"single:{expert.id}"))
    means = mean_inputs(model, start, examples)

    worst = {}
    for name, wanted in (
        ("arrow", {module: prototype(lora.a, lora.b) for module, lora in expert.loras.items()}),
        ("average-activation", {module: means[module] for module in expert.loras}),
    ):
        have = {module: found[name][f"{expert.id}/{module}.lora_gate.weight"].double() for module in wanted}
        worst[name] = min(abs(float(torch.cosine_similarity(have[m], wanted[m], dim=0))) for m in wanted)
        if name == "average-activation":
            worst["lengths"] = 1 - max(abs(float(have[m].norm() / wanted[m].norm()) - 1) for m in wanted)
    rows = found["retrieval"][f"{expert.id}/examples"].double()
    worst["retrieval"] = min(float(torch.cosine_similarity(row, want, dim=0)) for row, want in zip(rows, encoded, strict=True))
    for name, cosine in worst.items():
        print(f"{'ok' if cosine >= LEAST_COSINE else 'FAILED':6} {name:20} {cosine:.7f}")
    sys.exit(any(cosine < LEAST_COSINE for cosine in worst.values()))


if __name__ == "__main__":
    main()
