"""The generators: standard forms are standard, splits share no value.  Run: python -m unittest discover -s ocean/tests -t ."""
import random
import re
import unittest

from ocean import lines
from ocean.kinds import KINDS, field, split_of

STANDARD = {
    "date": r"(19|20)\d\d-(0[1-9]|1[0-2])-([0-2]\d|3[01])",
    "time": r"([01]\d|2[0-3]):[0-5]\d",
    "phone": r"\+[1-9]\d{7,14}",
    "money": r"(JPY \d+|[A-Z]{3} \d+\.\d\d)",
    "email": r"[a-z0-9]+([._-][a-z]+)?\d*@[a-z-]+\.[a-z]+",
    "roman": r"\d+",
}


class Fields(unittest.TestCase):
    def test_clean_forms_follow_the_standard(self) -> None:
        rng = random.Random(0)
        for kind in KINDS:
            for _ in range(500):
                self.assertRegex(field(kind, rng, "train").clean, f"^{STANDARD[kind]}$")

    def test_same_seed_same_fields(self) -> None:
        for kind in KINDS:
            self.assertEqual(field(kind, random.Random(5), "test"), field(kind, random.Random(5), "test"))

    def test_splits_share_no_value(self) -> None:
        rng = random.Random(1)
        for kind in KINDS:
            owners = {split: {field(kind, rng, split).value for _ in range(200)} for split in ("train", "validation", "test")}
            self.assertFalse(owners["train"] & owners["test"] or owners["train"] & owners["validation"] or owners["validation"] & owners["test"])

    def test_split_does_not_depend_on_the_process(self) -> None:
        self.assertEqual(split_of("date2021-03-03"), split_of("date2021-03-03"))

    def test_known_fields(self) -> None:
        self.assertEqual(KINDS["roman"].HUNDREDS[4] + KINDS["roman"].TENS[9] + KINDS["roman"].ONES[9], "CDXCIX")


class Lines(unittest.TestCase):
    def test_text_with_no_kind_clean_is_the_messy_line(self) -> None:
        rng = random.Random(3)
        for _ in range(200):
            line = lines.mixed(rng, "train")
            self.assertEqual(lines.text(line), "".join(s.messy for s in line))
            self.assertFalse(re.search(r"[{}]name|[{}]place", lines.text(line)))

    def test_own_lines_hold_only_their_kind(self) -> None:
        rng = random.Random(4)
        for kind in KINDS:
            self.assertEqual({s.kind for s in lines.own(kind, rng, "train")} - {None}, {kind})


if __name__ == "__main__":
    unittest.main()
