"""The vocabulary: a SentencePiece Unigram model written by hand, and the same as a `tokenizer.json`.

A vocabulary learnt from frequency would cut words where it likes. Here it is chosen: every printable character, digits one by one, and whole words where
a word says what a field is (months, currencies, units, am/pm, number words, ...). All pieces cost nearly the same, so the cut with the fewest pieces wins, and
no two cuts tie, so SentencePiece and Hugging Face agree.

Ids follow T5: <pad> 0, </s> 1, <unk> 2, and the span sentinels <extra_id_N> counted down from the top. Between them, as control symbols that no text can spell
and no decoder prints: one opening marker per kind, and one closing marker.
"""
import io
import re
from pathlib import Path

import sentencepiece
import sentencepiece.sentencepiece_model_pb2 as proto
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from . import lines
from .kinds import KINDS

PAD, EOS, UNK = 0, 1, 2
SENTINELS = 16
CLOSE = "</>"
MARKERS = [f"<{kind}>" for kind in KINDS] + [CLOSE]
#: marker -> id; they follow the three specials
MARKER_ID = {marker: 3 + i for i, marker in enumerate(MARKERS)}

CHARACTERS = [chr(c) for c in range(33, 127)] + list("€£¥₹°§äöüßÄÖÜéèêëàâáãçñóòôõíîïúùûøåæØÅÉ–’“”μ")
PAIRS = "er in th an re on he ti es or te ed ou al ar en it to nt st is le ng se me ve de co ra ri ro la li ma ne ing ly us ic ent".split()


def pieces() -> list[str]:
    """Every piece that text can spell, "▁" for a space, in a fixed order."""
    words: list[str] = []
    for kind in KINDS.values():
        words += kind.VOCABULARY
        words += [f" {w}" for phrase in kind.CONTEXTS for w in re.findall(r"[A-Za-z]+", phrase) if len(w) > 1]
    # Words of the plain clauses, and the most common words of English.
    for phrase in lines.CLAUSES + lines.OPENINGS + lines.ENDS:
        words += [f" {w}" for w in re.findall(r"[A-Za-z]+", re.sub(r"\{\w+\}", "", phrase)) if len(w) > 1]
    words += [f" {w}" for w in "The We It Please See Call Order Meet Thanks Thank".split()]
    words += [f" {w}" for w in lines.PEOPLE + lines.PLACES] + [f" {w}" for w in lines.COMMON]
    found = dict.fromkeys(["▁"] + CHARACTERS + PAIRS + [w.replace(" ", "▁") for w in words])
    return [p for p in found if "▁" not in p[1:]]


def build(folder: Path) -> None:
    """Write spiece.model, tokenizer.json and the two JSON files that Hugging Face wants beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    # SentencePiece writes its normaliser (NFKC, as T5's) into any model it trains: train a tiny one, and keep only that.
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a small text to train on", "nothing of it is kept"] * 20), model_writer=buffer, vocab_size=24, model_type="unigram",
        pad_id=PAD, eos_id=EOS, unk_id=UNK, bos_id=-1, hard_vocab_limit=False, minloglevel=2)
    model = proto.ModelProto.FromString(buffer.getvalue())
    del model.pieces[:]
    Piece = proto.ModelProto.SentencePiece
    for name, kind in (("<pad>", Piece.CONTROL), ("</s>", Piece.CONTROL), ("<unk>", Piece.UNKNOWN), *((m, Piece.CONTROL) for m in MARKERS)):
        model.pieces.add(piece=name, score=0.0, type=kind)
    for rank, piece in enumerate(pieces()):
        model.pieces.add(piece=piece, score=-10.0 - rank / 4096)
    model.trainer_spec.vocab_size = len(model.pieces)
    model.trainer_spec.ClearField("input")
    (folder / "spiece.model").write_bytes(model.SerializeToString())

    top = len(model.pieces) + SENTINELS
    # As T5: the sentinels are not in the SentencePiece file, and <extra_id_0> is the very last id.
    vocabulary = [(p.piece, p.score) for p in model.pieces] + [(f"<extra_id_{SENTINELS - 1 - i}>", 0.0) for i in range(SENTINELS)]
    fast = Tokenizer(models.Unigram(vocabulary, unk_id=UNK, byte_fallback=False))
    fast.normalizer = normalizers.Sequence([
        normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap), normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")])
    fast.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    fast.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    fast.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", EOS)])
    fast.add_special_tokens([AddedToken(name, special=True, normalized=False) for name, _ in vocabulary[: 3 + len(MARKERS)] + vocabulary[-SENTINELS:]])
    assert fast.get_vocab_size() == top
    fast.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "model_max_length": 128}\n')


class Codec:
    """Lines to ids and back."""

    def __init__(self, folder: Path) -> None:
        self.fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.size = self.fast.get_vocab_size()
        self.sentinel = [self.size - 1 - i for i in range(SENTINELS)]

    def encode(self, text: str) -> list[int]:
        """Ids with </s> at the end."""
        return self.fast.encode(text).ids

    def decode(self, ids: list[int]) -> str:
        """Text without markers and specials."""
        return self.fast.decode([i for i in ids if i != PAD], skip_special_tokens=True)

    def marked(self, segments: lines.Line, clean: set[str] | frozenset[str] = frozenset(), markers: bool = True) -> tuple[list[int], list[int]]:
        """Ids of the line with the kinds in `clean` in standard form, and for each id the kind it belongs to (0 none, 1.. as in KINDS).

        With `markers`, each field stands between its opening marker and the closing one, which count as part of it.
        """
        numbers = {kind: i + 1 for i, kind in enumerate(KINDS)}
        written = [s.clean if s.kind in clean else s.messy for s in segments]
        encoding = self.fast.encode("".join(written))
        space = self.fast.token_to_id("▁")
        ids: list[int] = []
        kinds: list[int] = []
        current, end, k = None, 0, -1  # the segment that the last token fell into
        for token, (first, last) in zip(encoding.ids, encoding.offsets):
            # A token belongs to the segment of its last character, for "▁at" starts on the space before; a lone space to what follows it.
            while token != EOS and k + 1 < len(segments) and (last > end or token == space and last == end) or k < 0:
                k += 1
                end += len(written[k])
            kind = None if token == EOS else segments[k].kind
            segment = k if kind else None
            if segment != current:
                if current is not None and markers:
                    ids.append(MARKER_ID[CLOSE])
                    kinds.append(numbers[segments[current].kind])
                if segment is not None and markers:
                    ids.append(MARKER_ID[f"<{kind}>"])
                    kinds.append(numbers[kind])
                current = segment
            ids.append(token)
            kinds.append(numbers[kind] if kind else 0)
        return ids, kinds
