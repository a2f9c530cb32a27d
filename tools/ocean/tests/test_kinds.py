"""The generators: standard forms are standard, splits share no value.  Run: python -m unittest discover -s ocean/tests -t ."""
import random
import re
import unittest

from ocean import lines, sets
from ocean.contributors import CONTRIBUTORS
from ocean.kinds import KINDS, field, split_of

STANDARD = {
    "date": r"(19|20)\d\d-(0[1-9]|1[0-2])-([0-2]\d|3[01])",
    "time": r"([01]\d|2[0-3]):[0-5]\d",
    "phone": r"\+[1-9]\d{7,14}",
    "money": r"(JPY \d+|[A-Z]{3} \d+\.\d\d)",
    "email": r"[a-z0-9]+([._-][a-z]+)?\d*@[a-z-]+\.[a-z]+",
    "roman": r"\d+",
    "number": r"[1-9]\d{1,2}",
    "unit": r"\d+(\.\d)? (km|m|cm|mm|kg|g|l|ml|mi|ft|in|oz|lb|yd|h|min|km/h|mph|°C|°F|MB|GB|W|kW|V)",
    "card": r"\*{4} \d{4}",
    "url": r"[a-z]+([.-][a-z]+)?\d*\.[a-z]+",
    "country": r"[A-Z]{2}",
    "state": r"[A-Z]{2}",
    "name": r"\[name\]",
    "casing": r"[a-z]+( [a-z]+)+",
    "spelling": r"[a-z]+",
    "abbreviation": r"[A-Za-z]+( [A-Za-z]+)*",
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
            if getattr(KINDS[kind], "CLOSED", False):
                continue  # its words are in every split
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


    def test_lines_beside_others_hold_their_kind_and_another(self) -> None:
        rng = random.Random(6)
        for kind in KINDS:
            found = {s.kind for s in lines.beside(kind, rng, "train")} - {None}
            self.assertIn(kind, found)
            self.assertGreater(len(found), 1)


class Sets(unittest.TestCase):
    def test_composite_lines_have_as_many_kinds_as_they_say(self) -> None:
        for count in (2, 3, 4):
            for row in sets.rows(f"composite-{count}", 50, lambda rng: sets.composite(count, rng)):
                self.assertEqual(len(row["experts"]), count)

    def test_lines_of_a_set_differ_and_say_whose_they_are(self) -> None:
        found = sets.rows("own-date", 60, lambda rng: lines.own("date", rng, "test"))
        self.assertEqual(len({row["input"] for row in found}), 60)
        self.assertEqual({tuple(row["experts"]) for row in found}, {("date",)})

    def test_unseen_wordings_are_in_no_training(self) -> None:
        known = {phrase for kind in KINDS.values() for phrase in kind.CONTEXTS} | set(lines.CLAUSES)
        self.assertFalse(known & set(sets.UNSEEN_CONTEXTS))

    def test_a_way_to_write_that_no_generator_knows_keeps_the_value(self) -> None:
        rng = random.Random(7)
        self.assertIn(sets.written_anew("date", "2021-03-04", rng), {"2021 March 4", "4-March-2021"})
        self.assertIn(sets.written_anew("time", "15:05", rng), {"3-05 pm", "pm 3:05"})


class Contributors(unittest.TestCase):
    def test_every_kind_has_one_contributor(self) -> None:
        self.assertEqual(sorted(kind for experts in CONTRIBUTORS.values() for kind in experts), sorted(KINDS))


if __name__ == "__main__":
    unittest.main()
