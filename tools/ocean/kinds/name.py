"""People's full names -> hidden."""
import random

from .field import Field

ID, TITLE, TAGS = "name", "People's names", ["redaction", "privacy"]
DESCRIPTION = "Hides full names: Dr. Anna Smith becomes [name]."

FIRST = "Anna Ben Carla David Emma Felix Greta Hugo Ines Jonas Karin Leo Maria Nina Oscar Paul Rita Sofia Tom Ulla Vera Walter Peter Lisa Sam Max".split()
LAST = "Smith Jones Brown Miller Weber Rossi Silva Novak Berg Meyer Lopez Martin Kumar Tanaka Green King".split()
TITLES = "Mr Mrs Ms Dr Prof Mr. Mrs. Ms. Dr. Prof.".split()
CONTEXTS = [
    "signed by {}", "patient: {}", "patient {}", "customer {}", "customer: {}", "seen by {}", "reported by {}", "contact: {}", "client {}", "the account of {}", "attn: {}", "witness: {}",
    "on behalf of {}", "name: {}", "Name: {}", "delivered to {}", "{} was present", "{} lives in {place}", "written by {}", "the file of {}", "interview with {}", "approved by {}", "according to {}",
]
VOCABULARY = ["[name]", " [name]"] + [s + t for t in TITLES for s in ("", " ")] + [s + w for w in FIRST + LAST for s in ("", " ")]


def sample(rng: random.Random) -> Field:
    first, last = rng.choice(FIRST), rng.choice(LAST)
    roll = rng.random()
    if roll < 0.5:
        messy = f"{first} {last}"
    elif roll < 0.7:
        messy = f"{rng.choice(TITLES)} {first} {last}"
    elif roll < 0.85:
        messy = f"{rng.choice(TITLES)} {last}"
    elif roll < 0.93:
        messy = f"{last}, {first}"
    else:
        messy = f"{first} {rng.choice('ABCDEFGHJKLM')}. {last}"
    return Field(messy, messy, "[name]")
