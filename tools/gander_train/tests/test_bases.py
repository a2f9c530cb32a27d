"""GGUF files and Hugging Face folders are the same base; LoRAs from nothing."""
import gguf
import gguf_t5
import numpy as np
import pytest
import tiny
import torch
from conftest import PIECES, SHAPE, gate, tokenizer
from gander_train.adapter import about
from gander_train.base import open_base
from gander_train.cli import main
from gander_train.gguf_base import huggingface_name
from routing import load_expert


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
@pytest.mark.parametrize(("own_head", "gated"), [(True, True), (False, False)])
def test_a_gguf_file_is_the_model_of_its_dequantised_weights(tmp_path, kind, own_head, gated):
    shape = SHAPE | {"feed_forward_proj": "gated-gelu" if gated else "relu", "tie_word_embeddings": not own_head}
    model = tiny.new_base(2, own_head=own_head, **shape)
    tiny.save_base(model, tmp_path / "folder")
    gguf_t5.write_gguf(model, tmp_path / "base.gguf", gguf.GGMLQuantizationType[kind])
    opened, folder = open_base(str(tmp_path / "base.gguf")), open_base(str(tmp_path / "folder"))
    assert opened.fingerprint == folder.fingerprint and opened.weights == kind and opened.tokenizer is None
    ids = {"input_ids": torch.tensor([[5, 9, 17, 1]]), "decoder_input_ids": torch.tensor([[0, 7, 8]])}
    with torch.no_grad():
        logits = opened.model(**ids).logits
        reference = gguf_t5.load_gguf(tmp_path / "base.gguf").eval()(**ids).logits  # of another attention kernel
        torch.testing.assert_close(logits, reference, atol=1e-5, rtol=0)
        difference = (logits - folder.model(**ids).logits).abs().max()
    assert difference < 1e-5 if kind == "F32" else 1e-5 < difference < 1


def test_every_tensor_name_is_translated_as_the_reference_does():
    for gated in (True, False):
        model = tiny.new_base(2, **SHAPE | {"feed_forward_proj": "gated-gelu" if gated else "relu"})
        for name, _ in model.named_parameters():
            assert huggingface_name(gguf_t5.gguf_name(name), gated) == name
    assert huggingface_name("enc.blk.0.cross_attn_q.weight", True) is None
    assert huggingface_name("blk.0.attn_q.weight", True) is None


def test_the_tokenizer_of_a_gguf_file_cuts_as_the_folders(base, tmp_path):
    model = open_base(str(base)).model
    file = tmp_path / "base.gguf"
    write_with_pieces(model, file)
    ours = open_base(str(file)).tokenizer
    for text in ("red green", "  seven   eight ", "north purple</s> south", ""):
        assert ours(text).input_ids == tokenizer()(" ".join(text.split())).input_ids, text
    assert ours.decode(ours("red green").input_ids, skip_special_tokens=True) == "red green"


def write_with_pieces(model, file):
    """The reference writer's file, its dummies replaced by a vocabulary."""
    plain = file.with_name("plain.gguf")
    gguf_t5.write_gguf(model, plain, gguf.GGMLQuantizationType.Q8_0)
    reader, writer = gguf.GGUFReader(plain), gguf.GGUFWriter(file, "t5")
    for field in reader.fields.values():
        if not field.name.startswith(("GGUF.", "general.architecture", "tokenizer.ggml.")):
            writer.add_key_value(field.name, field.contents(), field.types[0])
    count = SHAPE["vocab_size"]
    kinds = [3, 3, 2] + [1] * (len(PIECES) - 3) + [5] * (count - len(PIECES))
    writer.add_tokenizer_model("t5")
    writer.add_token_list([*PIECES, *(f"[unused{i}]" for i in range(count - len(PIECES)))])
    writer.add_token_scores([-float(i) for i in range(count)])
    writer.add_token_types(kinds)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_gates_are_trained_against_a_quantised_base(base, adapter, data, tmp_path):
    write_with_pieces(open_base(str(base)).model, tmp_path / "base.gguf")
    gate(tmp_path / "base.gguf", adapter, data, tmp_path / "out")
    expert = load_expert(tmp_path / "out")
    assert all(expert.serves(module) for module in expert.loras)


@pytest.mark.parametrize(("targets", "count"), [("all", 36), ("qv", 12), (r"encoder\..*\.wo", 2)])
def test_a_lora_from_nothing_then_its_gates(base, data, tmp_path, targets, count):
    common = ["--base", str(base), "--data", str(data), "--eval", str(data), "--steps", "20", "--batch-size", "8", "--device", "cpu", "--lr", "1e-2"]
    main(["lora", *common, "--rank", "4", "--targets", targets, "-o", str(tmp_path / "lora")])
    main(["gate", *common, "--adapter", str(tmp_path / "lora"), "-o", str(tmp_path / "expert")])
    expert = load_expert(tmp_path / "expert")
    assert len(expert.loras) == count and all(expert.serves(module) for module in expert.loras)
    assert all(lora.scale == 8 and lora.b.any() for lora in expert.loras.values())
    known = about(tmp_path / "expert")["evaluation"]
    assert known["alone_loss"] < known["base_loss"] and known["lora"]["steps"] == known["gates"]["steps"] == 20
