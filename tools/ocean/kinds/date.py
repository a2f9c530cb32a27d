"""Dates -> ISO 8601."""
import calendar
import random

from .field import Field, recase

ID, TITLE, TAGS = "date", "Dates", ["date", "ISO 8601"]
DESCRIPTION = "Writes dates the ISO way: 3rd of March 2021 becomes 2021-03-03."

MONTHS = "January February March April May June July August September October November December".split()
SHORT = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
GERMAN = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()
#: the slips that people make, by month
MISSPELT = {0: ["Janurary"], 1: ["Febuary", "Feburary"], 3: ["Apirl"], 7: ["Agust"], 8: ["Septmber", "Sept"], 9: ["Octobre"], 10: ["Novemeber"], 11: ["Decemeber"]}

CONTEXTS = [
    "due {}", "due on {}", "born {}", "born on {}", "since {}", "until {}", "from {}", "dated {}", "deadline: {}", "deadline {}", "date: {}", "Date {}",
    "expires {}", "valid until {}", "signed on {}", "starts on {}", "ends {}", "paid on {}", "the invoice of {}", "your letter of {}", "delivery on {}",
    "we moved in on {}", "the meeting is on {}", "the party is on {}", "see you on {}", "{name} arrives on {}", "{name} was born on {}", "I will be back on {}",
    "the flight to {place} is on {}", "the shop opens on {}", "we leave on {}", "holiday until {}", "check in {}", "closed on {}", "please pay by {}",
]
VOCABULARY = [" " + m for m in MONTHS + SHORT + GERMAN] + [" " + w for ws in MISSPELT.values() for w in ws] + SHORT + [m.upper() for m in SHORT] + [
    " " + m.lower() for m in MONTHS + SHORT] + [" " + m.upper() for m in SHORT] + ["th", "st", "nd", "rd"]


def _month(m: int, rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.55:
        return rng.choice((str, str, str, str, str.lower))(MONTHS[m])
    if roll < 0.9 or m not in MISSPELT:
        return recase(SHORT[m], rng) + rng.choice(("", "", "", "."))
    return rng.choice(MISSPELT[m])


def _ordinal(d: int) -> str:
    return f"{d}{'th' if 10 < d < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(d % 10, 'th')}"


def sample(rng: random.Random) -> Field:
    y, m = rng.randint(1950, 2039), rng.randrange(12)
    d = rng.randint(1, calendar.monthrange(y, m + 1)[1])
    clean = f"{y}-{m + 1:02}-{d:02}"
    name = _month(m, rng)
    day = rng.choice((str(d), str(d), str(d), f"{d:02}"))
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
        messy = f"{d}. {GERMAN[m]} {y}"
    elif roll < 15:
        messy = f"{d:02}.{m + 1:02}.{y}" if rng.random() < 0.6 else f"{d}.{m + 1}.{y}"
    else:
        messy = f"{y}/{m + 1:02}/{d:02}"
    return Field(clean, messy, clean)
