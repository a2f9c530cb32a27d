"""CTranslate2 beside gander: converts a Hugging Face T5 to int8, or times it.

usage: ctranslate2_peer.py convert BASE_FOLDER OUTPUT_FOLDER
       ctranslate2_peer.py time FOLDER TOKENS_IN TOKENS_OUT THREADS ROUNDS

Timing prints one line of JSON: {"first_ms": [...], "token_ms": [...]}, a number for each round after one that does not count.

Needs, from PyPI: ctranslate2; to convert, also torch and transformers (4)
"""

import json
import sys
import time


class NumberedTokens:
    """Stands in for a tokenizer, which a base of random weights has none of: token 7 is called t7."""

    pad_token, eos_token, unk_token, bos_token = "t0", "t1", "t2", "t0"

    def __init__(self, count: int):
        self.count = count

    def get_vocab(self) -> dict[str, int]:
        return {f"t{index}": index for index in range(self.count)}

    def convert_ids_to_tokens(self, index: int) -> str:
        return f"t{index}"


def convert(base: str, output: str) -> None:
    from ctranslate2.converters import TransformersConverter
    from transformers import AutoConfig

    tokens = NumberedTokens(AutoConfig.from_pretrained(base).vocab_size)

    class Converter(TransformersConverter):
        def load_tokenizer(self, *_, **__):
            return tokens

    Converter(base).convert(output, quantization="int8", force=True)


def measure(folder: str, tokens_in: int, tokens_out: int, threads: int, rounds: int) -> None:
    import ctranslate2

    translator = ctranslate2.Translator(
        folder, device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads
    )
    source = [[f"t{100 + 37 * index}" for index in range(tokens_in)]]

    def answer(length: int) -> float:
        start = time.perf_counter()
        results = translator.translate_batch(
            source, beam_size=1, min_decoding_length=length, max_decoding_length=length
        )
        elapsed = (time.perf_counter() - start) * 1e3
        assert len(results[0].hypotheses[0]) == length, "the answer ended early"
        return elapsed

    first_ms, token_ms = [], []
    for count in range(rounds + 1):
        first, everything = answer(1), answer(tokens_out)
        if count > 0:
            first_ms.append(first)
            token_ms.append((everything - first) / (tokens_out - 1))
    print(json.dumps({"first_ms": first_ms, "token_ms": token_ms}))


if sys.argv[1] == "convert":
    convert(*sys.argv[2:])
else:
    measure(sys.argv[2], *map(int, sys.argv[3:]))
