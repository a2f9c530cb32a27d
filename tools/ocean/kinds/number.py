"""Numbers written in words -> digits."""
import random

from .field import Field

ID, TITLE, TAGS = "number", "Number words", ["number", "digits"]
DESCRIPTION = "Writes number words in digits: three hundred and five becomes 305."

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
        "nineteen").split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
CONTEXTS = [
    "{} people", "{} copies", "{} boxes", "{} guests", "about {} visitors", "{} chairs", "room {}", "{} pages", "{} of them",
    "we need {} more", "{} bottles", "he counted {} sheep", "{} days", "{} students", "page {}", "at least {} votes",
    "{} cars", "{} miles", "over {} trees", "{} steps", "order {} plates", "{} houses",
]
VOCABULARY = [w for n in ONES + TENS[2:] for w in (n, " " + n)] + [" hundred", " thousand", " and", " fourty", " a"]


def words(n: int, joiner: str, hundred_and: bool) -> str:
    """n < 10,000 in words; `joiner` stands between tens and ones."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (joiner + ONES[n % 10] if n % 10 else "")
    if n < 1000:
        head, rest, link = ONES[n // 100] + " hundred", n % 100, " and " if hundred_and else " "
    else:
        head, rest, link = words(n // 1000, joiner, hundred_and) + " thousand", n % 1000, " and " if hundred_and and n % 1000 < 100 else " "
    return head + (link + words(rest, joiner, hundred_and) if rest else "")


def sample(rng: random.Random) -> Field:
    n = rng.choice((rng.randint(2, 19), *[rng.randint(20, 99)] * 4, *[rng.randint(100, 999)] * 4, rng.randint(1000, 9999)))
    messy = words(n, rng.choice("-- "), rng.random() < 0.6)
    if messy.startswith("one hundred") and rng.random() < 0.3:
        messy = "a" + messy[3:]
    if rng.random() < 0.08:
        messy = messy.replace("forty", "fourty")
    if rng.random() < 0.1:
        messy = messy[0].upper() + messy[1:]
    return Field(str(n), messy, str(n), atom=n < 20 or (n < 100 and n % 10 == 0))
