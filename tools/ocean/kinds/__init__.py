"""The kinds of field, one module each.

A kind module offers
    ID, TITLE, DESCRIPTION, TAGS     what a visitor reads
    CONTEXTS                         phrases around a field; "{}" is the field, "{name}" and "{place}" are filled in
    VOCABULARY                       words that deserve a token of their own, written as they appear
    sample(rng) -> Field             one random value, written messily, with its standard form
A value belongs to exactly one of train, validation and test: see `field`.
"""
import random
import zlib
from types import ModuleType
from typing import NamedTuple

from . import amount, date, email, phone, roman, time
from .field import Field

KINDS: dict[str, ModuleType] = {m.ID: m for m in (date, time, phone, amount, email, roman)}


def split_of(value: str) -> str:
    """The split that owns a value: 8 in 10 values train, one in 10 each validate and test."""
    bucket = zlib.crc32(value.encode()) % 10
    return {8: "validation", 9: "test"}.get(bucket, "train")


def field(kind: str, rng: random.Random, split: str) -> Field:
    """A field whose value belongs to `split`. Atoms (X, C, ...) are words, not values: they only train."""
    while True:
        made = KINDS[kind].sample(rng)
        owner = "train" if made.atom else split_of(kind + made.value)
        if owner == split:
            return made
