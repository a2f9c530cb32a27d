"""What is wrong is said in one line, by name and place, with exit status 1; and nothing is written."""
import json
import os
import signal

import pytest
import torch
from conftest import SHAPE, gate, save_adapter, write_rows
from gander_train.cli import main
from gander_train.errors import Interrupted, TrainError
from gander_train.training import Settings
from safetensors.torch import load_file, save_file
from test_gates import run_training

GOOD = json.dumps({"input": "red", "target": "blue"})


def fails(capsys, out, *arguments):
    """The one line on standard error that ends the program."""
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, arguments), "-o", str(out), "--device", "cpu", "--steps", "3", "--batch-size", "4"])
    message = stopped.value.code
    assert isinstance(message, str) and message.startswith("gander-train: ") and "\n" not in message  # a text ends Python with status 1
    assert not (out / "gates.safetensors").exists() and not (out / "adapter_model.safetensors").exists()
    return message


@pytest.mark.parametrize(("text", "place", "problem"), [
    ('{"input": "red"}', ":2", 'has no "target"'),
    ('{"target": "red"}', ":2", 'has no "input"'),
    ('{"input": 7, "target": "red"}', ":2", '"input" is a int'),
    ('{"input": "red", "target": null}', ":2", 'its "target" is no string'),
    ('{"input": "red", "targets": []}', ":2", 'its "target" is no string'),
    ("red", ":2", "is not JSON"),
    ("[1]", ":2", "is a list"),
    (json.dumps({"input": "red", "target": "red" + " red" * 19}), ":2", "the target has 21 tokens; expected at most 16 (--max-target)"),
])
def test_a_bad_line_is_named(base, adapter, tmp_path, capsys, text, place, problem):
    file = tmp_path / "train.jsonl"
    file.write_text(f"{GOOD}\n{text}\n")
    message = fails(capsys, tmp_path / "out", "gate", "--base", base, "--adapter", adapter, "--data", file, "--max-target", 16)
    assert f"{file}{place}: {problem}" in message and message.endswith("[invalid-file]")


def test_an_empty_set_is_named(base, adapter, data, tmp_path, capsys):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n\n")
    common = ("gate", "--base", base, "--adapter", adapter)
    assert f"{empty}: has no examples" in fails(capsys, tmp_path / "out", *common, "--data", empty)
    assert f"{empty}: has no examples" in fails(capsys, tmp_path / "out", *common, "--data", data, "--eval", empty)
    assert "[io]" in fails(capsys, tmp_path / "out", *common, "--data", tmp_path / "absent.jsonl")


def test_what_the_model_cannot_read_or_write_is_a_warning(base, adapter, tmp_path, capsys):
    file = write_rows(tmp_path / "train.jsonl", [{"input": "red " * 30, "target": "blue"}, {"input": "red", "target": "purple"}])
    gate(base, adapter, file, tmp_path / "out", "--eval", file, "--max-input", 8)
    said = capsys.readouterr().err
    assert f"1 inputs are longer than 8 tokens and were cut (first: {file}:1" in said
    assert f"1 targets have characters that the tokenizer does not know (first: {file}:2)" in said
    assert "2 of 2 lines" in said


def test_an_adapter_for_another_base_is_refused_with_both_shapes(base, data, tmp_path, capsys):
    wide, deep, relu = tmp_path / "wide", tmp_path / "deep", tmp_path / "relu"
    save_adapter(wide, SHAPE | {"d_ff": 128})
    save_adapter(deep, SHAPE | {"num_decoder_layers": 3})
    save_adapter(relu, SHAPE | {"feed_forward_proj": "relu"})
    for folder, problem in ((wide, "lora_B.weight: has shape (128, 4); expected (96, 4)"), (deep, "decoder.block.2"), (relu, "DenseReluDense.wi: is a module")):
        message = fails(capsys, tmp_path / "out", "gate", "--base", base, "--adapter", folder, "--data", data)
        assert problem in message and message.endswith("[wrong-base]")


def test_a_base_of_the_same_shape_is_refused_by_its_fingerprint(base, adapter, data, tmp_path, capsys):
    claimed = copy(adapter, tmp_path)
    (claimed / "expert.json").write_text(json.dumps({"evaluation": {"base_fingerprint": "sha256:00"}}))
    assert "fingerprint sha256:00" in fails(capsys, tmp_path / "out", "gate", "--base", base, "--adapter", claimed, "--data", data)


@pytest.mark.parametrize(("key", "value"), [
    ("use_dora", True), ("lora_bias", True), ("bias", "lora_only"), ("modules_to_save", ["lm_head"]), ("init_lora_weights", "pissa"), ("peft_type", "IA3"),
    ("fan_in_fan_out", True)])
def test_what_is_not_a_plain_lora_is_refused_by_its_key(base, adapter, data, tmp_path, capsys, key, value):
    other = copy(adapter, tmp_path)
    change_config(other, **{key: value})
    message = fails(capsys, tmp_path / "out", "gate", "--base", base, "--adapter", other, "--data", data)
    assert f"adapter_config.json: {key}: is {value!r}" in message and message.endswith("[unsupported]")


Q = "base_model.model.encoder.block.0.layer.0.SelfAttention.q"


@pytest.mark.parametrize(("change", "problem"), [
    (lambda t: t.pop(f"{Q}.lora_B.weight"), f"{Q}.lora_B.weight: is absent; expected both factors"),
    (lambda t: t.update({f"{Q}.lora_magnitude_vector": torch.ones(16)}), "is no part of a plain LoRA"),
    (lambda t: t.update({f"{Q}.lora_B.bias": torch.ones(16)}), "is no part of a plain LoRA"),
    (lambda t: t.update({"base_model.model.lm_head.lora_A.weight": torch.ones(4, 32)}), "is not on a linear layer of a T5 block"),
    (lambda t: t.update({f"{Q}.lora_A.weight": torch.ones(3, 64), f"{Q}.lora_B.weight": torch.ones(32, 3)}), "has 3 rows; expected 4, its rank"),
    (lambda t: t.update({f"{Q}.lora_gate.weight": torch.ones(31)}), "has shape (31,); expected (64,)"),
    (lambda t: t.update({f"{Q}.lora_gate.weight": torch.ones(64)}), "is a gate inside the adapter file"),
])
def test_a_tensor_that_does_not_belong_is_named(base, adapter, data, tmp_path, capsys, change, problem):
    other = copy(adapter, tmp_path)
    tensors = load_file(other / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, other / "adapter_model.safetensors")
    assert problem in fails(capsys, tmp_path / "out", "gate", "--base", base, "--adapter", other, "--data", data)


def test_gates_of_the_wrong_length_beside_the_adapter_are_refused(base, adapter, data, tmp_path, capsys):
    other = copy(adapter, tmp_path)
    save_file({f"{Q}.lora_gate.weight": torch.ones(5)}, other / "gates.safetensors")
    assert f"{Q}.lora_gate.weight: has shape (5,); expected (64,)" in fails(capsys, tmp_path / "out", "gate", "--base", base, "--adapter", other, "--data", data)


def test_a_loss_that_is_not_a_number_ends_the_run(base, adapter, data, tmp_path, capsys):
    broken = copy(adapter, tmp_path)
    tensors = load_file(broken / "adapter_model.safetensors")
    tensors[f"{Q}.lora_B.weight"][0, 0] = float("nan")
    save_file(tensors, broken / "adapter_model.safetensors")
    message = fails(capsys, tmp_path / "out", "gate", "--base", base, "--adapter", broken, "--data", data)
    assert "step 1: the loss is nan" in message and message.endswith("[not-finite]")


def test_bases_that_are_none_are_named(adapter, data, tmp_path, capsys):
    folder = tmp_path / "llama"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "bad.gguf").write_bytes(b"GGUF, not really")
    for base, problem in ((folder, "model_type is 'llama'"), (tmp_path / "bad.gguf", "[invalid-file]"), (tmp_path, "is no folder with a config.json")):
        assert problem in fails(capsys, tmp_path / "out", "gate", "--base", base, "--adapter", adapter, "--data", data)


def test_targets_that_name_no_linear_layer_of_a_block_are_refused(base, data, tmp_path, capsys):
    for targets in ("nothing", "lm_head"):
        message = fails(capsys, tmp_path / "out", "lora", "--base", base, "--data", data, "--targets", targets)
        assert "--targets" in message and message.endswith("[invalid-option]")


def test_a_run_goes_on_only_with_the_same_options(base, adapter, data, tmp_path, capsys):
    with pytest.raises(Interrupted):
        run_training(base, adapter, data, tmp_path, Settings(steps=4, rate=1e-2, batch_size=4), lambda done: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TrainError, match=r"is of a run with steps 4; expected 5.*--restart"):
        run_training(base, adapter, data, tmp_path, Settings(steps=5, rate=1e-2, batch_size=4))
    (tmp_path / "unfinished.pt").write_bytes(b"torn")
    with pytest.raises(TrainError, match=r"unfinished\.pt.*\[invalid-file\]"):
        run_training(base, adapter, data, tmp_path, Settings(steps=4, rate=1e-2, batch_size=4))


def test_gates_are_not_written_over_another_expert(base, adapter, data, tmp_path):
    other = tmp_path / "other"
    save_adapter(other, r=2)
    with pytest.raises(SystemExit, match="holds another adapter"):
        gate(base, adapter, data, other)


def copy(adapter, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_bytes((adapter / name).read_bytes())
    return folder


def change_config(folder, **changes):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
