"""Telephone numbers with their country code -> E.164."""
import random

from .field import Field

ID, TITLE, TAGS = "phone", "Phone numbers", ["phone", "E.164"]
DESCRIPTION = "Writes phone numbers the international way: 0049 (0)30 123-4567 becomes +49301234567."

COUNTRIES = "1 1 1 44 44 49 49 33 39 34 31 41 43 45 46 47 48 61 351 353 420".split()
CONTEXTS = [
    "call {}", "phone {}", "phone: {}", "tel. {}", "tel: {}", "fax {}", "mobile {}", "mobile: {}", "ring {}", "reach me on {}", "Tel. {}", "Phone: {}",
    "text {}", "my number is {}", "new number: {}", "dial {}", "hotline {}", "cell {}", "call {name} on {}", "call me on {}", "or ring {}",
    "{name} is at {}", "{name}: {}", "the office in {place} is {}", "please call back on {}", "{name} has a new number, {}", "questions? call {}", "reservations: {}",
]
VOCABULARY = ["(0)", " (", " +"]


def sample(rng: random.Random) -> Field:
    country = rng.choice(COUNTRIES)
    american = country == "1"
    area = str(rng.randint(2, 9)) + "".join(rng.choice("0123456789") for _ in range(2 if american else rng.randint(1, 2)))
    size = 7 if american else rng.randint(5, 7)
    rest = "".join(rng.choice("0123456789") for _ in range(size))
    clean = f"+{country}{area}{rest}"
    head = rng.choice((f"+{country}", f"+{country}", f"+{country}", f"00{country}", f"00{country}", f"(+{country})"))
    sep = rng.choice("   --./")
    cut = rng.choice((0, 3, size - 3))
    tail = rest[:cut] + sep + rest[cut:] if cut else rest
    middle = rng.choice((area, area, f"({area})", f"({area})" if american else f"(0){area}"))
    messy = f"{head}{rng.choice((sep, ' '))}{middle}{sep}{tail}"
    return Field(clean, messy, clean)
