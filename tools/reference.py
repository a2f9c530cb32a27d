"""What `gander generate --json --logits --trace` must print, computed in float64 with transformers.

    python tools/reference.py --base BASE --experts DIR... --input-ids 5,9,1 [--top-k 2] [--max-new-tokens 64]

BASE is a Hugging Face folder or a GGUF file in llama.cpp's T5 naming.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.mt5.modeling_mt5 import MT5ForConditionalGeneration, MT5LayerNorm
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration, T5LayerNorm

from routing import Expert, attach, load_expert
from strategies import Strategy

torch.set_grad_enabled(False)
torch.set_num_threads(1)


# Bases


def load_base(path: Path) -> nn.Module:
    """A T5 with every weight in float64."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if path.suffix == ".gguf":
        from gguf_t5 import load_gguf

        return in_float64(load_gguf(path))
    kind = json.loads((path / "config.json").read_text())["model_type"]
    model_class = MT5ForConditionalGeneration if kind == "mt5" else T5ForConditionalGeneration
    return in_float64(model_class.from_pretrained(path, dtype=torch.float32, attn_implementation="eager", local_files_only=True))


def in_float64(model: nn.Module) -> nn.Module:
    """transformers takes the norm's mean square in float32 whatever the model's type: give it a norm that does not."""
    model = model.eval().double()
    for module in model.modules():
        if isinstance(module, (T5LayerNorm, MT5LayerNorm)):
            module.__class__ = RmsNorm
    return model


class RmsNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x / torch.sqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon)


# Generation


@dataclass
class Run:
    """One greedy generation and all that was seen on the way."""

    input_ids: list[int]
    output_ids: list[int] = field(default_factory=list)
    finish: str = "length"
    logits: list[Tensor] = field(default_factory=list)  # per step, (vocab)
    routing: list[dict] = field(default_factory=list)
    states: dict[str, Tensor] = field(default_factory=dict)  # by name, (tokens, d_model)

    def greedy_margins(self) -> list[float]:
        """By step, how far the chosen token's logit is above the next one's."""
        best = [torch.topk(logits, 2).values for logits in self.logits]
        return [float(first - second) for first, second in best]


def generate(
    model: nn.Module,
    experts: list[Expert],
    input_ids: list[int],
    top_k: int = 2,
    max_new_tokens: int = 64,
    strategy: Strategy | None = None,
) -> Run:
    """Greedy decoding with a KV cache. The model is routed for good: load another for another set of experts or another k."""
    if strategy is not None and strategy.name == "retrieval":
        strategy.choose(model.encoder(input_ids=torch.tensor([input_ids])).last_hidden_state[0])
    trace = attach(model, experts, top_k, strategy)
    run = Run(input_ids, routing=trace.routing)
    config = model.config
    states = watch(model)

    encoded = model.encoder(input_ids=torch.tensor([input_ids])).last_hidden_state
    token, cache = config.decoder_start_token_id, None
    for step in range(max_new_tokens):
        # Cross-attention k and v run in step 0 alone, where the position is 0: their tokens are the encoder's.
        trace.position = step
        answer = model(
            encoder_outputs=BaseModelOutput(encoded),
            decoder_input_ids=torch.tensor([[token]]),
            past_key_values=cache,
            use_cache=True,
        )
        cache = answer.past_key_values
        run.logits.append(answer.logits[0, -1])
        token = int(run.logits[-1].argmax())
        run.output_ids.append(token)
        if token == config.eos_token_id:
            run.finish = "eos"
            break

    run.states = {name: torch.cat(pieces) for name, pieces in states.items()}
    run.routing = in_order(run.routing)
    return run


def watch(model: nn.Module) -> dict[str, list[Tensor]]:
    """Collects what every block and both final norms put out."""
    states: dict[str, list[Tensor]] = {}

    def keep(name: str):
        def hook(_module, _input, output):
            states.setdefault(name, []).append((output[0] if isinstance(output, tuple) else output)[0])

        return hook

    for stack in ("encoder", "decoder"):
        for index, block in enumerate(model.get_submodule(stack).block):
            block.register_forward_hook(keep(f"{stack}.block.{index}.output"))
        model.get_submodule(stack).final_layer_norm.register_forward_hook(keep(f"{stack}.final"))
    return states


def in_order(routing: list[dict]) -> list[dict]:
    """The encoder, then cross-attention k and v, then the decoder step by step."""

    def group(choice: dict) -> tuple[int, int]:
        module = choice["module"]
        if module.startswith("encoder."):
            return (0, 0)
        if module.endswith((".EncDecAttention.k", ".EncDecAttention.v")):
            return (1, 0)
        return (2, choice["token"])

    return sorted(routing, key=group)  # stable: within a group the order in which it ran


def recompute(model: nn.Module, experts: list[Expert], run: Run, top_k: int) -> Tensor:
    """The same logits without a cache, the whole output at once: (steps, vocab)."""
    attach(model, experts, top_k)
    decoder_input_ids = [model.config.decoder_start_token_id, *run.output_ids[:-1]]
    return model(
        input_ids=torch.tensor([run.input_ids]), decoder_input_ids=torch.tensor([decoder_input_ids]), use_cache=False
    ).logits[0]


def as_json(run: Run) -> dict:
    return {
        "input_ids": run.input_ids,
        "output_ids": run.output_ids,
        "text": None,
        "finish": run.finish,
        "device": "reference",
        "pages": None,
        "first_logits": run.logits[0].tolist(),
        "routing": run.routing,
        "greedy_margins": run.greedy_margins(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--experts", type=Path, nargs="*", action="extend", default=[], help="PEFT folders, in catalogue order")
    parser.add_argument("--input-ids", required=True)
    parser.add_argument("--top-k", type=int, default=2)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    options = parser.parse_args()

    input_ids = [int(token) for token in options.input_ids.split(",")]
    experts = [load_expert(folder) for folder in options.experts]
    run = generate(load_base(options.base), experts, input_ids, options.top_k, options.max_new_tokens)
    json.dump(as_json(run), sys.stdout)
    print()


if __name__ == "__main__":
    main()
