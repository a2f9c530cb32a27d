"""Compares `gander generate --json` with the float64 reference, on models and experts made for the occasion.

    python tools/compare.py GANDER [--models 8] [--seed 1] [--device cpu]

Every model is new: sizes, layers, heads, feed-forward, head, file type, experts (ranks, rsLoRA, patterns, which modules,
where the gates stand) are drawn at random and saved by transformers and PEFT. A difference counts
as an error unless the first choice that differs is one by whose margin, in the reference, f32 cannot tell.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from gguf import GGMLQuantizationType as Quant

import tiny  # before transformers: it keeps the hub out
import gguf_t5
from reference import Run, generate, load_base
from routing import load_expert
from tiny import ALL_LINEARS, ExpertPlan, new_base, save_base, save_expert

LOGIT_TOLERANCE = 1e-3
WEIGHT_TOLERANCE = 1e-3
MARGIN = 1e-4  # below it an f32 engine may choose otherwise

BASE_TYPES = ["f32", "f32", "sharded", "f16", "bf16", "gguf_f32", "gguf_f16", "gguf_bf16"]
QUANTISED = ["gguf_q8_0", "gguf_q4_0"]  # on these an engine may quantise activations too: reported, and judged by KL


@dataclass
class Trial:
    """A model in a folder and what to ask of it."""

    name: str
    base: Path
    experts: list[Path]
    input_ids: list[int]
    top_k: int
    max_new_tokens: int
    quantised: bool


@dataclass
class Difference:
    first_logits: float = 0.0
    kl: float = 0.0
    weights: float = 0.0
    decisions: int = 0
    other_experts: int = 0
    other_tokens: int = 0
    excused: bool = False  # the first choice that differs was one that f32 cannot be asked to make
    errors: list[str] = field(default_factory=list)


# Making


def new_trial(folder: Path, seed: int, quantised: bool) -> Trial:
    pick = random.Random(seed)
    base_type = pick.choice(QUANTISED if quantised else BASE_TYPES)
    unit = 32 if quantised else 1  # Q8_0 and Q4_0 rows are whole blocks of 32
    gated = pick.random() < 0.7
    mt5 = gated and not quantised and "gguf" not in base_type and pick.random() < 0.2
    own_head = mt5 or (gated and pick.random() < 0.7)
    config = {
        "vocab_size": pick.randint(40, 150),
        "d_model": 64 if quantised else pick.randint(12, 40),
        "d_kv": 16 if quantised else pick.randint(3, 12),
        "num_heads": pick.choice([2, 4]) if quantised else pick.randint(1, 5),
        "d_ff": pick.randint(1, 3) * 32 if quantised else pick.randint(12, 60),
        "num_layers": pick.randint(1, 4),
        "num_decoder_layers": pick.randint(1, 4),
        "feed_forward_proj": "gated-gelu" if gated else "relu",
        "decoder_start_token_id": pick.choice([0, 0, 2]),
        "relative_attention_num_buckets": pick.choice([32, 32, 16, 8]),
    }
    if "gguf" not in base_type:  # llama.cpp's GGUF has no key for it and takes 128
        config["relative_attention_max_distance"] = pick.choice([128, 128, 20, 50])
    if not mt5:
        config["tie_word_embeddings"] = not gated
    base = new_base(seed, mt5=mt5, own_head=own_head, **config)

    match base_type:
        case "f32":
            save_base(base, path := folder / "base")
        case "sharded":
            save_base(base, path := folder / "base", max_shard_size="30KB")
        case "f16" | "bf16":
            half = torch.float16 if base_type == "f16" else torch.bfloat16
            save_base(copy.deepcopy(base).to(half), path := folder / "base")
        case _:
            gguf_t5.write_gguf(base, path := folder / "base.gguf", Quant[base_type.removeprefix("gguf_").upper()])

    plans = [new_plan(pick, index, config) for index in range(pick.randint(0, 6))]
    for plan in plans:
        save_expert(base, f"compare/{seed}", plan, folder / "experts" / plan.id, seed)
    length = pick.choice([1, 3, 7, 20, 140])
    return Trial(
        name=f"{seed} {base_type} {'mt5' if mt5 else config['feed_forward_proj']} {'own' if own_head else 'shared'} head, "
        f"d_model {config['d_model']}, {config['num_layers']}+{config['num_decoder_layers']} blocks, {len(plans)} experts, {length} tokens",
        base=path,
        experts=[folder / "experts" / plan.id for plan in sorted(plans, key=lambda plan: plan.id)],
        input_ids=[pick.randrange(3, config["vocab_size"]) for _ in range(length - 1)] + [1],
        top_k=pick.choice([1, 2, 2, 2, 3, 8]),
        max_new_tokens=pick.choice([1, 12, 30]),
        quantised=quantised,
    )


def new_plan(pick: random.Random, index: int, config: dict) -> ExpertPlan:
    rank, alpha = pick.randint(1, 9), pick.choice([1, 4, 8, 16, 5])
    lora = {"r": rank, "lora_alpha": alpha, "use_rslora": pick.random() < 0.3}
    match pick.randrange(4):
        case 0:
            pass  # PEFT's default for T5: q and v
        case 1 if config["num_layers"] > 1:
            lora |= {"target_modules": ["q", "k", "v", "o", "wo"], "layers_to_transform": [0], "layers_pattern": "block"}
        case _:
            lora |= {"target_modules": ALL_LINEARS}
    if pick.random() < 0.3:
        lora |= {"rank_pattern": {"q": 3}, "alpha_pattern": {r"decoder\.block\.0\..*\.v": 7, "v": 2}}
    return ExpertPlan(
        id=f"{pick.choice('AbZ')}{index}",
        lora=lora,
        gate_std=pick.choice([1.0, 0.1, 0.01]),
        gate_mean=pick.choice([0.0, 0.3, -2.0]),
        untrained=pick.choice(["", "", "block.0.layer.0.SelfAttention.q"]),
        gates_inside=pick.choice(["-", "-", "lora_gate", "encoder."]),
        dtype=pick.choice([torch.float32, torch.float32, torch.float16, torch.bfloat16]),
    )


# Comparing


def ask_gander(gander: Path, trial: Trial, more: list[str]) -> dict:
    command = [gander, "generate", "--base", trial.base, "--input-ids", ",".join(map(str, trial.input_ids)),
               "--max-new-tokens", trial.max_new_tokens, "--top-k", trial.top_k, "--json", "--logits", "--trace", *more]  # fmt: skip
    if trial.experts:
        command += ["--experts", *trial.experts]
    answer = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)
    if answer.returncode != 0:
        raise RuntimeError(f"gander ended with {answer.returncode}: {answer.stderr.strip()}")
    return json.loads(answer.stdout)


def compare(trial: Trial, run: Run, have: dict) -> Difference:
    seen = Difference()
    expect = seen.errors.append

    if have["input_ids"] != run.input_ids:
        expect(f"input_ids: {have['input_ids']}")
    logits, want = torch.tensor(have["first_logits"], dtype=torch.float64), run.logits[0]
    if logits.shape != want.shape:
        expect(f"first_logits: {len(logits)} of them, {len(want)} wanted")
        return seen
    seen.first_logits = float((logits - want).abs().max())
    seen.kl = float(torch.sum(want.softmax(-1) * (want.log_softmax(-1) - logits.log_softmax(-1))))

    compare_routing(run, have["routing"], seen, trial.quantised)
    for step, (a, b) in enumerate(zip(have["output_ids"], run.output_ids)):
        seen.other_tokens += a != b
        if a != b and seen.other_tokens == 1 and not (seen.excused or trial.quantised):
            if run.greedy_margins()[step] > LOGIT_TOLERANCE:
                expect(f"token {step} is {a}, {b} wanted, by a margin of {run.greedy_margins()[step]:.1e}")
            seen.excused = True
    if not seen.other_tokens and (len(have["output_ids"]), have["finish"]) != (len(run.output_ids), run.finish):
        expect(f"{len(have['output_ids'])} tokens, finish {have['finish']}; {len(run.output_ids)}, {run.finish} wanted")

    if trial.quantised and seen.kl > 0.01:
        expect(f"first_logits: KL {seen.kl:.1e}")
    if trial.quantised or seen.excused:
        return seen
    if seen.first_logits > LOGIT_TOLERANCE:
        expect(f"first_logits: off by {seen.first_logits:.1e}")
    if seen.weights > WEIGHT_TOLERANCE:
        expect(f"routing: a weight is off by {seen.weights:.1e}")
    return seen


def compare_routing(run: Run, routing: list[dict], seen: Difference, quantised: bool) -> None:
    have = {(choice["module"], choice["token"]): choice for choice in routing}
    want = {(choice["module"], choice["token"]): choice for choice in run.routing}
    seen.decisions = len(want)
    if len(have) != len(routing):
        seen.errors.append(f"routing: {len(routing) - len(have)} decisions come twice")
    if run.routing and have.keys() != want.keys():
        odd = sorted(want.keys() - have.keys())[:1] + sorted(have.keys() - want.keys())[:1]
        seen.errors.append(f"routing: {len(want)} decisions wanted, {len(have)} given; such as {odd}")
    for place, b in want.items():  # in the order in which one decision leads to the next
        a = have.get(place)
        if a is None:
            continue
        if a["experts"] == b["experts"]:
            seen.weights = max([seen.weights, *(abs(x - y) for x, y in zip(a["weights"], b["weights"]))])
            continue
        seen.other_experts += 1
        if seen.other_experts == 1:
            margin = min(gap for gap in (b["margin"], b["order_margin"], 9.0) if gap is not None)
            seen.excused = margin < MARGIN
            if not (seen.excused or quantised):
                seen.errors.append(f"routing: {place} is {a['experts']}, {b['experts']} wanted, by a margin of {margin:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gander", type=Path, help="the native program")
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--quantised-models", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options, more = parser.parse_known_args()  # what is not known here goes to gander: --device gpu

    all_seen, failed = [], 0
    for seed in range(options.seed, options.seed + options.models + options.quantised_models):
        with tempfile.TemporaryDirectory() as scratch:
            trial = new_trial(Path(scratch), seed, quantised=seed >= options.seed + options.models)
            experts = [load_expert(path) for path in trial.experts]
            run = generate(load_base(trial.base), experts, trial.input_ids, trial.top_k, trial.max_new_tokens)
            try:
                seen = compare(trial, run, ask_gander(options.gander, trial, more))
            except (RuntimeError, KeyError, ValueError, subprocess.TimeoutExpired) as error:
                seen = Difference(errors=[f"{type(error).__name__}: {error}"])
        all_seen.append(seen)
        failed += bool(seen.errors)
        print(
            f"{'FAILED' if seen.errors else 'ok':6} {trial.name}, k {trial.top_k}: "
            f"first_logits {seen.first_logits:.1e} (KL {seen.kl:.0e}), weights {seen.weights:.1e}, "
            f"{seen.other_experts} of {seen.decisions} choices and {seen.other_tokens} of {len(run.output_ids)} tokens differ"
            f"{', after a close call' if seen.excused and not seen.errors else ''}"
        )
        for error in seen.errors:
            print(f"       {error}")
        sys.stdout.flush()
    worst_logits = max(seen.first_logits for seen in all_seen)
    worst_weights = max(seen.weights for seen in all_seen)
    print(f"{len(all_seen)} models, {failed} failed; worst first_logits {worst_logits:.1e}, weights {worst_weights:.1e}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
