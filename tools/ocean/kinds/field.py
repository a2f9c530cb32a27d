"""What a generator returns."""
import random
from typing import NamedTuple


class Field(NamedTuple):
    value: str  #: identifies the value, however written; decides the split
    messy: str  #: as a person typed it
    clean: str  #: the standard form
    atom: bool = False  #: true for values that are single words of the notation itself


def recase(text: str, rng: random.Random) -> str:
    """Mostly as given, sometimes in lower or upper case."""
    return rng.choice((str, str, str, str, str.lower, str.upper))(text)
