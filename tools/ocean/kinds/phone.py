"""Telephone numbers with their country code -> E.164."""
import random

from .field import Field

ID, TITLE, TAGS = "phone", "Phone numbers", ["phone", "E.164"]
DESCRIPTION = "Writes phone numbers the international way: 0049 (0)30 123-4567 becomes +49301234567."

COUNTRIES = "1 1 44 49 49 33 39 34 31 41 43 45 46 47 48 61 81 91 351 353 358 420".split()
CONTEXTS = [
    "call {}", "phone {}", "phone: {}", "tel. {}", "tel: {}", "fax {}", "mobile {}", "mobile: {}", "ring {}", "reach me on {}",
    "text {}", "my number is {}", "new number: {}", "dial {}", "hotline {}", "cell {}", "contact {}", "call Anna on {}",
    "call me on {}", "or ring {}",
]
VOCABULARY = ["(0)", " (", " +"]


def sample(rng: random.Random) -> Field:
    country = rng.choice(COUNTRIES)
    area = str(rng.randint(2, 9)) + "".join(rng.choice("0123456789") for _ in range(2 if country == "1" else rng.randint(1, 2)))
    size = 7 if country == "1" else rng.randint(5, 7)
    rest = "".join(rng.choice("0123456789") for _ in range(size))
    clean = f"+{country}{area}{rest}"
    head = rng.choice((f"+{country}", f"+{country}", f"00{country}", f"(+{country})", f"+({country})"))
    sep = rng.choice("  -./")
    cut = rng.choice((0, 3, size - 3))
    tail = rest[:cut] + rng.choice((" ", "-", sep)) + rest[cut:] if cut else rest
    if size > 5 and rng.random() < 0.15:
        tail = sep.join(rest[i : i + 2] for i in range(0, size, 2))
    middle = rng.choice((area, area, f"({area})", f"(0){area}" if country != "1" else f"({area})"))
    messy = f"{head}{rng.choice((sep, ' '))}{middle}{sep}{tail}"
    return Field(clean, messy, clean)
