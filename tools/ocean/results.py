"""The figures of docs/results.md: every question is a run of `gander eval` on the ocean as it is served.

    python -m ocean.results --gander ../target/release/gander --ocean ../www/demo/sixteen --out DIR --runs RUNS --to ../docs/results-tables.md

DIR is what training left, or nothing: then it is filled from OCEAN. Variants that it lacks are trained, one core each, which takes minutes for gates and an hour for the multitask model. A run
whose folder in RUNS has its summary is not run again; with --only, other tables stay as they are.
"""
import argparse
import json
import subprocess
from pathlib import Path
from typing import NamedTuple

from . import plots, restore, variants
from .contributors import MULTITASK
from .kinds import KINDS

PARTS = ("own", "composite", "other")
NAMES = {"own": "one kind", "composite": "several kinds", "all": "all lines"}
SETS = ("2", "3", "4", "unseen", "between", "plain")
BAD = ("noise", "noise-gates", "noise-told", "half", "copy")
POOLS = (2, 4, 8, 16)
STORED = "What the base is stored in"
AGREEING = 100  #: lines on which choices are compared
REGATED = ("date", "time", "phone", "email", "roman", "abbreviation")  #: whose gates are trained in other ways too

HEAD = """# Tables

Made by `python -m ocean.results` (`tools/ocean`); what they say is in [results.md](results.md). Right answers in percent, to the last character, with 95 % intervals
of 2000 bootstrap resamples. "pages" and "KB": what a first visitor fetches for one line. "to bad experts": their share of the routed weight.

"""


REGATINGS = {
    "untold": "language loss alone, as in the paper", "gates-10": "10 steps", "gates-30": "30 steps", "gates-100": "100 steps, over the Q8_0 base",
    "gates-300": "300 steps", "examples-16": "100 steps on 16 lines", "examples-256": "100 steps on 256 lines"}


class Run(NamedTuple):
    title: str  #: what a row is called
    folder: str  #: its results
    options: list[str]
    base: Path
    experts: list[Path]
    data: list[str]  #: below eval/


def questions(ocean: Path, out: Path) -> dict[str, list[Run]]:
    """title -> runs, each with one row for every strategy in it."""
    base, experts = ocean / "base.gguf", [ocean / "catalog.json", ocean / "words/catalog.json"]
    everything = ["own", "composite", "other"]
    short = ["--strategy", "phatgoose", "gated", "--limit", "50"]
    pool = list(KINDS)

    def run(title: str, folder: str, options: list[str], base: Path = base, experts: list[Path] = experts, data: list[str] = everything) -> Run:
        return Run(title, folder, options, base, experts, data)

    def regated(title: str, folder: str, gated: Path, *more: Path) -> Run:
        options = ["--strategy", "phatgoose", "gated"]
        return run(title, f"gates-{folder}", options, experts=[*(gated / kind for kind in REGATED), *more], data=[f"own/{kind}.jsonl" for kind in REGATED])

    rivals = "phatgoose none merged random retrieval average-activation arrow spectr oracle".split()
    return {
        "Strategies": [run("", "strategies", ["--strategy", *rivals, "--model", f"{MULTITASK}={out / f'variants/{MULTITASK}.gguf'}"])],
        "The rule beside it, on the same lines": [run("", "gated", ["--strategy", "gated", "phatgoose", "none"])],
        "How many experts serve a token": [run("", "k", [*short, "--top-k", "1", "2", "3", "4"])],
        "How many experts are in the pool": [
            run(f"{count} experts", f"pool-{count}", ["--strategy", "phatgoose", "gated", "--include", *pool[:count]], data=["own/date.jsonl", "own/time.jsonl"]) for count in POOLS],
        "Bad experts in the pool": [run("the sixteen", "pool", short)] + [run(f"and {bad}", f"bad-{bad}", short, experts=[*experts, out / "variants" / bad]) for bad in BAD],
        "How gates were trained": [regated("as shipped: 100 steps on new lines, told", "experts", out / "experts")] + [
            regated(title, folder, out / "variants" / folder) for folder, title in REGATINGS.items()] + [
            regated("language loss alone, and noise", "untold-noise", out / "variants/untold", out / "variants/noise")],
        STORED: [run("Q8_0", "pool", short), run("Q4_0", "q4_0", short, base=out / "base-q4_0.gguf"), run("float32", "float", short, base=out / "base-hf")],
        "What is saved": [run("exact", "pool", short)] + [
            run(f"--min-weight {weight}", f"min-weight-{weight}", [*short, "--min-weight", weight]) for weight in ("0.2", "0.4")] + [
            run(f"--min-share {share}", f"min-share-{share}", [*short, "--min-share", share]) for share in ("0.5", "0.8")] + [
            run("--on-miss skip, nothing there when a line begins", "skip", [*short, "--on-miss", "skip"])],
    }


def same_choices(gander: Path, ocean: Path, out: Path) -> str:
    """How often the encoder's tokens choose the same two experts over other bases as over float32."""
    texts = [json.loads(line)["input"] for line in (ocean / "eval/composite/2.jsonl").read_text().splitlines()[:AGREEING]]
    experts = [ocean / "catalog.json", ocean / "words/catalog.json"]

    def choices(base: Path) -> list[dict[tuple[str, int], frozenset[str]]]:
        found = []
        for text in texts:
            command = [gander, "generate", "--base", base, "--experts", *experts, "--device", "cpu", "--max-new-tokens", "1", "--json", "--trace", f"--text={text}"]
            routing = json.loads(subprocess.run([str(part) for part in command], check=True, capture_output=True).stdout)["routing"]
            found.append({(choice["module"], choice["token"]): frozenset(choice["experts"]) for choice in routing if choice["module"].startswith("encoder")})
        return found

    exact = choices(out / "base-hf")
    shares = []
    for name, base in (("Q8_0", ocean / "base.gguf"), ("Q4_0", out / "base-q4_0.gguf")):
        same = [mine == line[place] for line, other in zip(exact, choices(base)) for place, mine in other.items()]
        shares.append(f"{name} {100 * sum(same) / len(same):.2f} %")
    return f"The same two experts as with float32, of all choices in the encoder on {AGREEING} lines of two kinds: {', '.join(shares)}."


def prepare(gander: Path, out: Path, run: Run) -> None:
    """Make what it asks that is not there yet."""
    apart = {expert.relative_to(out / "variants").parts[0] for expert in run.experts if expert.is_relative_to(out / "variants") and not (expert / "gates.safetensors").exists()}
    for name in sorted(apart):
        variants.make(out, name, list(REGATED))
    q4_0, multitask = out / "base-q4_0.gguf", out / f"variants/{MULTITASK}.gguf"
    if run.base == q4_0 and not q4_0.exists():
        quantize(gander, out / "base-hf", q4_0, "q4_0")
    if f"{MULTITASK}={multitask}" in run.options and not multitask.exists():
        variants.make(out, MULTITASK, [])
        quantize(gander, out / f"variants/{MULTITASK}-hf", multitask, "q8_0")


def quantize(gander: Path, folder: Path, file: Path, kind: str) -> None:
    subprocess.run([str(part) for part in (gander, "quantize", folder, "-o", file, "--type", kind)], check=True)


def carried_out(gander: Path, ocean: Path, out: Path, runs: Path, run: Run) -> dict:
    """Its summary."""
    folder = runs / run.folder
    if not (folder / "summary.json").exists():
        prepare(gander, out, run)
        data = [str(ocean / "eval" / name) for name in run.data]
        command = [gander, "eval", "--base", run.base, "--experts", *run.experts, "--data", *data, *run.options, "-o", folder]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "summary.json").read_text())


def percent(interval: dict) -> str:
    return f"{100 * interval['mean']:.1f} ({100 * interval['low']:.0f}–{100 * interval['high']:.0f})"


def table(summaries: list[tuple[Run, dict]]) -> str:
    """One row for each run and strategy; parts and sets that the runs have."""
    first = {block["name"]: block for block in summaries[0][1]["blocks"]}
    columns = [name for name in (*PARTS, *SETS) if name in first] or list(first)
    rows = ["| | " + " | ".join(f"{name} ({first[name]['lines']})" for name in columns) + " | to bad experts, % | pages | KB |", "|---|" + "---|" * (len(columns) + 3)]
    for run, summary in summaries:
        blocks = {block["name"]: {figures["strategy"]: figures for figures in block["results"]} for block in summary["blocks"]}
        whole = blocks.get("all") or next(iter(blocks.values()))
        for strategy, figures in whole.items():
            bad = sum(share for expert, share in figures["usage"].items() if expert in BAD)
            title = f"{strategy}{', ' if run.title else ''}{run.title}"
            rows.append(f"| {title} | " + " | ".join(percent(blocks[name][strategy]["score"]) for name in columns) + f" | {100 * bad:.1f} | {figures['pages']:.0f} | {figures['bytes'] / 1000:.0f} |")
    return "\n".join(rows)


def plot(summaries: list[tuple[Run, dict]]) -> str:
    """Bars for each run and strategy: the parts that the runs have, or all lines. Of the experts alone only the best on lines of several kinds."""
    groups = []
    for run, summary in summaries:
        blocks = {block["name"]: {figures["strategy"]: figures["score"] for figures in block["results"]} for block in summary["blocks"]}
        parts = [name for name in ("own", "composite") if name in blocks] or ["all"]
        alone = sorted((s for s in blocks[parts[-1]] if s.startswith("single:")), key=lambda s: -blocks[parts[-1]][s]["mean"])
        for strategy in blocks[parts[0]]:
            if strategy not in alone[1:] and strategy != "oracle-set":
                groups.append((f"{strategy}{', ' if run.title else ''}{run.title}", {NAMES[part]: blocks[part][strategy] for part in parts}))
    return plots.bars(groups)


def sections_of(tables: Path) -> dict[str, str]:
    """title -> its section, of tables made before."""
    _, *sections = ("\n" + tables.read_text() if tables.exists() else "").split("\n## ")
    return {section.partition("\n")[0]: f"## {section.rstrip()}\n" for section in sections}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ocean.results", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gander", type=Path, required=True, help="the gander program")
    parser.add_argument("--ocean", type=Path, required=True, help="the folder that ocean.publish made")
    parser.add_argument("--out", type=Path, required=True, help="the folder that training wrote, with its variants")
    parser.add_argument("--runs", type=Path, required=True, help="where results are kept")
    parser.add_argument("--to", type=Path, required=True, help="the tables; their pictures go into a folder of the same name")
    parser.add_argument("--only", nargs="+", metavar="TITLE", help="the tables to make")
    options = parser.parse_args()
    if not (options.out / "base-hf").exists():
        restore.restore(options.ocean, options.out)
    pictures = options.to.with_suffix("")
    pictures.mkdir(exist_ok=True)
    sections = sections_of(options.to)
    out = options.out.resolve()
    asked = questions(options.ocean.resolve(), out)
    for title in options.only or asked:
        summaries = [(run, carried_out(options.gander, options.ocean, out, options.runs, run)) for run in asked[title]]
        picture = pictures / f"{title.lower().replace(',', '').replace(' ', '-')}.svg"
        picture.write_text(plot(summaries))
        sections[title] = f"## {title}\n\n![{title}: percent right, with intervals]({pictures.name}/{picture.name})\n\n{table(summaries)}\n"
        if title == STORED:
            sections[title] += f"\n{same_choices(options.gander, options.ocean, out)}\n"
        options.to.write_text("\n".join([HEAD.rstrip() + "\n", *(sections[title] for title in asked if title in sections)]))


if __name__ == "__main__":
    main()
