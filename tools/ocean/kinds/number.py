"""Number words -> digits."""
import random

from .field import Field

ID, TITLE, TAGS = "number", "Numbers in words", ["number words", "digits"]
DESCRIPTION = "Writes numbers in digits: twenty-three becomes 23."
#: digits are no sign of a number that was in words
TIDY = False

SMALL = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen").split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
CONTEXTS = [
    "{} people came", "we need {} chairs", "{} boxes", "all {} of them", "order {} copies", "{} guests from {place}", "he counted {}", "room for {}", "{} times",
    "{} seats are free", "a list of {} names", "she scored {}", "{} students", "{} cars", "page {}", "group of {}", "{} pieces are missing", "sold {} bottles",
    "{name} has {} books", "{name} is {} years old", "at the age of {}", "{} letters for {name}", "more than {}", "exactly {}", "count: {}", "quantity: {}",
]
VOCABULARY = [s + w for w in SMALL + TENS[2:] for s in ("", " ")] + ["-" + w for w in SMALL[1:10]] + [" hundred", " and"]


def words(n: int, joint: str) -> str:
    """n from 1 to 999."""
    if n >= 100:
        rest = f" and {words(n % 100, joint)}" if n % 100 else ""
        return f"{SMALL[n // 100]} hundred{rest}"
    if n < 20:
        return SMALL[n]
    return TENS[n // 10] + (joint + SMALL[n % 10] if n % 10 else "")


def sample(rng: random.Random) -> Field:
    n = rng.choice((rng.randint(13, 99), rng.randint(13, 99), rng.randint(101, 999)))
    return Field(str(n), words(n, rng.choice("-- ")), str(n), atom=n < 20 or n % 10 == 0 and n < 100)
