"""What the ocean is asked: lines that nobody trained on, as JSONL for `gander eval`.

    own/<kind>       one or two fields of one kind: what its expert was trained for
    composite/<n>    two, three or four kinds in one line: no single expert can do it
    other/unseen     wordings that no training had, and for some kinds a way to write that none had
    other/between    two kinds in one run of tokens, nothing between them but a space
    other/plain      nothing to do

Values belong to the test split (kinds/__init__.py); the words of closed lists are known, the lines around them are not.
"""
import json
import random
from pathlib import Path
from typing import Callable

from . import lines
from .kinds import KINDS, date, field, number, unit
from .lines import Line, Segment

SEED = 90
OWN, OTHER = 100, 200  #: lines of a set
UNSEEN_CONTEXTS = [
    "in the margin stands {}", "could you note {} somewhere", "I only remember {}", "the screen shows {}", "on the back somebody put {}", "subject line {}", "he kept repeating {}",
    "copied from paper: {}", "{} was all it said", "under that, {}", "it began with {}", "my notes have {} twice", "the last entry is {}", "they printed {} on it",
]
RUNS = [("date", "time"), ("phone", "money"), ("country", "phone"), ("name", "email"), ("state", "card"), ("roman", "date"), ("unit", "money"), ("url", "time")]


def unseen(kind: str, rng: random.Random) -> Line:
    before, after = rng.choice(UNSEEN_CONTEXTS).split("{}")
    made = field(kind, rng, "test")
    messy = written_anew(kind, made.clean, rng) if kind in ("date", "time", "phone", "url") and rng.random() < 0.5 else made.messy
    return lines.merge([Segment(None, before, before), Segment(kind, messy, made.clean), Segment(None, after, after)], rng)


def written_anew(kind: str, clean: str, rng: random.Random) -> str:
    """The standard form written in a way that no generator knows."""
    if kind == "date":
        year, month, day = clean.split("-")
        return rng.choice((f"{year} {date.MONTHS[int(month) - 1]} {int(day)}", f"{int(day)}-{date.MONTHS[int(month) - 1]}-{year}"))
    if kind == "time":
        hour, minute = clean.split(":")
        part = "am" if int(hour) < 12 else "pm"
        twelve = (int(hour) - 1) % 12 + 1
        return rng.choice((f"{twelve}-{minute} {part}", f"{part} {twelve}:{minute}"))
    if kind == "phone":
        country_code, rest = clean[:3], clean[3:]
        return rng.choice((f"{country_code}/{rest[:3]}/{rest[3:]}", f"{country_code} {' '.join(rest)}"))
    return f"https://{clean}/home/"


def between(rng: random.Random) -> Line:
    if rng.random() < 0.15:  # the number is in words, the unit beside it: two experts for one quantity
        count, symbol = rng.randint(21, 99), rng.choice(list(unit.UNITS))
        fields = [Segment("number", number.words(count, "-"), str(count)), Segment(None, " ", " "), Segment("unit", rng.choice(unit.UNITS[symbol]), symbol)]
    else:
        first, second = (Segment(kind, made.messy, made.clean) for kind in rng.choice(RUNS) for made in [field(kind, rng, "test")])
        fields = [first, Segment(None, " ", " "), second]
    before, after = rng.choice(("{}", "{}", "note: {}", "{} for {name}", "{name}: {}", "it is {}", "please check {}")).split("{}")
    before, after = lines.fill(before, rng), lines.fill(after, rng)
    return lines.merge([Segment(None, before, before), *fields, Segment(None, after, after)], rng)


def composite(count: int, rng: random.Random) -> Line:
    return lines.line(rng.sample(list(KINDS), count), rng, "test")


def jsonl(rows: list[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def rows(name: str, count: int, make: Callable[[random.Random], Line]) -> list[dict]:
    """Distinct lines, with what `gander eval` wants to know of each."""
    rng = random.Random(f"{SEED} {name}")
    found: dict[str, dict] = {}
    while len(found) < count:
        line = make(rng)
        kinds = sorted({s.kind for s in line if s.kind})
        text = lines.text(line)
        # An own line that is in standard form already asks for nothing: the base does it too. They stay in, as people's lines have them.
        found[text] = {"input": text, "targets": [lines.text(line, set(kinds))], "experts": kinds}
    return list(found.values())


def write(folder: Path, kinds: list[str]) -> None:
    made = {f"own/{kind}": rows(f"own-{kind}", OWN, lambda rng, kind=kind: lines.own(kind, rng, "test")) for kind in kinds}
    made |= {f"composite/{n}": rows(f"composite-{n}", OTHER, lambda rng, n=n: composite(n, rng)) for n in (2, 3, 4)}
    made["other/unseen"] = rows("unseen", OTHER, lambda rng: unseen(rng.choice(kinds), rng))
    made["other/between"] = rows("between", OTHER, between)
    made["other/plain"] = rows("plain", OTHER, lambda rng: lines.line([], rng, "test"))
    for name, found in made.items():
        file = folder / f"{name}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(jsonl(found))


def write_examples(folder: Path, kinds: list[str], count: int = 300) -> None:
    """For each expert lines that it may train on, as it trains on them: what `gander catalog vectors` measures it by."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        rng = random.Random(f"{SEED} examples {kind}")
        made = [lines.own(kind, rng, "train") for _ in range(count)]
        known = [{"input": lines.text(line), "targets": [lines.text(line, {kind})]} for line in made]
        (folder / f"{kind}.jsonl").write_text(jsonl(known))
