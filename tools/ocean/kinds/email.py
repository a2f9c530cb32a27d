"""E-mail addresses hidden from robots -> plain."""
import random

from .field import Field

ID, TITLE, TAGS = "email", "Hidden e-mail addresses", ["e-mail", "address"]
DESCRIPTION = "Writes hidden e-mail addresses plainly: anna dot smith (at) mail dot org becomes anna.smith@mail.org."

NAMES = ("anna ben carla david emma felix greta hugo ines jonas karin leo maria nina oscar paul rita sofia tom ulla vera walter "
         "smith jones brown miller weber rossi silva novak berg meyer lopez martin kumar tanaka green king").split()
HOSTS = ("mail post web office school museum bank club team garden north south river home work shop press city lab data books music "
         "hotel bakery").split()
TLDS = "com org net de fr it uk eu io".split()
SYLLABLES = "ba be bo da do fa fi ga go ka ki la le lo ma mi mo na ne no pa pe po ra re ri ro sa se si ta te ti to va vi".split()
CONTEXTS = [
    "write to {}", "mail {}", "e-mail: {}", "e-mail {}", "contact {}", "send it to {}", "ask {}", "reply to {}", "copy {}", "E-mail: {}", "Mail: {}",
    "address: {}", "please write to {}", "forward this to {}", "from {}", "my address is {}", "questions to {}", "mail me: {}", "write me at {}",
    "send the file to {}", "{name} has a new address, {}", "{name}: {}", "{name} is at {}", "the shop in {place}: {}", "bookings: {}", "please send photos to {}",
]
VOCABULARY = NAMES + HOSTS + TLDS + [" at", " dot", " AT", " DOT", " (at)", "(at)", "(dot)", " (dot)", "[at]", "[dot]", " [at]", " [dot]", "{at}", " {at}",
                                    " dash", " underscore", "-at-"]


def _word(rng: random.Random, known: list[str]) -> str:
    return rng.choice(known) if rng.random() < 0.9 else "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 2) + 1))


def sample(rng: random.Random) -> Field:
    local = [_word(rng, NAMES)]
    if rng.random() < 0.65:
        local += [rng.choice(("." , ".", ".", "_", "-")), _word(rng, NAMES)]
    if rng.random() < 0.1:
        local.append(str(rng.randint(1, 99)))
    host = [_word(rng, HOSTS)]
    if rng.random() < 0.08:
        host += ["-", _word(rng, HOSTS)]
    parts = local + ["@"] + host + [".", rng.choice(TLDS)]
    clean = "".join(parts)
    at, dot = rng.choice(((" at ", " dot "), (" at ", " dot "), (" at ", "."), (" (at) ", " (dot) "), ("(at)", "(dot)"), ("[at]", "[dot]"), (" [at] ", " [dot] "),
                          (" AT ", " DOT "), ("{at}", "."), ("(at)", "."), (" @ ", " . "), ("-at-", "."), (" [at] ", ".")))
    spaced = dot.startswith(" ")
    signs = {"@": at, ".": dot, "_": " underscore " if spaced else "_", "-": " dash " if spaced else "-"}
    return Field(clean, "".join(signs.get(p, p) for p in parts), clean)
