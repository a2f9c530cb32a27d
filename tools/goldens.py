"""Writes tests/goldens: tiny models, and what they must compute, in float64 by the formula.

    python tools/goldens.py [--only CASE ...] [--out tests/goldens]

What is written is described in tests/goldens/README.md. Before a case is written it must pass
these checks: without experts it equals stock transformers; with one forced expert it equals PEFT's own forward;
decoding with a KV cache equals computing everything again; in f32 it makes the same choices. Seeds are chosen, from the one given upwards,
so that no decision is close: an f32 engine must agree with every token and every expert.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Quant
from safetensors.torch import save_file
from torch import Tensor

import tiny  # before transformers: it keeps the hub out
import gguf_t5
from peft import PeftModel
from reference import Run, generate, load_base, recompute
from routing import Expert, load_expert
from tiny import ALL_LINEARS, ExpertPlan, new_base, new_generator, save_base, save_expert
from transformers import MT5Config, MT5ForConditionalGeneration, T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Attention

GREEDY_MARGIN = 1e-3  # least distance between the best and the second logit, at every step of every run
ROUTING_MARGIN = 1e-4  # least gap between the last chosen expert's score and the next one's, and inside the chosen

HALF = {"f16": torch.float16, "bf16": torch.bfloat16}


@dataclass
class Case:
    name: str
    seed: int
    base: dict  # of tiny.new_base
    experts: list[ExpertPlan] = field(default_factory=list)
    input_length: int = 6
    max_new_tokens: int = 10
    top_ks: tuple[int, ...] = (1, 2)
    halves: tuple[str, ...] = ()  # also as a Hugging Face folder of this type
    ggufs: tuple[Quant, ...] = ()  # also as a GGUF file of this type
    shard_size: str | None = None  # also as a folder of several files
    variety: float = 0.5  # the least share of distinct tokens in the output's last 40
    ends: bool = False  # the output must reach the end token
    routing_tokens: tuple[int, ...] | None = None  # write the routing of these tokens alone
    input_ids: list[int] = field(default_factory=list)


EVERYWHERE = {"target_modules": ALL_LINEARS}

CASES = [
    Case(
        "v10_tied",
        seed=4,
        base=dict(vocab_size=97, d_model=24, d_kv=6, num_heads=4, d_ff=40, num_layers=2, num_decoder_layers=3,
                  feed_forward_proj="relu", own_head=False),
        experts=[
            ExpertPlan("history", dict(r=2, lora_alpha=4, **EVERYWHERE)),
            ExpertPlan("physics", dict(r=3, lora_alpha=3, **EVERYWHERE), gate_std=0.01),
        ],
        halves=("f16", "bf16"),
        ggufs=(Quant.F16,),
        variety=0.4,
    ),
    Case(
        "v11_gated",
        seed=216,
        base=dict(vocab_size=131, d_model=32, d_kv=8, num_heads=3, d_ff=56, num_layers=3, num_decoder_layers=2,
                  feed_forward_proj="gated-gelu", tie_word_embeddings=False, eos_strength=2.0),
        ends=True,
        experts=[
            # "Paraphrase" sorts before "arithmetic": catalogue order is by bytes.
            ExpertPlan("Paraphrase", dict(r=1, lora_alpha=2, **EVERYWHERE), gates_inside="lora_gate"),
            ExpertPlan("arithmetic", dict(r=3, lora_alpha=5, use_rslora=True, **EVERYWHERE), gates_inside="decoder.", gate_std=0.01),
            ExpertPlan(
                "chemistry",
                dict(r=2, lora_alpha=4, **EVERYWHERE,
                     rank_pattern={"SelfAttention.q": 4, r"encoder\.block\.1\..*\.wo": 1},
                     alpha_pattern={"SelfAttention.q": 6, r"decoder\.block\.\d+\.layer\.2\.DenseReluDense\.wi_0": 9, "o": 1}),
                gates_inside="SelfAttention", ungated="decoder.block.1.layer.2.DenseReluDense.wo", dtype=torch.float16,
            ),
            ExpertPlan("default_qv", dict(r=8, lora_alpha=16), untrained="block.0.layer.0.SelfAttention.v"),
            ExpertPlan(
                "late_blocks",
                dict(r=4, lora_alpha=4, target_modules=["q", "k", "v", "o", "wi_0", "wi_1", "wo"],
                     layers_to_transform=[1, 2], layers_pattern="block"),
                gate_std=0.1, gate_mean=-2.0, dtype=torch.bfloat16,
            ),
        ],
        top_ks=(1, 2, 5),
    ),
    Case(
        "v11_one",
        seed=301,
        base=dict(vocab_size=61, d_model=20, d_kv=5, num_heads=5, d_ff=36, num_layers=1, num_decoder_layers=2,
                  feed_forward_proj="gated-gelu", tie_word_embeddings=False, own_head=False,
                  decoder_start_token_id=2, relative_attention_num_buckets=16, layer_norm_epsilon=1e-5),
        experts=[ExpertPlan("only", dict(r=5, lora_alpha=7, **EVERYWHERE))],
        input_length=12,
        max_new_tokens=14,
        top_ks=(2,),
        ggufs=(Quant.F32, Quant.F16, Quant.BF16),
    ),
    Case(
        "mt5_shape",
        seed=401,
        base=dict(mt5=True, vocab_size=83, d_model=16, d_kv=6, num_heads=2, d_ff=24, num_layers=2, num_decoder_layers=1,
                  relative_attention_num_buckets=16, relative_attention_max_distance=20, eos_strength=0.0),
        input_length=30,
        max_new_tokens=30,
        top_ks=(2,),
        shard_size="20KB",
    ),
    Case(
        "long",
        seed=501,
        base=dict(vocab_size=89, d_model=16, d_kv=8, num_heads=3, d_ff=24, num_layers=2, num_decoder_layers=2,
                  feed_forward_proj="gated-gelu", tie_word_embeddings=False, eos_strength=0.0),
        experts=[
            ExpertPlan("near", dict(r=2, lora_alpha=2, **EVERYWHERE)),
            ExpertPlan("remote", dict(r=4, lora_alpha=8, target_modules=["q", "k", "v", "wo"])),
        ],
        input_length=150,
        max_new_tokens=140,
        top_ks=(2,),
        variety=0.2,
        routing_tokens=(0, 1, 2, 15, 16, 17, 63, 64, 126, 127, 128, 129, 130, 138, 139, 148, 149),
    ),
    Case(
        "q8",
        seed=608,
        base=dict(vocab_size=96, d_model=64, d_kv=16, num_heads=2, d_ff=96, num_layers=1, num_decoder_layers=1,
                  feed_forward_proj="gated-gelu", tie_word_embeddings=False),
        experts=[
            ExpertPlan("alpha", dict(r=2, lora_alpha=4, **EVERYWHERE)),
            ExpertPlan("beta", dict(r=2, lora_alpha=2, target_modules=["q", "v", "wi_1"])),
            ExpertPlan("gamma", dict(r=1, lora_alpha=1, **EVERYWHERE), gate_std=0.01),
        ],
        top_ks=(1, 2, 3),
        ggufs=(Quant.Q8_0, Quant.Q4_0, Quant.Q4_1, Quant.Q5_0, Quant.Q5_1),
    ),
]


# A case


def build(case: Case, folder: Path) -> dict[str, Run]:
    """Writes the models of a case and its variants under `folder`, and runs them. Returns the runs by folder and k."""
    case.input_ids = random_input(case)
    base = new_base(case.seed, **case.base)
    save_base(base, folder / case.name / "base")
    for plan in case.experts:
        save_expert(base, f"gander-goldens/{case.name}", plan, folder / case.name / "experts" / plan.id, case.seed)
    if case.shard_size:
        save_base(base, folder / case.name / "base-sharded", max_shard_size=case.shard_size)
    for kind in case.halves:
        save_base(copy.deepcopy(base).to(HALF[kind]), folder / f"{case.name}_{kind}" / "base")
    for kind in case.ggufs:
        path = folder / gguf_folder(case, kind) / "base.gguf"
        path.parent.mkdir(parents=True)
        gguf_t5.write_gguf(base, path, kind)

    runs: dict[str, Run] = {}
    for path, top_k in wanted_runs(case, folder):
        name = f"{path.parent.name}/{top_k}"
        runs[name] = generate(load_base(path), experts_of(case, folder), case.input_ids, top_k, case.max_new_tokens)
        if fault := fault_of(case, name, runs[name]):
            raise PoorGolden(f"{name}: {fault}")
    return runs


class PoorGolden(Exception):
    """This seed makes a case that cannot be compared exactly, or that tests little."""


def wanted_runs(case: Case, folder: Path) -> list[tuple[Path, int]]:
    return (
        [(folder / case.name / "base", top_k) for top_k in case.top_ks]
        + [(folder / f"{case.name}_{kind}" / "base", 2) for kind in case.halves]
        + [(folder / gguf_folder(case, kind) / "base.gguf", 2) for kind in case.ggufs]
    )


def gguf_folder(case: Case, kind: Quant) -> str:
    return f"{case.name}_gguf_{kind.name.lower()}"


def random_input(case: Case) -> list[int]:
    """Ends with the end token, as T5's tokenizer makes it; no other special token within."""
    body = torch.randint(3, case.base["vocab_size"], (case.input_length - 1,), generator=new_generator(case.seed, "input"))
    return [*body.tolist(), 1]


def experts_of(case: Case, folder: Path) -> list[Expert]:
    """In catalogue order: the folder names, sorted."""
    return [load_expert(path) for path in sorted((folder / case.name / "experts").glob("*"))]


def fault_of(case: Case, name: str, run: Run) -> str | None:
    """Why this run makes a poor golden."""
    if min(run.greedy_margins()) < GREEDY_MARGIN:
        return f"a greedy margin of {min(run.greedy_margins()):.1e}"
    if min(margins(run), default=1) < ROUTING_MARGIN:
        return f"a routing margin of {min(margins(run)):.1e}"
    if len(set(run.output_ids[-40:])) < min(len(run.output_ids), 40) * case.variety:
        return f"the output repeats itself: {run.output_ids}"
    if name == f"{case.name}/2":
        if (case.ends and run.finish != "eos") or len(run.output_ids) < 6:
            return f"{run.finish} after {len(run.output_ids)} tokens"
        shares = usage(run)
        if len(case.experts) > 1 and min(shares.get(plan.id, 0) for plan in case.experts) < 0.05:
            return f"an expert is hardly chosen: {shares}"
    return None


def margins(run: Run) -> list[float]:
    return [gap for choice in run.routing for gap in (choice["margin"], choice["order_margin"]) if gap is not None]


def usage(run: Run) -> dict[str, float]:
    """Which share of all weight each expert has."""
    shares: dict[str, float] = {}
    for choice in run.routing:
        for expert, weight in zip(choice["experts"], choice["weights"]):
            shares[expert] = shares.get(expert, 0) + weight / len(run.routing)
    return shares


# Checks


def check(case: Case, folder: Path, runs: dict[str, Run]) -> list[str]:
    """Asserts that the reference agrees with transformers and with PEFT. Returns what it saw."""
    base_folder = folder / case.name / "base"
    ids = torch.tensor([case.input_ids])
    seen = []

    # 1. Without experts: stock transformers, whose norms work in f32 even in a float64 model.
    model_class = MT5ForConditionalGeneration if case.base.get("mt5") else T5ForConditionalGeneration
    stock = model_class.from_pretrained(base_folder, dtype=torch.float32).double().eval()
    plain = generate(load_base(base_folder), [], case.input_ids, 2, case.max_new_tokens)
    decoder_ids = torch.tensor([[stock.config.decoder_start_token_id, *plain.output_ids[:-1]]])
    difference = worst(torch.stack(plain.logits), stock(input_ids=ids, decoder_input_ids=decoder_ids).logits[0])
    assert difference < 1e-4, (case.name, "transformers", difference)
    if stock.config.num_decoder_layers <= stock.config.num_layers:  # transformers 5.23 makes the cache as deep as the encoder
        greedy = stock.generate(ids, max_new_tokens=case.max_new_tokens, do_sample=False, num_beams=1)[0, 1:].tolist()
        assert greedy == plain.output_ids, (case.name, "transformers generate", greedy, plain.output_ids)
    seen.append(f"stock transformers {difference:.0e}")

    # 2. With one expert, forced wherever it has LoRA: PEFT's own forward.
    for path in sorted((folder / case.name / "experts").glob("*")):
        expert = load_expert(path)
        expert.gates = {module: torch.arange(1.0, lora.a.shape[1] + 1).double() for module, lora in expert.loras.items()}
        run = generate(load_base(base_folder), [expert], case.input_ids, 1, 6)
        adapted = PeftModel.from_pretrained(load_base(base_folder), path).double().eval()
        decoder_ids = torch.tensor([[stock.config.decoder_start_token_id, *run.output_ids[:-1]]])
        difference = worst(torch.stack(run.logits), adapted(input_ids=ids, decoder_input_ids=decoder_ids).logits[0])
        assert difference < 1e-9, (case.name, "PEFT", expert.id, difference)
        assert worst(run.logits[0], plain.logits[0]) > 1e-2, (case.name, expert.id, "does nothing")
        seen.append(f"PEFT {expert.id} {difference:.0e}")

    # 3. With a KV cache: everything computed again.
    for path, top_k in wanted_runs(case, folder):
        run = runs[f"{path.parent.name}/{top_k}"]
        again = recompute(load_base(path), experts_of(case, folder), run, top_k)
        difference = worst(torch.stack(run.logits), again)
        assert difference < 1e-9, (case.name, "KV cache", difference)
        assert again.argmax(-1).tolist() == run.output_ids
    seen.append(f"no cache {difference:.0e}")

    # 4. In f32: every token and every choice, as the README says of any f32 engine.
    difference = 0.0
    for path, top_k in wanted_runs(case, folder):
        run = runs[f"{path.parent.name}/{top_k}"]
        experts = [in_float32(expert) for expert in experts_of(case, folder)]
        single = generate(load_base(path).float(), experts, case.input_ids, top_k, case.max_new_tokens)
        assert single.output_ids == run.output_ids, (case.name, "f32")
        assert [choice["experts"] for choice in single.routing] == [choice["experts"] for choice in run.routing], (case.name, "f32")
        difference = max(difference, worst(torch.stack(single.logits), torch.stack(run.logits)))
    assert difference < 1e-3, (case.name, "f32", difference)
    seen.append(f"f32 {difference:.0e}")

    # 5. The other files of the same weights give the same model.
    if Quant.F32 in case.ggufs:
        same = runs[f"{gguf_folder(case, Quant.F32)}/2"].logits
        difference = worst(torch.stack(same), torch.stack(runs[f"{case.name}/2"].logits))
        assert difference < 1e-6, (case.name, "GGUF", difference)
        seen.append(f"GGUF {difference:.0e}")
    if case.shard_size:
        sharded = load_base(folder / case.name / "base-sharded").state_dict()
        assert all(torch.equal(tensor, sharded[name]) for name, tensor in load_base(base_folder).state_dict().items())
        assert len(list((folder / case.name / "base-sharded").glob("*.safetensors"))) > 1
    return seen


def in_float32(expert: Expert) -> Expert:
    loras = {module: replace(lora, a=lora.a.float(), b=lora.b.float()) for module, lora in expert.loras.items()}
    return replace(expert, loras=loras, gates={module: gate.float() for module, gate in expert.gates.items()})


def worst(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


# Writing


def write_expected(case: Case, folder: Path, runs: dict[str, Run]) -> None:
    names = sorted({name.rpartition("/")[0] for name in runs})
    for name in names:
        own = {int(key.rpartition("/")[2]): run for key, run in runs.items() if key.rpartition("/")[0] == name}
        experts = "experts" if name == case.name else f"../{case.name}/experts"
        header = {
            "bases": [base for base in ("base", "base-sharded", "base.gguf") if (folder / name / base).exists()],
            "experts": [f"{experts}/{plan.id}" for plan in sorted(case.experts, key=lambda plan: plan.id)],
            "input_ids": case.input_ids,
            "max_new_tokens": case.max_new_tokens,
            "seed": case.seed,
            "routing_tokens": case.routing_tokens,
        }
        # Routing takes most of the room: of the variants only the two quantised types that gander writes have it.
        traced = name == case.name or name.endswith(("_q8_0", "_q4_0"))
        (folder / name / "expected.json").write_text(as_text(header, own, case.routing_tokens, traced))

        run = own[2]
        tensors = {state: values for state, values in run.states.items()}
        tensors |= {"logits": torch.stack(run.logits), "first_logits": run.logits[0]}
        save_file({key: tensor.float().contiguous() for key, tensor in tensors.items()}, folder / name / "expected.safetensors")


def as_text(header: dict, runs: dict[int, Run], tokens: tuple[int, ...] | None, traced: bool) -> str:
    """JSON with one line per field and per routing decision, so that it can be read and compared."""
    lines = [f' {json.dumps(key)}: {json.dumps(value)},' for key, value in header.items()]
    blocks = []
    for top_k, run in sorted(runs.items()):
        kept = [choice for choice in run.routing if tokens is None or choice["token"] in tokens] if traced else None
        routing = "null" if kept is None else "[\n" + ",\n".join("   " + json.dumps(rounded(choice)) for choice in kept) + "\n  ]"
        blocks.append(
            f'  {{"top_k": {top_k}, "output_ids": {json.dumps(run.output_ids)}, "finish": {json.dumps(run.finish)},\n'
            f'  "greedy_margins": {json.dumps([short(margin) for margin in run.greedy_margins()])},\n'
            f'  "routing": {routing}}}'
        )
    return "{\n" + "\n".join(lines) + '\n "runs": [\n' + ",\n".join(blocks) + "\n ]\n}\n"


def rounded(choice: dict) -> dict:
    return choice | {
        "weights": [round(weight, 6) for weight in choice["weights"]],
        "margin": short(choice["margin"]),
        "order_margin": short(choice["order_margin"]),
    }


def short(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.3g}")


def write_case(case: Case, out: Path) -> None:
    for seed in range(case.seed, case.seed + 40):
        case = replace(case, seed=seed)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            try:
                runs = build(case, folder)
            except PoorGolden as fault:
                print(f"{case.name}: not seed {seed}: {fault}", file=sys.stderr)
                continue
            seen = check(case, folder, runs)
            write_expected(case, folder, runs)
            for path in folder.iterdir():
                shutil.rmtree(out / path.name, ignore_errors=True)
                shutil.copytree(path, out / path.name)
        run = runs[f"{case.name}/2"]
        print(f"{case.name}: seed {seed}: {'; '.join(seen)}; output {run.output_ids} {run.finish}")
        print(f"  {len(run.routing)} decisions, shares { {expert: round(share, 2) for expert, share in usage(run).items()} }")
        least_routing = min((gap for run in runs.values() for gap in margins(run)), default=None)
        least_greedy = min(gap for run in runs.values() for gap in run.greedy_margins())
        print(f"  least routing margin {short(least_routing)}, least greedy margin {short(least_greedy)}")
        for name, values in run.states.items():
            print(f"  {name}: rms {float(values.square().mean().sqrt()):.2f}", end="")
        print()
        return
    raise SystemExit(f"{case.name}: no seed will do")


# Parts


def write_buckets(out: Path) -> None:
    """Position buckets by signed distance (key minus query), from transformers itself, which takes the logarithm in f32."""
    tables = []
    reach = 300
    for num_buckets, max_distance in [(32, 128), (16, 20), (16, 128), (8, 16), (32, 256), (12, 50), (64, 128), (6, 100)]:
        for bidirectional in (True, False):
            distances = torch.arange(-reach, reach + 1)
            buckets = T5Attention._relative_position_bucket(distances, bidirectional, num_buckets, max_distance)
            tables.append({"num_buckets": num_buckets, "max_distance": max_distance, "bidirectional": bidirectional,
                           "first_distance": -reach, "buckets": buckets.tolist()})
    (out / "buckets.json").write_text("[\n" + ",\n".join(json.dumps(table) for table in tables) + "\n]\n")


V10 = {"model_type": "t5", "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8, "vocab_size": 32128,
       "layer_norm_epsilon": 1e-06, "relative_attention_num_buckets": 32, "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}  # fmt: skip
V11 = V10 | {"d_ff": 1024, "num_layers": 8, "num_decoder_layers": 8, "num_heads": 6, "feed_forward_proj": "gated-gelu"}

CONFIGS = {
    "v1.0 as first published, much left out": V10,
    "v1.0 with nulls": V10 | {"num_decoder_layers": None, "tie_word_embeddings": None},
    "v1.1 as published": V11 | {"tie_word_embeddings": False},
    "v1.1 with an untied head, saved again by transformers 5": V11 | {"tie_word_embeddings": True, "scale_decoder_outputs": False, "relative_attention_max_distance": 128},
    "v1.1 with both fields saying otherwise": V11 | {"tie_word_embeddings": False, "scale_decoder_outputs": True},
    "a byte model, whose decoder is shallower": V11 | {"num_layers": 12, "num_decoder_layers": 4, "tie_word_embeddings": False, "vocab_size": 384},
    "mT5 as published": V11 | {"model_type": "mt5", "tie_word_embeddings": False},
    "mT5 saved again by transformers 5": V11 | {"model_type": "mt5", "tie_word_embeddings": True},
    "mT5 with much left out": {"model_type": "mt5", "d_model": 64, "decoder_start_token_id": 0},
    "T5 with much left out": {"model_type": "t5", "d_model": 64, "decoder_start_token_id": 0},
    "gated silu": V11 | {"feed_forward_proj": "gated-silu"},
    "gated relu": V11 | {"feed_forward_proj": "gated-relu"},
    "plain gelu, which is not the tanh one": V10 | {"feed_forward_proj": "gelu"},
    "other distances, end and start": V10 | {"relative_attention_max_distance": 20, "relative_attention_num_buckets": 16, "eos_token_id": 3, "decoder_start_token_id": 2},
}


def write_configs(out: Path) -> None:
    """What transformers makes of a config.json, old or new.

    `scale_decoder_outputs` is what its forward pass does: mT5's never scales.
    """
    entries = []
    for name, fields in CONFIGS.items():
        is_mt5 = fields["model_type"] == "mt5"
        config = (MT5Config if is_mt5 else T5Config).from_dict(fields)
        keys = ["vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads", "relative_attention_num_buckets",
                "relative_attention_max_distance", "layer_norm_epsilon", "is_gated_act", "dense_act_fn", "decoder_start_token_id", "eos_token_id", "pad_token_id"]  # fmt: skip
        means = {key: getattr(config, key) for key in keys} | {"scale_decoder_outputs": not is_mt5 and config.scale_decoder_outputs}
        entries.append({"name": name, "config": fields, "means": means})
    (out / "configs.json").write_text("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n")


# Where the f16 scales stand in a block of each type: what may not be any bytes at all.
HALF_FIELDS = {
    Quant.Q4_0: [0], Quant.Q4_1: [0, 2], Quant.Q5_0: [0], Quant.Q5_1: [0, 2], Quant.Q8_0: [0],
    Quant.Q2_K: [80, 82], Quant.Q3_K: [108], Quant.Q4_K: [0, 2], Quant.Q5_K: [0, 2], Quant.Q6_K: [208],
}  # fmt: skip


def write_quants(out: Path) -> None:
    """Raw blocks of every type and the values they stand for, by the `gguf` package.

    The bytes are random, so that every bit of a block is in use; the scales are finite and include
    negative, zero and subnormal ones.
    """
    numbers = np.random.default_rng(700)
    tensors = {}
    for kind in [*HALF_FIELDS, Quant.F16, Quant.BF16]:
        block_values, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        rows, columns = 3, max(2 * block_values, 64)
        blocks = numbers.integers(0, 256, (rows * columns // block_values, block_bytes), dtype=np.uint8)
        for index, offset in enumerate(HALF_FIELDS.get(kind, [])):
            scales = numbers.normal(0, 0.02, len(blocks)).astype(np.float16)
            scales[index] = [np.float16(6e-8), np.float16(0)][index]
            blocks[:, offset : offset + 2] = scales.view(np.uint8).reshape(-1, 2)
        if kind is Quant.F16:
            values = numbers.normal(0, 1, rows * columns).astype(np.float16)
            values[:6] = [6e-8, -6e-8, 6.1e-5, 65504, -65504, -0.0]
            blocks = values.view(np.uint8)
        if kind is Quant.BF16:
            blocks = (numbers.normal(0, 1, rows * columns).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        raw = blocks.reshape(rows, columns // block_values * block_bytes)
        values = gguf.quants.dequantize(raw.view(np.float16) if kind is Quant.F16 else raw, kind).astype(np.float32)
        assert values.shape == (rows, columns) and np.isfinite(values).all(), kind
        name = kind.name.lower()
        tensors[f"{name}.raw"] = torch.from_numpy(raw.copy())
        tensors[f"{name}.values"] = torch.from_numpy(values.copy())

    # And what quantising must give: the types that gander writes.
    source = numbers.normal(0, 1, (4, 96)).astype(np.float32)
    source[0, :32] = 0
    source[1, 32:64] *= 1e-4
    tensors["source"] = torch.from_numpy(source)
    for kind in (Quant.Q8_0, Quant.Q4_0):
        tensors[f"source.{kind.name.lower()}"] = torch.from_numpy(gguf.quants.quantize(source, kind))
    (out / "quants").mkdir(exist_ok=True)
    save_file(tensors, out / "quants" / "blocks.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "tests" / "goldens")
    parser.add_argument("--only", nargs="*", help="these cases alone")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    if not options.only:
        write_buckets(options.out)
        write_configs(options.out)
        write_quants(options.out)
    for case in CASES:
        if not options.only or case.name in options.only:
            write_case(case, options.out)


if __name__ == "__main__":
    main()
