"""Roman numerals -> digits."""
import random

from .field import Field

ID, TITLE, TAGS = "roman", "Roman numerals", ["roman numerals", "digits"]
DESCRIPTION = "Writes Roman numerals in digits: chapter XIV becomes chapter 14."
#: a bare number is no Roman one
TIDY = False

ONES = ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"]
TENS = ["", "X", "XX", "XXX", "XL", "L", "LX", "LXX", "LXXX", "XC"]
HUNDREDS = ["", "C", "CC", "CCC", "CD", "D"]
CONTEXTS = [
    "chapter {}", "Chapter {}", "part {}", "Part {}", "volume {}", "Volume {}", "Vol. {}", "book {}", "King Louis {}", "Henry {}", "Act {}", "act {}", "page {}",
    "section {}", "Section {}", "Article {}", "article {}", "appendix {}", "canto {}", "psalm {}", "Pope Leo {}", "lesson {}", "Title {}", "No. {}", "table {}",
    "read chapter {} first", "as chapter {} says", "see volume {}", "{name} is in act {}", "the museum in {place}, room {}", "{name} wrote part {}", "figure {}",
]
VOCABULARY = [w for w in ONES + TENS + HUNDREDS if len(w) > 1] + [" " + w for w in ONES + TENS + HUNDREDS if w]


def sample(rng: random.Random) -> Field:
    n = rng.choice((rng.randint(2, 40), rng.randint(2, 99), rng.randint(2, 99), rng.randint(100, 399)))
    return Field(str(n), HUNDREDS[n // 100] + TENS[n // 10 % 10] + ONES[n % 10], str(n), atom=n < 10 or n % 10 == 0 and n < 100 or n % 100 == 0)
