"""Web addresses -> the bare host."""
import random

from .email import HOSTS, NAMES, TLDS
from .field import Field

ID, TITLE, TAGS = "url", "Web addresses", ["URL", "web"]
DESCRIPTION = "Writes web addresses as the bare host: https://www.city-museum.org/ becomes city-museum.org."

CONTEXTS = [
    "see {}", "visit {}", "website: {}", "web: {}", "find us at {}", "the site is {}", "more at {}", "online: {}", "link: {}", "look at {}", "{name} runs {}", "go to {}", "read {}", "the shop: {}",
    "our new site, {}", "page: {}", "open {}", "as seen on {}", "tickets on {}", "the blog {}", "{place}: {}", "source: {}",
]
VOCABULARY = [s + w for w in ("http://", "https://", "http://www.", "https://www.", "HTTP://", "www.", "WWW.") for s in ("", " ")] + ["/", "/index.html", "/home"]


def sample(rng: random.Random) -> Field:
    words = [rng.choice(NAMES + HOSTS) for _ in range(rng.choice((1, 1, 2)))]
    host = rng.choice(("-", "-", ".")).join(words) + (str(rng.randint(1, 99)) if rng.random() < 0.1 else "") + "." + rng.choice(TLDS)
    head = rng.choice(("http://", "https://", "http://www.", "https://www.", "HTTP://", "www.", "WWW."))
    tail = rng.choice(("", "", "/", "/", "/index.html", "/home"))
    return Field(host, head + host + tail, host)
