"""Made-up checkpoints in the official form, against the official formula."""
import pytest
import tiny
import torch
from conftest import SHAPE, gate
from gander_train.cli import main
from gander_train.convert import convert
from gander_train.errors import TrainError
from gander_train.layers import routable
from routing import RoutedLinear, Trace, load_expert
from safetensors.torch import load_file
from strategies import Strategy, layer_norm


def layers():
    return {name: layer.weight.shape for name, layer in routable(tiny.new_base(1, **SHAPE)).items()}


def made_up(experts=3, rank=4, dtype=torch.float32):
    """As put_index_to_lora and concatenate.py leave it."""
    tensors = {"encoder.embed_tokens.weight": torch.zeros(40, 64)}
    for module, (d_out, d_in) in layers().items():
        for i in range(experts):
            draw = tiny.new_generator(module, i)
            tensors[f"{module}._addons.expert_lora.layer1__{i}"] = tiny.normal(draw, (d_in, rank), 0.1).to(dtype)
            tensors[f"{module}._addons.expert_lora.layer2__{i}"] = tiny.normal(draw, (rank, d_out), 0.1).to(dtype)
            tensors[f"{module}._addons.router.expert_embeddings__{i}"] = tiny.normal(draw, d_in, 0.01).to(dtype)
    return tensors


def official(tensors, module, u, top_k=2):
    """What the official Router and FFNExperts add to W u: softmax over all, the two best made to sum to one, x A B times weight, over the rank."""
    scores = torch.stack([layer_norm(u) @ layer_norm(tensors[f"{module}._addons.router.expert_embeddings__{i}"].double()) for i in range(3)], -1)
    weights, chosen = torch.softmax(scores * (1 / u.shape[-1]) ** 0.5, -1).topk(top_k)
    weights = weights / (weights.sum(-1, keepdim=True) + 1e-6)
    total = 0.0
    for slot in range(top_k):
        outputs = torch.stack([u @ tensors[f"{module}._addons.expert_lora.layer1__{i}"].double() @ tensors[f"{module}._addons.expert_lora.layer2__{i}"].double() for i in range(3)])
        total = total + weights[:, slot, None] * outputs[chosen[:, slot], torch.arange(len(u))]
    return total / tensors[f"{module}._addons.expert_lora.layer1__0"].shape[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_converted_experts_compute_what_the_official_code_does(tmp_path, dtype):
    tensors = made_up(dtype=dtype)
    torch.save(tensors, tmp_path / "best.pt")
    main(["convert", str(tmp_path / "best.pt"), "-o", str(tmp_path / "out"), "--names", "anli,boolq,cola"])
    experts = [load_expert(tmp_path / "out" / name) for name in ("anli", "boolq", "cola")]
    for module, (d_out, d_in) in layers().items():
        u = tiny.normal(tiny.new_generator("u", module), (5, d_in), 1.0).double()
        linear = torch.nn.Linear(d_in, d_out, bias=False).double()
        routed = RoutedLinear(module, linear, experts, 2, Trace(), Strategy("phatgoose"))
        torch.testing.assert_close(routed.mixture(u), official(tensors, module, u), rtol=1e-5, atol=1e-9)


def test_converting_loses_nothing(tmp_path):
    tensors = made_up(dtype=torch.bfloat16)
    torch.save(tensors, tmp_path / "best.pt")
    folders = convert(tmp_path / "best.pt", tmp_path / "out")
    assert [folder.name for folder in folders] == ["expert_0", "expert_1", "expert_2"]
    back = {"encoder.embed_tokens.weight": tensors["encoder.embed_tokens.weight"]}
    for i, folder in enumerate(folders):
        for key, tensor in (load_file(folder / "adapter_model.safetensors") | load_file(folder / "gates.safetensors")).items():
            module, _, part = key.removeprefix("base_model.model.").removesuffix(".weight").rpartition(".")
            name = {"lora_A": f"expert_lora.layer1__{i}", "lora_B": f"expert_lora.layer2__{i}", "lora_gate": f"router.expert_embeddings__{i}"}[part]
            back[f"{module}._addons.{name}"] = tensor if part == "lora_gate" else tensor.T
    assert back.keys() == tensors.keys() and all(back[key].dtype == tensors[key].dtype and torch.equal(back[key], tensors[key]) for key in tensors)


def test_a_converted_folder_loads_in_peft_and_its_gates_can_be_trained_on(base, data, tmp_path):
    torch.save(made_up(1), tmp_path / "best.pt")
    (folder,) = convert(tmp_path / "best.pt", tmp_path / "out", base="tiny")
    gate(base, folder, data, tmp_path / "again")
    assert load_expert(tmp_path / "again").loras["encoder.block.0.layer.0.SelfAttention.q"].scale == 1 / 4


def test_a_checkpoint_before_its_gates_are_trained_has_none(tmp_path):
    tensors = {}
    for module, (d_out, d_in) in layers().items():
        tensors[f"{module}.expert_lora_a"], tensors[f"{module}.expert_lora_b"] = torch.randn(4, d_in), torch.randn(d_out, 4)
    torch.save(tensors, tmp_path / "best.pt")
    (folder,) = convert(tmp_path / "best.pt", tmp_path / "out")
    expert = load_expert(folder)
    assert not (folder / "gates.safetensors").exists()
    assert torch.equal(expert.loras["encoder.block.0.layer.0.SelfAttention.q"].a.float(), tensors["encoder.block.0.layer.0.SelfAttention.q.expert_lora_a"])


Q = "encoder.block.0.layer.0.SelfAttention.q._addons"


@pytest.mark.parametrize(("change", "message"), [
    (lambda t: t.pop(f"{Q}.expert_lora.layer2__1"), r"expert 1.*SelfAttention\.q\.lora_B.*is absent.*\[missing-tensor\]"),
    (lambda t: t.update({f"{Q}.router.expert_embeddings__1": torch.ones(31)}), r"SelfAttention\.q: gate: has shape \(31,\); expected \(64,\).*\[shape-mismatch\]"),
    (lambda t: t.update({f"{Q}.expert_lora.layer1__0": torch.ones(64, 5)}), r"SelfAttention\.q\.lora_B.*has 4 columns; expected 5.*\[shape-mismatch\]"),
    (lambda t: t.update({f"{Q}.expert_lora.layer1__0": torch.full((64, 4), float("nan"))}), r"layer1__0: has NaN.*\[not-finite\]"),
    (lambda t: t.update({"encoder._addons.router.expert_embeddings__0": torch.ones(384)}), r"encoder\._addons.*is no tensor of a PHATGOOSE expert.*\[unsupported\]"),
    (lambda t: t.clear(), r"has no experts.*\[missing-tensor\]"),
])
def test_what_is_not_such_a_checkpoint_is_refused_by_name(tmp_path, change, message):
    tensors = made_up(2)
    change(tensors)
    torch.save(tensors, tmp_path / "best.pt")
    with pytest.raises(TrainError, match=message):
        convert(tmp_path / "best.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pickle_that_runs_programs_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"x": Evil()}, tmp_path / "best.pt")
    with pytest.raises(TrainError, match=r"\[invalid-file\]"):
        convert(tmp_path / "best.pt", tmp_path / "out")
    assert not (tmp_path / "ran").exists()
