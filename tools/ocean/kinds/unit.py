"""Measured quantities -> SI symbols."""
import random

from .field import Field

ID, TITLE, TAGS = "unit", "Units", ["units", "SI"]
DESCRIPTION = "Writes quantities with SI symbols: 2,5 kilos becomes 2.5 kg."

#: symbol -> how people write it
UNITS = {
    "km": ["kilometres", "kilometers", "kms", "Km", "KM"],
    "m": ["metres", "meters", "mtr"],
    "cm": ["centimetres", "centimeters", "cms", "CM"],
    "mm": ["millimetres", "millimeters", "MM"],
    "kg": ["kilos", "kilograms", "kgs", "Kg", "KG", "kilogrammes"],
    "g": ["grams", "grammes", "gr", "gms"],
    "mg": ["milligrams", "mgs"],
    "t": ["tonnes", "tons"],
    "L": ["litres", "liters", "ltr"],
    "mL": ["millilitres", "milliliters", "ml"],
    "min": ["minutes", "mins"],
    "s": ["seconds", "secs", "sec"],
    "°C": ["degrees Celsius", "deg C", "degrees C", "Celsius"],
    "km/h": ["kilometres per hour", "kph", "kmh", "kilometers per hour"],
    "kW": ["kilowatts", "KW"],
    "V": ["volts", "volt"],
}
CONTEXTS = [
    "weighs {}", "about {}", "a length of {}", "{} long", "{} wide", "{} high", "{} away", "add {} of water", "{} of flour", "walk {}", "ran {}",
    "a load of {}", "at {}", "only {}", "drive {}", "width: {}", "weight: {}", "size {}", "a bag of {}", "wait {}", "{} deep", "heat to {}", "holds {}",
]
VOCABULARY = [" " + w for ws in UNITS.values() for name in ws for w in name.split() if len(w) > 1] + [" " + u for u in UNITS] + [
    w for ws in UNITS.values() for w in ws if len(w) <= 3] + ["km/h", " °C", "kg", "km", "cm", "mm"]


def sample(rng: random.Random) -> Field:
    symbol = rng.choice(list(UNITS))
    whole = int(10 ** rng.uniform(0.1, 2.8))
    digits = str(whole)
    if rng.random() < 0.4:
        digits += f".{rng.randint(1, 99 if rng.random() < 0.3 else 9)}"
    name = rng.choice(UNITS[symbol])
    written = digits.replace(".", rng.choice(".,"))
    messy = written + ("" if len(name) <= 3 and rng.random() < 0.4 else " ") + name
    if len(symbol) < 3 and rng.random() < 0.12:
        messy = written + symbol
    clean = f"{digits} {symbol}"
    return Field(clean, messy, clean)
