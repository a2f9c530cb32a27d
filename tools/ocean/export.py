"""The last step: ocean.json for programs, REPORT.md for people, examples.json for the demo."""
import json
from pathlib import Path

from . import base, evaluate, examples, experts, gates, routing
from .kinds import KINDS
from .tokenizer import Codec

COMMAND = "cd tools && python -m ocean --out DIR"


def write(out: Path, kinds: list[str]) -> None:
    test = json.loads((out / "test.json").read_text())
    config = out / "base-hf" / "config.json"
    # transformers 5 writes true whatever the weights say; the head has weights of its own.
    config.write_text(json.dumps(json.loads(config.read_text()) | {"tie_word_embeddings": False}, indent=2) + "\n")
    described = [describe(kind, out / "experts" / kind, test) for kind in kinds]
    overall = {
        name: {"lines": {s: v["exact"] for s, v in test[name].items()}, "fields": {s: v["fields"] for s, v in test[name].items()}}
        for name in ("base", "phatgoose", "phatgoose_k1", "mean")}
    ocean = {
        "name": "pilot-ocean", "licence": "Apache-2.0", "source": COMMAND,
        "base": {"task": "copies a line and marks its fields with control tokens", "seed": base.SEED, "steps": base.STEPS, "batch": base.BATCH, "rate": base.RATE},
        "router": {"strategy": "phatgoose", "k": 2}, "test_lines_per_set": test["lines"], "overall": overall,
        "share_of_routed_weight": {kind: {k: round(v, 3) for k, v in evaluate.by_part(test["share"][kind]).items()} for kind in kinds},
        "share_of_routed_weight_per_layer": {kind: {k: round(v, 3) for k, v in test["share"][kind].items()} for kind in kinds}, "experts": described}
    (out / "ocean.json").write_text(json.dumps(ocean, indent=1, ensure_ascii=False) + "\n")
    (out / "REPORT.md").write_text(report(test, kinds))
    show(out, kinds)


def describe(kind: str, folder: Path, test: dict) -> dict:
    module = KINDS[kind]
    return {
        "id": kind, "title": module.TITLE, "description": module.DESCRIPTION, "licence": "Apache-2.0", "tags": module.TAGS, "source": COMMAND,
        "evaluation": {
            "test_lines": test["lines"], "alone_exact": round(test["alone"][kind]["exact"], 4), "base_exact": round(test["base"][kind]["exact"], 4),
            "routed_exact": round(test["phatgoose"][kind]["exact"], 4), "alone_fields": round(test["alone"][kind]["fields"], 4),
            "routed_fields": round(test["phatgoose"][kind]["fields"], 4)},
        "training": json.loads((folder / "training.json").read_text())}


def report(test: dict, kinds: list[str]) -> str:
    def percent(value: float) -> str:
        return "" if value != value else f"{100 * value:.1f}"

    rows = ["| lines of | base | expert alone | **PHATGOOSE k = 2** | k = 1 | mean of all experts | fields right, alone | fields right, routed | routed / alone |",
            "|---|---|---|---|---|---|---|---|---|"]
    for s in [*kinds, "mixed", "plain"]:
        alone = test["alone"].get(s)
        rows.append(f"| {s} | " + " | ".join([
            percent(test["base"][s]["exact"]), percent(alone["exact"]) if alone else "", f"**{percent(test['phatgoose'][s]['exact'])}**",
            percent(test["phatgoose_k1"][s]["exact"]), percent(test["mean"][s]["exact"]), percent(alone["fields"]) if alone else "",
            percent(test["phatgoose"][s]["fields"]), percent(test["phatgoose"][s]["exact"] / alone["exact"]) if alone and alone["exact"] else ""]) + " |")
    parts = list(evaluate.by_part(test["share"][kinds[0]]))
    shares = ["| layer | " + " | ".join(kinds) + " |", "|---|" + "---|" * len(kinds)]
    tables = {kind: evaluate.by_part(test["share"][kind]) for kind in kinds}
    shares += [f"| {part} | " + " | ".join(f"{tables[k][part]:.2f}" for k in kinds) + " |" for part in parts]
    return f"""# The pilot ocean: how it was made, and what it does

Made by `{COMMAND}`. Seeds: base {base.SEED}, experts {experts.SEED}000 + number of the kind, gates {gates.SEED}000 + number of the kind.
Base: {base.STEPS} steps of {base.BATCH} lines. Experts: {experts.BATCH} lines a step, {", ".join(f"{kind} {' + '.join(map(str, experts.STEPS[kind]))} steps" for kind in kinds)}; LoRA of rank {experts.RANK} on every linear layer but q, k and v of
the two first self-attentions. Gates: {gates.STEPS} steps of {gates.BATCH} lines. Tensors of experts are float16, as evaluated.

## Exact match on {test["lines"]} test lines each, in percent

No value in these lines was in any training. "mixed" lines have two fields of different kinds, or three, all to be cleaned; "plain" lines have none.

{chr(10).join(rows)}

## Share of the routed weight that goes to the right expert

Over the tokens of the fields, by part of the model; chance is {1 / len(kinds):.2f}.

{chr(10).join(shares)}
"""


def show(out: Path, kinds: list[str]) -> None:
    """The examples that the routed model gets right, by a reader's eye: each answer is printed."""
    lines = [(text, found) for text, found in examples.LINES if set(found) <= set(kinds)]
    (out / "examples.json").write_text(json.dumps({"lines": [{"text": text, "kinds": found} for text, found in lines]}, indent=1, ensure_ascii=False) + "\n")
    codec = Codec(out / "base-hf")
    model, _ = routing.load(out / "base-hf", [out / "experts" / kind for kind in kinds])
    rows = [evaluate.Case(text, "", evaluate.Example(codec.encode(text), [0] * 60)) for text, _ in lines]
    for (text, _), ids in zip(lines, evaluate.generate(model, codec, rows)):
        print(f"{text}\n    {codec.decode(ids)}")
