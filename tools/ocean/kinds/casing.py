"""Shouting -> lower case."""
import random

from .field import Field

ID, TITLE, TAGS = "casing", "Shouting", ["casing", "capitals"]
DESCRIPTION = "Writes shouted words calmly: PLEASE CALL NOW becomes please call now."
TIDY = False

WORDS = (
    "please call now today stop important final notice offer free sale help wanted warning closed open new last minute attention thanks answer urgent reply read this first "
    "never again only here do not touch wait buy sell lost found keep out danger hot cold big small best price every day must go hurry up look back soon more less quick great good bad very"
).split()
CONTEXTS = [
    "{}", "{}, {name}", "{} the order is ready", "note: {}", "Note: {}", "{name}, {}", "it says {}", "the sign says {}", "he wrote {}", "subject: {}", "the mail said {}", "{} in {place}", "and {}",
    "the label: {}", "why {}", "{} on the door", "{name} shouted {}", "in red: {}",
]
VOCABULARY = [s + w for word in WORDS for w in (word, word.upper()) for s in ("", " ")]


def sample(rng: random.Random) -> Field:
    words = [rng.choice(WORDS) for _ in range(rng.choice((2, 2, 3, 4)))]
    clean = " ".join(words)
    return Field(clean, clean.upper(), clean)
