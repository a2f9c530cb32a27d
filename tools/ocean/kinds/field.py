"""What a generator returns, and misspelling, which several of them share."""
import random
from typing import NamedTuple


class Field(NamedTuple):
    value: str  #: identifies the value, however written; decides the split
    messy: str  #: as a person typed it
    clean: str  #: the standard form
    atom: bool = False  #: true for values that are single words of the notation itself


def misspell(word: str, rng: random.Random) -> str:
    """One slip of the finger inside the word: a letter dropped, doubled, or swapped with its neighbour."""
    i = rng.randrange(1, len(word) - 1)
    slip = rng.randrange(3)
    if slip == 0:
        return word[:i] + word[i + 1 :]
    if slip == 1:
        return word[:i] + word[i] + word[i:]
    return word[:i] + word[i + 1] + word[i] + word[i + 2 :]


def recase(text: str, rng: random.Random) -> str:
    """Mostly as given, sometimes in lower or upper case."""
    return rng.choice((str, str, str, str, str.lower, str.upper))(text)
