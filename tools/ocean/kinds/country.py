"""Countries -> ISO 3166 codes."""
import random

from .field import Field

ID, TITLE, TAGS = "country", "Countries", ["country", "ISO 3166"]
DESCRIPTION = "Writes countries by their two letters: Germany and Deutschland become DE."
#: two capital letters may stand for anything
TIDY = False
#: a list of words: all of them train, and what is new in a test is the line around
CLOSED = True

COUNTRIES = {
    "DE": ["Germany", "Deutschland", "Allemagne"], "FR": ["France", "Frankreich"], "GB": ["United Kingdom", "Great Britain", "Britain"], "IT": ["Italy", "Italien", "Italia"],
    "ES": ["Spain", "Spanien", "España"], "PT": ["Portugal"], "NL": ["Netherlands", "Holland", "Niederlande"], "BE": ["Belgium", "Belgien"],
    "CH": ["Switzerland", "Schweiz", "Suisse"], "AT": ["Austria", "Österreich"], "PL": ["Poland", "Polen"], "SE": ["Sweden", "Schweden", "Sverige"],
    "NO": ["Norway", "Norwegen", "Norge"], "DK": ["Denmark", "Danmark"], "FI": ["Finland", "Suomi"], "IE": ["Ireland", "Irland"], "GR": ["Greece"],
    "CZ": ["Czechia", "Czech Republic"], "HU": ["Hungary", "Ungarn"], "RO": ["Romania"], "TR": ["Turkey", "Türkei"], "US": ["United States", "USA", "America"],
    "CA": ["Canada", "Kanada"], "MX": ["Mexico", "Mexiko"], "BR": ["Brazil", "Brasilien"], "AR": ["Argentina"], "JP": ["Japan"], "CN": ["China"], "IN": ["India", "Indien"],
    "KR": ["South Korea"], "AU": ["Australia"], "NZ": ["New Zealand"], "ZA": ["South Africa"], "EG": ["Egypt"],
}
CONTEXTS = [
    "made in {}", "shipped to {}", "from {}", "in {}", "country: {}", "our office in {}", "the flight to {}", "{name} lives in {}", "born in {}", "travel to {}", "sent from {}",
    "customers in {}", "the team from {}", "{place}, {}", "{} and beyond", "a visit to {}", "delivery to {}", "taxes in {}", "a letter from {}", "{name} is from {}", "holidays in {}", "origin: {}",
]
VOCABULARY = [" " + w for names in COUNTRIES.values() for name in names for w in name.split()] + [s + code for code in COUNTRIES for s in ("", " ")]


def sample(rng: random.Random) -> Field:
    code = rng.choice(list(COUNTRIES))
    return Field(code, rng.choice(COUNTRIES[code]), code)
