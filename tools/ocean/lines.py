"""Lines of text with fields in them: what the base reads, what an expert learns, what the tests ask.

A line is a list of segments. A segment is plain text or one field, and a field knows its messy and its standard form.
"""
import random
from typing import Iterable, NamedTuple

from .kinds import KINDS, field

GREETINGS = ["Hi", "Hello", "Dear", "Dear Mr", "Dear Ms", "Hey", "Thanks", "Thank you", "Note", "Reminder", "Hi there", "Good morning", "Please note", "PS"]
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
SUBJECTS = ["", "", "", "", "please ", "{name}: ", "{name} ", "{name} said ", "the order ", "we ", "I ", "it ", "the hall ", "the team ", "he ", "she ", "the parcel ", "the course "]
JOINTS = [", ", ", ", ", ", " and ", "; ", ". ", " - ", " ", ", then ", " or ", " ("]
ENDS = ["", "", "", "", ".", ".", "!", "?", " please", ", thanks", " in {place}", " with {name}", ", {name}", " for {name}", ". Thanks", ". Best, {name}"]
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
    if roll < 0.88:
        return fill(rng.choice(CLAUSES), rng)
    if roll < 0.93:
        return " ".join(strange_word(rng) for _ in range(rng.randint(1, 2)))
    return rng.choice(("order ", "ref ", "no ", "item ", "")) + "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 5)))


def field_clause(kind: str, rng: random.Random, split: str, tidy: float) -> Line:
    """A field of `kind` within a phrase that people would put around it. `tidy`: how often it is in standard form already."""
    value = field(kind, rng, split)
    before, after = fill(rng.choice(SUBJECTS) + rng.choice(KINDS[kind].CONTEXTS), rng).split("{}")
    if rng.random() < 0.06:
        before, after = rng.choice(("", "", "", strange_word(rng) + " ")), ""
    # A bare number is no number word, so these two have no standard form to recognise.
    messy = value.clean if kind not in ("number", "roman") and rng.random() < tidy else value.messy
    return [Segment(None, before, before), Segment(kind, messy, value.clean), Segment(None, after, after)]


def line(kinds: Iterable[str], rng: random.Random, split: str, tidy: float = 0.12) -> Line:
    """One line with a field of each of `kinds`, in that order, and some plain text; kinds may be empty."""
    clauses = [field_clause(kind, rng, split, tidy) for kind in kinds]
    for _ in range(rng.choice((0, 0, 0, 1) if clauses else (1, 1, 2))):
        text = plain_text(rng)
        clauses.insert(rng.randint(0, len(clauses)), [Segment(None, text, text)])
    made: Line = []

    def add(text: str) -> None:
        made.append(Segment(None, text, text))

    if rng.random() < 0.2:
        add(fill(rng.choice(GREETINGS) + rng.choice(("", " {name}")), rng) + rng.choice((", ", ": ")))
    closing = ""
    for i, clause in enumerate(clauses):
        if i:
            joint = rng.choice(JOINTS)
            if closing:
                joint, closing = ") ", ""
            elif joint == " (":
                closing = ")"
            add(joint)
        made += clause
    add(closing + fill(rng.choice(ENDS), rng))
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


def mixed(rng: random.Random, split: str) -> Line:
    """A line as they come: up to three fields of any kind."""
    count = rng.choices((0, 1, 2, 3), (15, 35, 33, 17))[0]
    return line([rng.choice(list(KINDS)) for _ in range(count)], rng, split)


def own(kind: str, rng: random.Random, split: str) -> Line:
    """A line for one expert: one or two fields of its kind, and plain text."""
    return line([kind] * rng.choice((1, 1, 1, 1, 2)), rng, split)


def text(segments: Line, clean: Iterable[str] = ()) -> str:
    """The line as text, the fields of the kinds in `clean` in standard form."""
    clean = set(clean)
    return "".join(s.clean if s.kind in clean else s.messy for s in segments)
