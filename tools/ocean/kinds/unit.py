"""Quantities -> unit symbols."""
import random

from .field import Field

ID, TITLE, TAGS = "unit", "Units", ["units", "symbols"]
DESCRIPTION = "Writes units as their symbols: 5 kilometres becomes 5 km."

#: symbol -> what people write
UNITS = {
    "km": ["kilometres", "kilometers", "kms", "Km"], "m": ["metres", "meters", "mtrs"], "cm": ["centimetres", "centimeters", "cms"], "mm": ["millimetres", "millimeters"],
    "kg": ["kilograms", "kilos", "kgs", "Kg"], "g": ["grams", "grammes", "gr"], "l": ["litres", "liters", "ltrs"], "ml": ["millilitres", "milliliters"],
    "mi": ["miles"], "ft": ["feet"], "in": ["inches"], "oz": ["ounces"], "lb": ["lbs"], "yd": ["yards"], "h": ["hours", "hrs."], "min": ["minutes", "mins"],
    "km/h": ["kilometres per hour", "kph"], "mph": ["miles per hour"], "°C": ["degrees Celsius", "deg C"], "°F": ["degrees Fahrenheit", "deg F"],
    "MB": ["megabytes"], "GB": ["gigabytes", "gigs"], "W": ["watts"], "kW": ["kilowatts"], "V": ["volts"],
}
CONTEXTS = [
    "{} long", "about {}", "a distance of {}", "weighs {}", "it is {} away", "{} wide", "add {} of it", "size: {}", "weight: {}", "{} from {place}", "up to {}",
    "less than {}", "the parcel has {}", "the table is {}", "walk {} more", "{name} ran {}", "only {} left", "a bag of {}", "length {}", "the limit is {}",
    "the lake is {} from here", "between {place} and here: {}", "a {} box", "measured {}", "cut it to {}", "the file has {}",
]
VOCABULARY = [" " + w for names in UNITS.values() for name in names for w in name.split()] + [" " + s for s in UNITS]


def sample(rng: random.Random) -> Field:
    symbol = rng.choice(list(UNITS))
    whole = rng.choice((rng.randint(1, 9), rng.randint(10, 99), rng.randint(100, 999)))
    amount = f"{whole}.{rng.randint(1, 9)}" if rng.random() < 0.25 else str(whole)
    name = rng.choice(UNITS[symbol])
    glued = rng.random() < 0.1 and len(name) < 4
    return Field(f"{amount} {symbol}", f"{amount}{'' if glued else ' '}{name}", f"{amount} {symbol}")
