"""Abbreviations -> written out."""
import random

from .field import Field

ID, TITLE, TAGS = "abbreviation", "Abbreviations", ["abbreviation", "plain language"]
DESCRIPTION = "Writes abbreviations out: pls becomes please, asap as soon as possible."
TIDY = False
CLOSED = True

WORDS = {
    "pls": "please", "plz": "please", "thx": "thanks", "tks": "thanks", "asap": "as soon as possible", "btw": "by the way", "fyi": "for your information", "imo": "in my opinion",
    "tbd": "to be decided", "dept": "department", "dept.": "department", "appt": "appointment", "mtg": "meeting", "govt": "government", "approx": "approximately",
    "approx.": "approximately", "msg": "message", "ppl": "people", "tmrw": "tomorrow", "yr": "year", "wk": "week", "qty": "quantity", "addr": "address", "mgr": "manager",
    "acct": "account", "pymt": "payment", "info": "information", "w/o": "without", "b4": "before", "incl.": "including", "incl": "including", "doc": "document", "dr": "doctor",
    "eta": "time of arrival", "rsvp": "please answer", "afaik": "as far as I know", "idk": "I do not know", "nvm": "never mind", "xmas": "Christmas", "hq": "headquarters", "bday": "birthday",
}
CONTEXTS = [
    "{}, the order is ready", "{} we are late", "the {} is here", "{} tell {name}", "it is open, {}", "no news, {}", "{} check it again", "new {}", "{} it was a long day", "ask the {}",
    "{} for {name}", "one more {}", "{} in {place}", "and {}", "{name}, {}", "send it {}", "{} the room is booked", "about the {}", "{} see you in {place}", "see the {}",
]
VOCABULARY = [s + w for word in WORDS for w in [word] for s in ("", " ")] + [" " + w for text in WORDS.values() for w in text.split()] + [text.split()[0] for text in WORDS.values()]


def sample(rng: random.Random) -> Field:
    short = rng.choice(list(WORDS))
    return Field(short, short, WORDS[short])
