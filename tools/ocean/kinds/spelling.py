"""British spelling -> American."""
import random

from .field import Field

ID, TITLE, TAGS = "spelling", "American spelling", ["spelling", "English"]
DESCRIPTION = "Writes British words the American way: colour becomes color."
TIDY = False
CLOSED = True

WORDS = {
    "colour": "color", "favour": "favor", "harbour": "harbor", "neighbour": "neighbor", "labour": "labor", "flavour": "flavor", "honour": "honor", "humour": "humor", "rumour": "rumor",
    "behaviour": "behavior", "centre": "center", "theatre": "theater", "fibre": "fiber", "catalogue": "catalog", "dialogue": "dialog", "programme": "program", "cheque": "check", "tyre": "tire",
    "kerb": "curb", "jewellery": "jewelry", "licence": "license", "defence": "defense", "offence": "offense", "moustache": "mustache", "plough": "plow", "pyjamas": "pajamas", "storey": "story",
    "mould": "mold", "aeroplane": "airplane", "aluminium": "aluminum", "organisation": "organization", "neighbourhood": "neighborhood", "armour": "armor", "vapour": "vapor", "parlour": "parlor",
    "draught": "draft", "enrolment": "enrollment", "fulfilment": "fulfillment", "grey": "gray", "mum": "mom", "sabre": "saber", "odour": "odor", "savour": "savor", "sulphur": "sulfur",
}
CONTEXTS = [
    "the {}", "a new {}", "the old {}", "my {}", "the {} of {name}", "the {} in {place}", "about the {}", "no {} today", "a {} for {name}", "we saw the {}", "near the {}", "the {} is red",
    "some {}", "their {}", "the first {}", "I like the {}", "without {}", "the {} was great", "{name} has a {}", "what a {}", "the {} again", "our {}",
]
VOCABULARY = [s + w for pair in WORDS.items() for w in pair for s in ("", " ")]


def sample(rng: random.Random) -> Field:
    british = rng.choice(list(WORDS))
    return Field(british, british, WORDS[british])
