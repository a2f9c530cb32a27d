"""Dates -> ISO 8601."""
import random

from .field import Field, misspell, recase

ID, TITLE, TAGS = "date", "Dates", ["date", "ISO 8601"]
DESCRIPTION = "Writes dates the ISO way: 3rd of March 2021 becomes 2021-03-03."

MONTHS = "January February March April May June July August September October November December".split()
SHORT = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
GERMAN = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()
MISSPELT = {1: "Febuary", 8: "Septmber", 0: "Janurary", 7: "Agust", 10: "Novemeber", 11: "Decemeber", 9: "Octobre", 3: "Apirl"}

CONTEXTS = [
    "on {}", "due {}", "due on {}", "born {}", "born on {}", "since {}", "until {}", "before {}", "after {}", "by {}",
    "dated {}", "from {}", "deadline: {}", "deadline {}", "date: {}", "expires {}", "signed {}", "arrived on {}",
    "moved to {}", "the meeting of {}", "your letter of {}", "starts {}", "ends {}", "delivered on {}", "valid until {}",
]
VOCABULARY = [" " + m for m in MONTHS + SHORT + GERMAN] + SHORT + [m.upper() for m in SHORT] + [
    " january", " february", " march", " april", " june", " july", " august", " september", " october", " november", " december",
    "th", "st", "nd", "rd",
]


def _month(m: int, rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.5:
        name = MONTHS[m]
    elif roll < 0.85:
        name = SHORT[m] + rng.choice(("", "", "."))
    elif m in MISSPELT and roll < 0.92:
        name = MISSPELT[m]
    elif len(MONTHS[m]) > 4:
        name = misspell(MONTHS[m], rng)
    else:
        name = MONTHS[m]
    return recase(name, rng)


def _ordinal(d: int) -> str:
    return f"{d}{'th' if 10 < d < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(d % 10, 'th')}"


def sample(rng: random.Random) -> Field:
    y, m, d = rng.randint(1950, 2039), rng.randrange(12), rng.randint(1, 28 if rng.random() < 0.9 else 30)
    if m == 1:
        d = min(d, 28)
    clean = f"{y}-{m + 1:02}-{d:02}"
    name = _month(m, rng)
    day = rng.choice((str(d), str(d), f"{d:02}"))
    roll = rng.randrange(16)
    if roll < 3:
        messy = f"{day} {name} {y}"
    elif roll < 6:
        messy = f"{name} {day}, {y}"
    elif roll < 7:
        messy = f"{_ordinal(d)} of {name} {y}"
    elif roll < 9:
        messy = f"{_ordinal(d)} {name} {y}"
    elif roll < 10:
        messy = f"{name} {_ordinal(d)}, {y}"
    elif roll < 11:
        messy = f"{name} {d} {y}"
    elif roll < 12:
        sep = rng.choice("-/")
        messy = f"{day}{sep}{SHORT[m]}{sep}{y}"
    elif roll < 13:
        messy = f"{y} {name} {day}"
    elif roll < 14:
        messy = f"{d}. {GERMAN[m]} {y}"
    elif roll < 15:
        messy = f"{day}.{m + 1:02}.{y}" if rng.random() < 0.5 else f"{d}.{m + 1}.{y}"
    else:
        sep = rng.choice("/.")
        messy = f"{y}{sep}{m + 1:02}{sep}{d:02}"
    return Field(clean, messy, clean)
