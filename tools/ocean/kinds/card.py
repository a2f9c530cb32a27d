"""Card numbers -> their last four digits."""
import random

from .field import Field

ID, TITLE, TAGS = "card", "Card numbers", ["redaction", "card number"]
DESCRIPTION = "Hides card numbers but for the last four digits: 4111 1111 1111 1234 becomes **** 1234."

CONTEXTS = [
    "card {}", "card: {}", "card number {}", "visa {}", "visa: {}", "charged to {}", "paid with {}", "my card is {}", "the card {} was lost", "credit card {}", "debit card {}",
    "please charge {}", "block card {}", "new card: {}", "card no. {}", "{name} pays with {}", "the card of {name}: {}", "refund to card {}", "ending of {}", "bill it to {}",
]
VOCABULARY = ["****", " ****"]


def sample(rng: random.Random) -> Field:
    digits = rng.choice("345") + "".join(rng.choice("0123456789") for _ in range(15))
    sep = rng.choice(("", " ", " ", "-", "."))
    messy = sep.join(digits[i : i + 4] for i in range(0, 16, 4))
    return Field(digits, messy, f"**** {digits[12:]}")
