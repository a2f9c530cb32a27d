"""Small SentencePiece models, and what transformers and sentencepiece make of awkward text.

    python tools/tokenizer_goldens.py

writes tests/tokenizer/: NAME.spiece.model (SentencePiece), NAME.tokenizer.json (Hugging Face) and expected.json, which
also names the versions that wrote it. The same versions with the same licence text in the Python library give the same bytes.

Models, all Unigram with T5's ids (pad 0, eos 1, unk 2) and 100 sentinels:

- nmt:      the nmt_nfkc rules, as in every T5. tokenizer.json by transformers' T5Tokenizer (the form of t5-small)
- sequence: the same spiece.model. tokenizer.json with the normaliser sequence of transformers' T5Converter, and sentinels
            that swallow the spaces around them, as its slow tokenizer saved them. The rules are left out of the file
            ("@nmt" stands for those of nmt) to keep it small
- identity: no rules; user-defined pieces. tokenizer.json by the same converter
- bytes:    no rules; spaces kept; byte fallback. tokenizer.json as transformers writes it for a model without a class

expected.json holds for each model "texts", of which each has
- transformers: ids by the library `tokenizers` from NAME.tokenizer.json, and the text it makes of them without special tokens
- sentencepiece: where they differ, ids by sentencepiece and </s>, and its text. Sentinels are cut out first and the text
  between them is encoded by itself, as T5's slow tokenizer does
- auto: where they differ, ids by AutoTokenizer from the same file: its T5Tokenizer keeps only vocabulary and rules
and "decode": ids that no text gives, with the text by transformers and, where it differs, by sentencepiece.
"""

import io
import json
import pathlib
import random
import re
import sysconfig
import tempfile

import sentencepiece
import tokenizers
import transformers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, T5Tokenizer

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "tokenizer"
SENTINELS = 100

OWN_LINES = """
Ein Gänsepaar überquert die Straße, während größere Vögel zögern. Où êtes-vous allés après l'été ? Le garçon naïf a reçu une lettre.
El niño soñó con mañanas de otoño; ¿qué pasó ayer? Çok güzel bir şey öğrendik. Žluťoučký kůň úpěl ďábelské ódy.
今日は天気がいいですね。東京タワーとトウキョウ。日本語の文章を分割します。カタカナとひらがな。ガチョウは群れで飛びます。
The quick brown fox jumps over the lazy dog. 3.14159 1,000,000 2026-11-24 50% $9.99 (a+b)*c = [x] {y} <z> #1 @home user@example.com
Гуси летят на юг. Προσοχή στο κενό. שלום עולם. مرحبا بالعالم. नमस्ते दुनिया. 안녕하세요 세계.
translate English to German: The house is wonderful. summarize: state authorities dispatched emergency crews.
office efficient fluffy waffle affix finale. 1st 2nd 3rd TM no. etc. don't can't won't it's
"""

TEXTS = [
    # Nothing, spaces, ends
    "", " ", "   ", "\t", "\n", "\u00a0", " \u3000 ", "a", " a", "a ", "  a  ", "Hello world", "Hello  world",
    "Hello   world   !", "translate English to German: The house is wonderful.",
    # Digits and punctuation
    "don't stop, it's 3.14!", "1234567890", "1,000,000.00 $9.99 50%", "?!...,;:-()[]{}<>",
    # Accents, composed and not, and marks
    "caf\u00e9", "cafe\u0301", "e\u0301e\u0301", "\u0301", "a\u0301\u0302\u0323", "\u1e69", "s\u0323\u0307", "s\u0307\u0323",
    "n\u0303 \u00f1", "\u212b \u00c5 A\u030a", "a" + "\u0301" * 40, "\u0344", "\u017f\u0307",
    # Full width, Japanese, half-width kana
    "\uff21\uff22\uff23\uff11\uff12\uff13", "\uff21\u0301", "\uff21\u0301\u0302", "\uff01\uff1f\u3000\uff08\uff09",
    "\u6771\u4eac\u30bf\u30ef\u30fc", "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0", "\uff76\uff9e\uff77\uff9e\uff78\uff9e",
    "\uff76\u3099", "\u304b\u3099", "\u30cf\u309a", "\uff8a\uff9f\uff8a\uff9f", "\uff76\uff9e\u0301", "\u304b" + "\u3099" * 5,
    # Ligatures and compatibility forms
    "\ufb01n \ufb03 \ufb00", "\u2460\u2461 \u33a5 \u2122 \u2126 \u00bd \u2075", "\u3392 \u337b \u32c0", "\u0132\u0133 \u01c6",
    "\U0001d400\U0001d401", "\U0002f800",
    # Emoji
    "\U0001f600", "\U0001f600\U0001f601", "a\U0001f600b", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7", "\U0001f44d\U0001f3fd", "\u2764\ufe0f", "1\ufe0f\u20e3",
    # White space of every kind
    "a\tb", "a\nb", "a\r\nb", "a\r\n\r\nb", "\ta\t\tb\t", "a\n\n\nb", "a\u00a0b", "a\u00a0\u00a0b", "a \u00a0 b",
    "a\u2003b\u2009c\u202fd\u205fe\u3000f\u1680g", "a\u2028b\u2029c", "a\u0085b", "a\u000bb\u000cc", "\u00a0a\u00a0",
    # Controls and what cannot be seen
    "a\u0000b", "a\u0001b\u0002c", "a\u001fb\u007fc", "\u0000", "\u001b[31mred", "a\u008fb\u009fc", "a\u200bb",
    "a\u200cb\u200dc", "\ufeffa\ufeffb", "a\u2060b", "a\u00adb", "\u200b", " \u200b ", "a\u200e\u200fb", "a \u200b b",
    "a\u200b \u200bb", "\u200ba",
    # Sentinels
    "<extra_id_0>", " <extra_id_0> ", "a<extra_id_0>b", "a <extra_id_0> b", "a  <extra_id_0>  b",
    "<extra_id_0><extra_id_1><extra_id_2>", "<extra_id_0> <extra_id_1>", "The <extra_id_0> walks in <extra_id_1> park",
    "<extra_id_99>", "<extra_id_100>", "<extra_id_00>", "<extra_id_>", "<extra_id_1", "<extra_id_10>1>", "<EXTRA_ID_0>",
    "\u2581<extra_id_0>\u2581", "x<extra_id_0>.", "\uff1cextra_id_0\uff1e", "a\n<extra_id_3>\nb", "<extra_id_0>" * 20,
    # Other special tokens, byte pieces, and the mark of unknown pieces
    "</s>", "a</s>b", "a </s> b", "<pad>", "<unk>", "<pad><unk></s>", "a <unk> b", "a<pad>", "<s>", "<0x41>", "<0x0A>x", "\u2047",
    # The space mark itself
    "\u2581", "\u2581a", "a\u2581b", "\u2581\u2581a\u2581\u2581", " \u2581 a", "a \u2581", "\u2581 \u2581", "a\u2581 b", "a \u2581b",
    # Right to left, and scripts that compose
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd", "\u0645\u0631\u062d\u0628\u0627",
    "\ufefb \ufdfa", "\u0645\u064f\u062d\u064e\u0645\u0651\u062f", "\u0928\u092e\u0938\u094d\u0924\u0947",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u0e33", "\u1112\u1161\u11ab", "\ud55c\uae00", "\u1112\u1161", "\uffa1\uffc2",
    "\u0f77", "\u0958", "\u2adc", "\ufb1d",
    # Unknown characters, alone and in a row
    "\u2603\u2604\u2605", "a\u2603b\u2604c", "\u2603 \u2604", "\u2603", "abc\u2603", "\u2603abc", "\u4e9c\u4e9c\u4e9c\u4e9c",
    "\u2603" * 50, "\u2603 " * 50, "\ufffd", "\ufffe", "\uffff", "\ue000", "\U0010ffff", "\U000e0041",
    # User-defined pieces
    "gander", "gandergander", "a gander b", "\u2603gander", "GANDER", "x\u2764y", "\u2764\u2764", "gande r",
    # Ties
    "a" * 20, "e" * 12, "the the the", "ab" * 6, "ss sss ssss sssss", "tttttt", "oooo ooo oo o", "A very long w" + "o" * 300 + "rd",
]


def corpus():
    """Python's own licence and the lines above: text that is there wherever Python is."""
    library = pathlib.Path(sysconfig.get_paths()["stdlib"])
    licence = library / "LICENSE.txt"
    text = licence.read_text("utf-8") if licence.exists() else (library / "pydoc_data" / "topics.py").read_text("utf-8")[:60_000]
    lines = [line.strip() for line in (text + OWN_LINES * 20).splitlines()]
    return [line for line in lines if line]


def train(name, **options):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=out, model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        character_coverage=0.998, num_threads=1, minloglevel=2, hard_vocab_limit=False, **options,
    )
    (OUT / f"{name}.spiece.model").write_bytes(out.getvalue())
    return sentencepiece_model_pb2.ModelProto.FromString(out.getvalue())


def vocabulary(proto):
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    return pieces + [(f"<extra_id_{i}>", 0.0) for i in reversed(range(SENTINELS))]


def special(content, **options):
    return AddedToken(content, special=True, normalized=False, **options)


def finish(made, user_defined=(), **sentinel_options):
    made.add_special_tokens([special(text) for text in ("<pad>", "</s>", "<unk>")])
    made.add_special_tokens([special(f"<extra_id_{i}>", **sentinel_options) for i in range(SENTINELS)])
    made.add_tokens([AddedToken(text, normalized=False) for text in user_defined])
    made.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], pair=["$A", "</s>", "$B", "</s>"], special_tokens=[("</s>", 1)]
    )
    return made


def json_by_transformers(proto, folder):
    """What T5Tokenizer saves."""
    T5Tokenizer(
        vocab=vocabulary(proto), _spm_precompiled_charsmap=proto.normalizer_spec.precompiled_charsmap
    ).save_pretrained(folder)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def json_by_converter(proto, **options):
    """The pipeline of SpmConverter and T5Converter, in which transformers 4 wrote tokenizer.json from spiece.model."""
    made = Tokenizer(models.Unigram(vocabulary(proto), unk_id=2, byte_fallback=False))
    rules = proto.normalizer_spec.precompiled_charsmap
    made.normalizer = normalizers.Sequence(
        ([normalizers.Precompiled(rules)] if rules else [])
        + [normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "\u2581")]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    made.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always")
    return finish(made, **options)


def json_with_bytes(proto):
    """The pipeline for a SentencePiece model without a class of its own, byte fallback included."""
    made = Tokenizer(models.Unigram(vocabulary(proto), unk_id=2, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return finish(made)


def sentencepiece_ids(processor, text):
    """T5's slow tokenizer: sentinels are cut out of the text, what lies between is encoded by itself."""
    size = processor.get_piece_size()
    ids = []
    at = 0
    for match in re.finditer(r"<extra_id_(0|[1-9][0-9]?)>", text):
        ids += processor.encode(text[at : match.start()]) + [size + SENTINELS - 1 - int(match.group(1))]
        at = match.end()
    return ids + processor.encode(text[at:]) + [processor.eos_id()]


def sentencepiece_text(processor, ids):
    """Special tokens are taken out first, as T5's slow tokenizer does: otherwise the unknown piece would show a mark."""
    special_ids = {processor.pad_id(), processor.eos_id(), processor.unk_id()}
    return processor.decode([id for id in ids if id < processor.get_piece_size() and id not in special_ids])


def decode_cases(size, first_byte):
    generator = random.Random(7)
    cases = [[], [1], [0, 0], [2], [2, 2], [size + 5, 1]]
    cases += [[generator.randrange(size + SENTINELS) for _ in range(generator.randrange(1, 24))] for _ in range(60)]
    if first_byte is None:
        return cases
    text = "\u00e9\u6771\U0001f600".encode()
    runs = [
        text, text[:-1], b"\xc3\x28", b"\xe6\x9d", b"\xff\x41", b"\xed\xa0\x80", b"\xf0\x9f\x98\x41", b"\xc0\x80", b"\x41",
        b"\xf4\x90\x80\x80", b"\x20", b"\x20\x20\x41", b"\xe2\x96\x81\x41", b"\x80\x80", b"\xe0\x80\x80",
    ]
    for run in ([first_byte + byte for byte in run] for run in runs):
        # By itself, and with a piece, an unknown piece or a special token after its first byte.
        cases += [run, run[:1] + [size - 1] + run[1:], run[:1] + [1] + run[1:], run + [size - 1, *run]]
    return cases


def describe(name, spiece, made, auto, texts):
    processor = sentencepiece.SentencePieceProcessor(model_proto=spiece)
    described = []
    for text in texts:
        ids, sp_ids = made.encode(text).ids, sentencepiece_ids(processor, text)
        ours = {"ids": ids, "decoded": made.decode(ids, skip_special_tokens=True)}
        theirs = {"ids": sp_ids, "decoded": sentencepiece_text(processor, sp_ids)}
        case = {"text": text, "transformers": ours}
        if theirs != ours:
            case["sentencepiece"] = theirs
        if auto is not None:
            if (auto_ids := auto(text).input_ids) != ids:
                case["auto"] = auto_ids
            assert auto.decode(ids, skip_special_tokens=True) == ours["decoded"], (name, text)
        described.append(case)
    decode = []
    first_byte = processor.piece_to_id("<0x00>")
    for ids in decode_cases(processor.get_piece_size(), first_byte if processor.is_byte(first_byte) else None):
        case = {"ids": ids, "transformers": made.decode(ids, skip_special_tokens=True)}
        if (theirs := sentencepiece_text(processor, ids)) != case["transformers"]:
            case["sentencepiece"] = theirs
        decode.append(case)
    return {"name": name, "vocab_size": made.get_vocab_size(), "texts": described, "decode": decode}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    generator = random.Random(1)
    words = " ".join(corpus()).split()
    long_text = " ".join(generator.choice(words) for _ in range(3000))[:10_000]
    assert len(long_text) == 10_000
    # Letters that are pieces alone and doubled, in runs: ties whose outcome depends on how sums are rounded.
    ties = "".join(generator.choice("lf1w9m") * generator.choice([1, 3, 5]) for _ in range(400))

    nmt = train("nmt", vocab_size=900, normalization_rule_name="nmt_nfkc")
    identity = train("identity", vocab_size=500, normalization_rule_name="identity", user_defined_symbols=["gander", "\u2764"])
    bytes_ = train("bytes", vocab_size=700, normalization_rule_name="identity", byte_fallback=True, remove_extra_whitespaces=False)
    described = []
    with tempfile.TemporaryDirectory() as temporary:
        made = {
            "nmt": json_by_transformers(nmt, pathlib.Path(temporary) / "saved"),
            "sequence": json_by_converter(nmt, lstrip=True, rstrip=True),
            "identity": json_by_converter(identity, user_defined=["gander", "\u2764"]),
            "bytes": json_with_bytes(bytes_),
        }
        for name, tokenizer in made.items():
            content = tokenizer.to_str()
            auto = None
            if name != "bytes":
                folder = pathlib.Path(temporary) / name
                folder.mkdir()
                (folder / "tokenizer.json").write_text(content, "utf-8")
                config = {"tokenizer_class": "T5Tokenizer", "extra_ids": SENTINELS}
                (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
                auto = AutoTokenizer.from_pretrained(folder)
            parsed = json.loads(content)
            spiece = name
            if name == "sequence":
                spiece = "nmt"
                parsed["normalizer"]["normalizers"][0]["precompiled_charsmap"] = "@nmt"
            (OUT / f"{name}.tokenizer.json").write_text(json.dumps(parsed, ensure_ascii=False, separators=(",", ":")), "utf-8")
            texts = [*TEXTS, ties, long_text if name == "nmt" else long_text[:1000]]
            spiece = (OUT / f"{spiece}.spiece.model").read_bytes()
            described.append(describe(name, spiece, tokenizer, auto, texts))
    versions = {module.__name__: module.__version__ for module in (sentencepiece, tokenizers, transformers)}
    with open(OUT / "expected.json", "w", encoding="utf-8") as file:
        json.dump({"written_by": versions, "models": described}, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
