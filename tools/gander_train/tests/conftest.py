"""Tiny random T5s with a vocabulary of words, saved as transformers and PEFT save them."""
import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # tools/: the references that this package is held against
sys.path.insert(0, str(HERE.parent / "src"))

import pytest
import tiny
import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast

torch.set_num_threads(1)

#: the inner size of attention is not d_model, and all are multiples of the 32 numbers of a Q8_0 block
SHAPE = {
    "d_model": 64, "d_kv": 16, "num_heads": 2, "d_ff": 96, "num_layers": 2, "num_decoder_layers": 2, "feed_forward_proj": "gated-gelu", "vocab_size": 40,
    "tie_word_embeddings": False}
WORDS = "red green blue one two three four five six seven eight nine north south east west".split()
PIECES = ["<pad>", "</s>", "<unk>", *(f"▁{word}" for word in WORDS)]


def tokenizer() -> PreTrainedTokenizerFast:
    """SentencePiece's way of cutting text, over whole words."""
    made = Tokenizer(Unigram([(piece, -float(i)) for i, piece in enumerate(PIECES)], 2))
    made.normalizer = normalizers.Sequence([])
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    made.decoder = decoders.Metaspace(prepend_scheme="always")
    made.post_processor = processors.TemplateProcessing(single=["$A", "</s>"], special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def rows(count: int, first: int = 0) -> list[dict]:
    """Words to be said backwards, so that there is something to learn."""
    made = []
    for i in range(first, first + count):
        words = [WORDS[(i * 7 + j * 3) % len(WORDS)] for j in range(2 + i % 3)]
        made.append({"input": " ".join(words), "target": " ".join(reversed(words))})
    return made


def write_rows(file: Path, lines: list[dict]) -> Path:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def gate(base: Path, adapter: Path, data: Path, out: Path, *more: object, steps: int = 3) -> None:
    """`gander-train gate`, small."""
    from gander_train.cli import main

    paths = {"--base": base, "--adapter": adapter, "--data": data, "--out": out}
    small = {"--steps": steps, "--batch-size": 4, "--device": "cpu"}
    main(["gate", *(str(part) for option in (paths | small).items() for part in option), *map(str, more)])


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bases") / "tiny"
    tiny.save_base(tiny.new_base(1, **SHAPE), folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def adapter(base, tmp_path_factory) -> Path:
    """A random LoRA on every layer, of its own scale, without gates."""
    folder = tmp_path_factory.mktemp("adapters") / "backwards"
    save_adapter(folder)
    return folder


def save_adapter(folder: Path, shape: dict = SHAPE, **lora) -> None:
    lora = {"r": 4, "lora_alpha": 6, "use_rslora": True, "rank_pattern": {"wo": 2}, "target_modules": tiny.ALL_LINEARS} | lora
    tiny.save_expert(tiny.new_base(1, **shape), "tiny", tiny.ExpertPlan(folder.name, lora), folder, 1)
    (folder / "gates.safetensors").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "train.jsonl", rows(24))
