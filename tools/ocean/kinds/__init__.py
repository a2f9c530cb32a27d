"""The kinds of field, one module each.

A kind module offers
    ID, TITLE, DESCRIPTION, TAGS     what a visitor reads
    CONTEXTS                         phrases around a field; "{}" is the field, "{name}" and "{place}" are filled in
    VOCABULARY                       words that deserve a token of their own, written as they appear
    sample(rng) -> Field             one random value, written messily, with its standard form
    TIDY = False                     if the standard form does not tell the kind any more
    CLOSED = True                    if the values are a list of words, of which none can be kept for a test
A value belongs to exactly one of train, validation and test: see `field`.
"""
import random
import zlib
from types import ModuleType
from typing import NamedTuple

from . import abbreviation, amount, card, casing, country, date, email, name, number, phone, roman, spelling, state, time, unit, url
from .field import Field

KINDS: dict[str, ModuleType] = {
    m.ID: m for m in (date, time, phone, amount, email, roman, number, unit, card, url, country, state, name, casing, spelling, abbreviation)}


def split_of(value: str) -> str:
    """The split that owns a value: 8 in 10 values train, one in 10 each validate and test."""
    bucket = zlib.crc32(value.encode()) % 10
    return {8: "validation", 9: "test"}.get(bucket, "train")


def field(kind: str, rng: random.Random, split: str) -> Field:
    """A field whose value belongs to `split`. Atoms (X, C, ...) are words, not values: they only train. The words of a closed list are in every split."""
    while True:
        made = KINDS[kind].sample(rng)
        owner = "train" if made.atom else split_of(kind + made.value)
        if owner == split or getattr(KINDS[kind], "CLOSED", False):
            return made
