"""Lines of text with fields in them: what the base reads, what an expert learns, what the tests ask.

A line is a list of segments. A segment is plain text or one field, and a field knows its messy and its standard form.
"""
import random
from typing import Iterable, NamedTuple

from .kinds import KINDS, field

PEOPLE = ("Anna Ben Carla David Emma Felix Greta Hugo Ines Jonas Karin Leo Maria Nina Oscar Paul Rita Sofia Tom Ulla Vera Walter Smith Jones Brown "
          "Miller Weber Rossi Silva Novak Berg Meyer Lopez Martin Kumar Tanaka Green King Peter Lisa Sam Max").split()
PLACES = "Berlin Paris Rome Madrid London Vienna Prague Oslo Lisbon Dublin Boston Hamburg Zurich Geneva Milan Porto Bern Graz Lyon York".split()
CLAUSES = [
    "the order is ready", "we will send the parts", "please bring your own cup", "the meeting is in {place}", "{name} has the keys", "the room is booked",
    "see you in {place}", "{name} and {name} are coming", "the old printer is broken", "thanks for your help", "no news yet", "let me know",
    "the train to {place} was late", "please sign the form", "it is still open", "we met in {place}", "the report is on the table", "ask {name} first",
    "the garden needs water", "new address in {place}", "this is the last one", "all good so far", "the box is empty", "nothing has changed",
    "{name} will be there", "bring the red folder", "the shop near the station", "our office in {place}", "the contract with {name}", "a letter from {name}",
    "the second door on the left", "please check it again", "I will be late", "{name} is out of office", "the house by the lake", "can you help me",
    "it was a long day", "as agreed with {name}", "the window is open", "we have two dogs", "one of them is mine", "at least it works", "may I ask you something",
    "the show was great", "{name} lives in {place}", "order from {place}", "not yet paid", "for {name}", "to {place}", "with {name}", "in {place}", "{name} from {place}",
    "the match is over", "some dot on the map", "I am at home", "the pm of {place}", "that is a good point", "the first of many", "version 2 is out", "step 3 of 4", "group 7",
    "I think so", "V for victory", "plan B", "half of it", "past and future", "half the price", "a quarter of the cake",
]
OPENINGS = ["Hi {name}, ", "Hello, ", "Dear {name}, ", "Hey {name}, ", "Thanks {name}, ", "Note: ", "Reminder: ", "PS: ", "{name}: ", "{name} said ", "please ", "and ", "- ", "Hi, "]
JOINTS = [", ", ", ", ", ", " and ", " and ", "; ", ". ", " - ", ", or ", " | "]
ENDS = [".", ".", ".", "!", "?", " please", ", thanks", " in {place}", " with {name}", ", {name}", " for {name}", " (see below)", ". Thanks", ". Best, {name}"]
COMMON = (
    "the of to and a in is it you that he was for on are with as I his they be at one have this from or had by not but what all were we when your can said there "
    "an each which she do how their if will up other about out many then them these so some her would make like him into time has look two more write go see "
    "number no way could people my than first water been call who oil its now find long down day did get come made may part over new sound take only little work "
    "know place year live me back give most very after thing our just name good sentence man think say great where help through much before line right too mean "
    "old any same tell boy follow came want show also around form three small set put end does another well large must big even such because turn here why ask went "
    "men read need land different home us move try kind hand picture again change off play spell air away animal house point page letter mother answer found study "
    "still learn should world high every near add food between own below country plant last school father keep tree never start city earth eye light thought head "
    "under story saw left few while along might close something seem next hard open example begin life always those both paper together got group often run "
    "important until children side feet car mile night walk white sea began grow took river four carry state once book hear stop without second later miss idea "
    "enough eat face watch far really almost let above girl sometimes mountain cut young talk soon list song being leave family"
).split()
CONSONANTS, VOWELS = "bcdfghjklmnprstvwz", "aeiou"


class Segment(NamedTuple):
    kind: str | None  #: None for plain text
    messy: str
    clean: str


Line = list[Segment]


def fill(template: str, rng: random.Random) -> str:
    """Put people and places where the template asks for them."""
    while "{name}" in template:
        template = template.replace("{name}", rng.choice(PEOPLE), 1)
    while "{place}" in template:
        template = template.replace("{place}", rng.choice(PLACES), 1)
    return template


def strange_word(rng: random.Random) -> str:
    """A word nobody has seen, so that copying cannot lean on the vocabulary."""
    word = "".join(rng.choice(CONSONANTS) + rng.choice(VOWELS) + rng.choice(("", "", rng.choice(CONSONANTS))) for _ in range(rng.randint(1, 3)))
    return rng.choice((str, str, str.capitalize, str.upper))(word)


def plain_text(rng: random.Random) -> str:
    """A clause without a field."""
    roll = rng.random()
    if roll < 0.76:
        return fill(rng.choice(CLAUSES), rng)
    if roll < 0.88:
        return " ".join(rng.choice(COMMON) for _ in range(rng.randint(2, 5)))
    if roll < 0.94:
        return " ".join(strange_word(rng) for _ in range(rng.randint(1, 2)))
    return rng.choice(("order ", "ref ", "no ", "item ", "room ", "")) + "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 5)))


def field_clause(kind: str, rng: random.Random, split: str, tidy: float) -> Line:
    """A field of `kind` within a phrase that people would put around it, or bare as in a cell of a table. `tidy`: how often it is in standard form already."""
    value = field(kind, rng, split)
    before, after = fill(rng.choice(KINDS[kind].CONTEXTS), rng).split("{}") if rng.random() < 0.88 else ("", "")
    messy = value.clean if getattr(KINDS[kind], "TIDY", True) and rng.random() < tidy else value.messy
    return [Segment(None, before, before), Segment(kind, messy, value.clean), Segment(None, after, after)]


def line(kinds: Iterable[str], rng: random.Random, split: str, tidy: float = 0.08) -> Line:
    """One line with a field of each of `kinds`, in that order, and perhaps some plain text; kinds may be empty."""
    clauses = [field_clause(kind, rng, split, tidy) for kind in kinds]
    for _ in range(int(rng.random() < 0.2) if clauses else rng.choice((1, 1, 2))):
        text = plain_text(rng)
        clauses.insert(rng.randint(0, len(clauses)), [Segment(None, text, text)])
    made: Line = []

    def add(text: str) -> None:
        made.append(Segment(None, text, text))

    if rng.random() < 0.18:
        add(fill(rng.choice(OPENINGS), rng))
    for i, clause in enumerate(clauses):
        if i:
            add(rng.choice(JOINTS))
        made += clause
    if rng.random() < 0.35:
        add(fill(rng.choice(ENDS), rng))
    return merge(made, rng)


def merge(segments: Line, rng: random.Random) -> Line:
    """Join neighbouring plain segments; begin with a capital more often than not."""
    made: Line = []
    for s in segments:
        if s.kind is None and made and made[-1].kind is None:
            made[-1] = Segment(None, made[-1].messy + s.messy, made[-1].messy + s.messy)
        elif s.messy:
            made.append(s)
    if made and made[0].kind is None and rng.random() < 0.4:
        text = made[0].messy[0].upper() + made[0].messy[1:]
        made[0] = Segment(None, text, text)
    return made


def mixed(rng: random.Random, split: str, tidy: float = 0.08) -> Line:
    """A line as they come: up to four fields of any kind."""
    count = rng.choices((0, 1, 2, 3, 4), (12, 47, 27, 9, 5))[0]
    return line([rng.choice(list(KINDS)) for _ in range(count)], rng, split, tidy)


def several(known: list[str], rng: random.Random, split: str) -> Line:
    """A line with two or, now and then, three fields of different kinds."""
    return line(rng.sample(known, 3 if rng.random() < 0.15 else 2), rng, split)


def beside(kind: str, rng: random.Random, split: str) -> Line:
    """A line for one expert: a field of its kind, and one or two of other kinds."""
    kinds = [kind, *rng.sample([k for k in KINDS if k != kind], 2 if rng.random() < 0.25 else 1)]
    rng.shuffle(kinds)
    return line(kinds, rng, split)


def own(kind: str, rng: random.Random, split: str, twice: float = 0.12) -> Line:
    """A line for one expert: a field of its kind or, at a share `twice` of the lines, two, and plain text."""
    return line([kind] * (2 if rng.random() < twice else 1), rng, split)


def text(segments: Line, clean: Iterable[str] = ()) -> str:
    """The line as text, the fields of the kinds in `clean` in standard form."""
    clean = set(clean)
    return "".join(s.clean if s.kind in clean else s.messy for s in segments)
