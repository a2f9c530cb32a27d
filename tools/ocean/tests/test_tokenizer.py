"""The vocabulary: SentencePiece and Hugging Face cut alike, digits stand alone, marked lines read back."""
import random
import tempfile
import unittest
from pathlib import Path

import sentencepiece

from ocean import lines, tokenizer
from ocean.kinds import KINDS


class Tokenizer(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        tokenizer.build(Path(cls.folder.name))
        cls.codec = tokenizer.Codec(Path(cls.folder.name))
        cls.lines = [lines.mixed(random.Random(i), "train") for i in range(500)]

    @classmethod
    def tearDownClass(cls) -> None:
        cls.folder.cleanup()

    def test_sentencepiece_and_hugging_face_agree(self) -> None:
        pieces = sentencepiece.SentencePieceProcessor(str(Path(self.folder.name) / "spiece.model"))
        for line in self.lines:
            self.assertEqual(self.codec.encode(lines.text(line)), pieces.encode(lines.text(line)) + [tokenizer.EOS])

    def test_marked_lines_read_back(self) -> None:
        for line in self.lines:
            ids, kinds = self.codec.marked(line, set(KINDS))
            self.assertEqual(self.codec.decode(ids), lines.text(line, KINDS))
            self.assertEqual(len(ids), len(kinds))
            self.assertNotIn(tokenizer.UNK, ids)

    def test_digits_stand_alone(self) -> None:
        self.assertEqual(len(self.codec.encode("1234567")), 1 + 7 + 1)


if __name__ == "__main__":
    unittest.main()
