"""Amounts of money -> ISO 4217."""
import random

from .field import Field

ID, TITLE, TAGS = "money", "Amounts of money", ["money", "ISO 4217"]
DESCRIPTION = "Writes amounts with the ISO currency code: 12,50 € becomes EUR 12.50."

#: code -> (signs put before the amount, words put after it)
CURRENCIES = {
    "EUR": (["€"], ["euros", "euro", "Euro", "€"]),
    "USD": (["$", "US$"], ["dollars", "US dollars", "bucks", "$"]),
    "GBP": (["£"], ["pounds", "quid", "£"]),
    "CHF": (["Fr."], ["francs", "Swiss francs"]),
    "JPY": (["¥"], ["yen", "¥"]),
    "INR": (["₹", "Rs."], ["rupees"]),
    "SEK": ([], ["kronor"]),
}
CONTEXTS = [
    "for {}", "costs {}", "pay {}", "paid {}", "total {}", "total: {}", "price {}", "price: {}", "only {}", "rent is {}", "refund of {}", "Total {}", "Price: {}",
    "the bill was {}", "invoice over {}", "we owe {}", "fee: {}", "a fee of {}", "budget {}", "sold for {}", "a deposit of {}", "it cost {}", "about {}",
    "tickets are {}", "{name} owes me {}", "the hotel in {place} costs {}", "lunch was {}", "I paid {} for it", "{} per person", "the rent is {} a month",
    "{name} gave {}", "we need {} more", "save {} a year",
]
VOCABULARY = [s for signs, words in CURRENCIES.values() for w in signs + words if len(w) > 1 for s in (w, " " + w) if " " not in w] + [
    w for code in CURRENCIES for w in (code, " " + code)] + [" €", " $", " £", " ¥", " ₹", " Swiss", " US", " cents"]


def sample(rng: random.Random) -> Field:
    code = rng.choice(("EUR", "EUR", "USD", "USD", "GBP", "GBP", *CURRENCIES))
    whole = int(10 ** rng.uniform(0.3, 4.2))
    cents = 0 if code == "JPY" else rng.choice((0, 0, 50, rng.randrange(100), rng.randrange(100)))
    clean = f"{code} {whole}" if code == "JPY" else f"{code} {whole}.{cents:02}"
    comma = code in ("EUR", "SEK") and rng.random() < 0.5
    point, group = (",", ".") if comma else (".", ",")
    digits = f"{whole:,}".replace(",", group) if whole > 999 and rng.random() < 0.6 else str(whole)
    if cents or (code != "JPY" and rng.random() < 0.2):
        digits += f"{point}{cents:02}"
    signs, words = CURRENCIES[code]
    roll = rng.random()
    if signs and roll < 0.4:
        messy = rng.choice(signs) + rng.choice(("", "", " ")) + digits
    elif roll < 0.85:
        word = rng.choice(words)
        messy = digits + (rng.choice(("", " ")) if word in "€$£¥" else " ") + word
    elif roll < 0.95:
        messy = f"{digits} {code}"
    else:
        messy = f"{code}{digits}"
    return Field(clean, messy, clean)
