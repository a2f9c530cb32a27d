"""States of the USA -> postal codes."""
import random

from .field import Field

ID, TITLE, TAGS = "state", "US states", ["state", "postal code"]
DESCRIPTION = "Writes US states by their postal code: California and Calif. become CA."
TIDY = False
CLOSED = True

STATES = {
    "AL": ["Alabama"], "AK": ["Alaska"], "AZ": ["Arizona", "Ariz."], "AR": ["Arkansas"], "CA": ["California", "Calif."], "CO": ["Colorado", "Colo."], "CT": ["Connecticut", "Conn."],
    "DE": ["Delaware"], "FL": ["Florida", "Fla."], "GA": ["Georgia"], "HI": ["Hawaii"], "ID": ["Idaho"], "IL": ["Illinois", "Ill."], "IN": ["Indiana"], "IA": ["Iowa"],
    "KS": ["Kansas", "Kans."], "KY": ["Kentucky"], "LA": ["Louisiana"], "ME": ["Maine"], "MD": ["Maryland"], "MA": ["Massachusetts", "Mass."], "MI": ["Michigan", "Mich."],
    "MN": ["Minnesota", "Minn."], "MO": ["Missouri"], "MT": ["Montana"], "NE": ["Nebraska", "Nebr."], "NV": ["Nevada"], "NY": ["New York"], "OH": ["Ohio"],
    "OK": ["Oklahoma", "Okla."], "OR": ["Oregon"], "PA": ["Pennsylvania", "Penn."], "TX": ["Texas"], "UT": ["Utah"], "VT": ["Vermont"], "VA": ["Virginia"], "WI": ["Wisconsin", "Wis."],
}
CONTEXTS = [
    "state: {}", "the state of {}", "Springfield, {}", "moved to {}", "a farm in {}", "{name} from {}", "our store in {}", "registered in {}", "in {}", "the roads of {}", "Salem, {}",
    "{name} votes in {}", "the university of {}", "across {}", "flying to {}", "north of {}", "a plant in {}", "born and raised in {}", "laws of {}", "the {} office", "Franklin, {}", "driving through {}",
]
VOCABULARY = [" " + w for names in STATES.values() for name in names for w in name.split()] + [s + code for code in STATES for s in ("", " ")]


def sample(rng: random.Random) -> Field:
    code = rng.choice(list(STATES))
    return Field(code, rng.choice(STATES[code]), code)
