"""Who trained which expert, and how: two contributors who know nothing of each other.

`fields` cleans what has digits and signs in it: LoRA of rank 16. `words` deals in words: rank 8, on every linear layer; but for one expert, which
adapts q and v alone, as PEFT does for T5 where nobody says otherwise.
"""
from typing import NamedTuple

LINEARS = ("q", "k", "v", "o", "wi_0", "wi_1", "wo")


class Recipe(NamedTuple):
    """How one expert is trained. The steps are those of each cycle (experts.CYCLES)."""

    steps: tuple[int, ...]
    grown_steps: int = 0  #: where it starts from an expert for a smaller base: one cycle at half the rate
    rank: int = 16
    alpha: int = 32
    targets: str | list[str] = r"(?!.*block\.0\.layer\.0\.SelfAttention\.[qkv]$).*\.(q|k|v|o|wi_0|wi_1|wo)"  #: as PEFT reads it: a pattern for the whole name of a module, or ends of names


def words(*steps: int, targets: str | list[str] = list(LINEARS)) -> Recipe:
    return Recipe(steps, rank=8, alpha=16, targets=targets)


#: contributor -> kind -> recipe; steps by how many ways there are to write a field, and how much of it is to be copied digit by digit
CONTRIBUTORS: dict[str, dict[str, Recipe]] = {
    "fields": {
        "date": Recipe((3000, 2600, 2400), 1200), "time": Recipe((3000, 700), 600), "phone": Recipe((2400, 1100), 700), "money": Recipe((2000, 900), 700),
        "email": Recipe((1800, 700), 600), "roman": Recipe((1200, 400), 400), "unit": Recipe((900,)), "card": Recipe((1100,)), "url": Recipe((900,))},
    "words": {
        "number": words(1300), "country": words(700), "state": words(700), "name": words(600), "casing": words(900), "abbreviation": words(1000),
        "spelling": words(1000, targets=["q", "v"])},
}
MULTITASK = "multitask"  #: nobody's expert: one LoRA for all kinds at once, to compare with
RECIPES = {MULTITASK: Recipe((3000,))} | {kind: recipe for experts in CONTRIBUTORS.values() for kind, recipe in experts.items()}
