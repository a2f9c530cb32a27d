"""The gate against its formula, and what training changes."""
import json
import math
import os
import signal

import pytest
import tiny
import torch
from conftest import gate, rows, write_rows
from gander_train.adapter import read_adapter
from gander_train.base import open_base
from gander_train.data import Limits, collate, read_examples
from gander_train.errors import Interrupted
from gander_train.gates import attach
from gander_train.training import Run, Settings, train
from routing import load_expert
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.models.t5.modeling_t5 import T5LayerNorm


class Norm64(nn.Module):
    """transformers takes the mean square in float32 whatever the model's type."""

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon)


def gated_model(base, adapter, double=False):
    opened = open_base(str(base))
    if double:
        opened.model.double()
        for module in opened.model.modules():
            if isinstance(module, T5LayerNorm):
                module.__class__ = Norm64
    gated = attach(opened, read_adapter(adapter))
    for layer in gated.values():
        layer.double() if double else None
    return opened, gated


def batch_of(opened, data):
    return collate(read_examples(data, opened.tokenizer, Limits())[0][:4], 0)


def loss_of(model, batch):
    return model(input_ids=batch.inputs, attention_mask=batch.mask, labels=batch.labels).loss


def test_a_layer_computes_the_formula_with_the_scale_that_peft_gives(base, adapter):
    opened, gated = gated_model(base, adapter, double=True)
    known = load_expert(adapter).loras  # an independent reading of the folder
    assert gated.keys() == known.keys() and len(gated) == 2 * 7 + 2 * 11
    for name, layer in gated.items():
        d_in = layer.gate.shape[0]
        v = tiny.normal(tiny.new_generator(name), d_in, 1.0).double()
        u = tiny.normal(tiny.new_generator(name, "u"), (1, 3, d_in), 1.0).double()
        layer.gate.data = v
        lora = known[name]
        expected = u @ layer.weight.T + torch.sigmoid(u @ v)[..., None] * lora.scale * (u @ lora.a.T @ lora.b.T)
        torch.testing.assert_close(layer(u), expected, atol=1e-12, rtol=1e-12)


def test_gradients_are_the_formulas_and_finite_differences_agree(base, adapter, data):
    opened, gated = gated_model(base, adapter, double=True)
    batch = batch_of(opened, data)
    seen, hooks = {}, []
    for name, layer in gated.items():
        layer.gate.data = tiny.normal(tiny.new_generator(name, "v"), layer.gate.shape, 0.3).double()

        def note(layer, inputs, output, name=name):
            output.retain_grad()
            seen[name] = (inputs[0].detach(), output)

        hooks.append(layer.register_forward_hook(note))
    loss_of(opened.model, batch).backward()
    for hook in hooks:
        hook.remove()
    for name, layer in gated.items():
        u, output = seen[name]
        p = torch.sigmoid(u @ layer.gate.detach())
        update = layer.scale * (u @ layer.a.T @ layer.b.T)
        expected = ((p * (1 - p) * (output.grad * update).sum(-1))[..., None] * u).flatten(0, -2).sum(0)
        torch.testing.assert_close(layer.gate.grad, expected, atol=1e-12, rtol=1e-9)

    step = 1e-5
    for name in ("encoder.block.0.layer.0.SelfAttention.q", "encoder.block.1.layer.1.DenseReluDense.wo", "decoder.block.0.layer.1.EncDecAttention.k",
                 "decoder.block.1.layer.0.SelfAttention.o", "decoder.block.1.layer.2.DenseReluDense.wi_1"):
        gate = gated[name].gate
        for index in (0, gate.shape[0] - 1):
            losses = []
            for sign in (1, -1):
                with torch.no_grad():
                    gate[index] += sign * step
                    losses.append(loss_of(opened.model, batch).item())
                    gate[index] -= sign * step
            difference = (losses[0] - losses[1]) / (2 * step)
            assert difference == pytest.approx(gate.grad[index].item(), rel=1e-5, abs=1e-10), name


def run_training(base, adapter, data, folder, settings, after=None):
    opened, gated = gated_model(base, adapter)
    examples, _ = read_examples(data, opened.tokenizer, Limits())
    said = []
    run = Run(folder, {"base": opened.fingerprint}, said.append, after)
    loss = train(opened.model, {name: layer.gate for name, layer in gated.items()}, examples, settings, torch.device("cpu"), run)
    return opened, gated, loss, said


def test_the_loss_falls_and_only_the_gates_change(base, adapter, data, tmp_path):
    before, gates_before = gated_model(base, adapter)
    batch = batch_of(before, data)
    frozen = {name: tensor.clone() for name, tensor in before.model.state_dict().items() if not name.endswith(".gate")}
    after, gated, _, _ = run_training(base, adapter, data, tmp_path, Settings(steps=30, rate=2e-2, batch_size=8))
    with torch.no_grad():
        assert loss_of(after.model, batch) < loss_of(before.model, batch) - 0.02
    for name, tensor in after.model.state_dict().items():
        if not name.endswith(".gate"):
            assert torch.equal(tensor, frozen[name]), name
    assert all(layer.gate.abs().max() > 0 for layer in gated.values())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(base, adapter, data, tmp_path, accumulate):
    settings = Settings(steps=12, rate=1e-2, batch_size=5, accumulate=accumulate, seed=3)  # 5 does not divide 24: batches span epochs
    _, whole, _, _ = run_training(base, adapter, data, tmp_path / "whole", settings)

    def interrupt(done):
        if done in (5, 9):
            os.kill(os.getpid(), signal.SIGINT)

    for step in (5, 9):
        with pytest.raises(Interrupted, match=f"after step {step} of 12"):
            run_training(base, adapter, data, tmp_path / "parts", settings, interrupt)
    _, parts, _, said = run_training(base, adapter, data, tmp_path / "parts", settings)
    assert said[0] == "going on after step 9 of 12"
    for name in whole:
        assert torch.equal(whole[name].gate, parts[name].gate), name


def test_training_follows_the_papers_rate():
    settings = Settings(steps=100, rate=5e-3, batch_size=1)
    assert [settings.rate_at(step) for step in (0, 3, 6, 99)] == [0.0, 2.5e-3, 5e-3, 5e-3]


def test_bfloat16_trains_close_to_float32(base, adapter, data, tmp_path):
    for dtype in ("f32", "bf16"):
        gate(base, adapter, data, tmp_path / dtype, "--dtype", dtype, steps=12)
    gates = {dtype: torch.cat([*load_file(tmp_path / dtype / "gates.safetensors").values()]) for dtype in ("f32", "bf16")}
    assert torch.nn.functional.cosine_similarity(gates["f32"], gates["bf16"], dim=0) > 0.9


def test_the_folder_is_an_expert_with_figures(base, adapter, data, tmp_path):
    held_out = write_rows(tmp_path / "eval.jsonl", rows(6, 100))
    out = tmp_path / "expert"
    gate(base, adapter, data, out, "--eval", held_out, steps=4)
    expert = load_expert(out)
    assert expert.gates.keys() == expert.loras.keys() and all(expert.serves(module) for module in expert.loras)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (out / name).read_bytes() == (adapter / name).read_bytes()
    assert not (out / "unfinished.pt").exists()
    assert (out / "gates.safetensors").stat().st_mode == (out / "expert.json").stat().st_mode  # a server can read both
    about = json.loads((out / "expert.json").read_text())
    entry = about["evaluation"]
    assert entry["examples"] == 6 and entry["base_fingerprint"].startswith("sha256:") and entry["gates"]["steps"] == 4
    for mode in ("base", "alone", "gated"):
        assert 0 <= entry[f"{mode}_exact"] <= 1 and math.isfinite(entry[f"{mode}_loss"])
    assert entry["base_loss"] != entry["alone_loss"] != entry["gated_loss"]

    # What a person writes stays when the gates are trained again; figures without an --eval do not.
    (out / "expert.json").write_text(json.dumps(about | {"title": "Backwards"}))
    gate(base, out, data, out, steps=2)
    about = json.loads((out / "expert.json").read_text())
    assert about["title"] == "Backwards" and "alone_exact" not in about["evaluation"] and about["evaluation"]["gates"]["steps"] == 2


def test_gates_that_nothing_moves_are_named(base, adapter, data, tmp_path, capsys):
    """A LoRA whose B is zero adds nothing, so nothing says when it helps."""
    dead = tmp_path / "dead"
    dead.mkdir()
    (dead / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    tensors = load_file(adapter / "adapter_model.safetensors")
    module = "encoder.block.1.layer.0.SelfAttention.v"
    tensors[f"base_model.model.{module}.lora_B.weight"].zero_()
    save_file(tensors, dead / "adapter_model.safetensors")
    gate(base, dead, data, tmp_path / "out", steps=20)
    assert f"warning: 1 of 36 gates stayed near zero, first {module}" in capsys.readouterr().err
