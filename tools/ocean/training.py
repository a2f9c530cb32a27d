"""What the three trainings share: batches of like length, one optimiser loop, and gradients averaged over worker processes."""
import math
import os
import random
import time
from typing import Callable, Iterator, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .tokenizer import PAD


class Example(NamedTuple):
    inputs: list[int]
    targets: list[int]
    input_kinds: list[int] | None = None  #: the kind that each input token belongs to, 0 for none
    target_kinds: list[int] | None = None
    sources: list[int] | None = None  #: for each target token the position in `inputs` that it is copied from, -100 for none


class Batch(NamedTuple):
    """Padded ids and kinds, (lines, longest); labels, kinds and sources are -100 where padded."""

    inputs: Tensor
    mask: Tensor
    labels: Tensor
    input_kinds: Tensor
    target_kinds: Tensor
    sources: Tensor


def pad(rows: list[list[int]], value: int) -> Tensor:
    """Up to a multiple of four: oneDNN compiles a kernel for every shape it meets, so few shapes are worth a little padding."""
    longest = -(-max(map(len, rows)) // 4) * 4
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def collate(examples: list[Example]) -> Batch:
    inputs = pad([e.inputs for e in examples], PAD)
    return Batch(
        inputs, (inputs != PAD).long(), pad([e.targets for e in examples], -100),
        pad([e.input_kinds or [0] * len(e.inputs) for e in examples], -100),
        pad([e.target_kinds or [0] * len(e.targets) for e in examples], -100),
        pad([e.sources or [-100] * len(e.targets) for e in examples], -100))


def batches(make: Callable[[], Example], size: int, rng: random.Random, pool: int = 12, order: random.Random | None = None) -> Iterator[Batch]:
    """Endless batches; within a pool of several, lines of like length share a batch, so little is padding.

    Workers that wait for each other pass an `order` of the same seed: then their batches have like lengths too, step by step.
    """
    while True:
        examples = sorted((make() for _ in range(size * pool)), key=lambda e: (len(e.targets), len(e.inputs)))
        groups = [examples[i : i + size] for i in range(0, len(examples), size)]
        (order or rng).shuffle(groups)
        yield from map(collate, groups)


def train(parameters: list[nn.Parameter], loss_of: Callable[[Batch, int], Tensor], stream: Iterator[Batch], *, steps: int, rate: float, warmup: int,
          decay: float = 0.0, floor: float = 0.05, log: Callable[[str], None] = print, every: int = 100, betas: tuple[float, float] = (0.9, 0.98),
          at: Callable[[int, torch.optim.Optimizer], None] | None = None, start: int = 0, optimiser_state: dict | None = None, hold: int = 0) -> float:
    """AdamW: a linear warm-up, the full rate until step `hold`, a cosine down to `floor`. Returns the mean loss of the last steps.

    `at(step, optimiser)` is called every `every` steps; `start` and `optimiser_state` take up an interrupted run.
    """
    optimiser = torch.optim.AdamW(parameters, lr=rate, betas=betas, weight_decay=decay, fused=True)
    if optimiser_state:
        optimiser.load_state_dict(optimiser_state)
    hold = max(hold, warmup)
    recent, last, began = [], 0.0, time.time()
    for step in range(start, steps):
        progress = max(0.0, (step - hold) / max(1, steps - hold))
        scale = min(1.0, (step + 1) / max(1, warmup)) * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimiser.param_groups:
            group["lr"] = rate * scale
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(next(stream), step)
        loss.backward()
        average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        recent.append(loss.item())
        if (step + 1) % every == 0 or step + 1 == steps:
            last = sum(recent) / len(recent)
            log(f"step {step + 1}/{steps} loss {last:.4f} {time.time() - began:.0f} s")
            recent = []
            if at:
                at(step + 1, optimiser)
    return last


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """The mean over the worker processes, all in one message."""
    if not dist.is_initialized():
        return
    flat = torch.cat([p.grad.flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for p, g in zip(parameters, flat.split([p.numel() for p in parameters])):
        p.grad.copy_(g.view_as(p))


def join_workers(rank: int, world: int, port: int) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if world > 1:
        dist.init_process_group("gloo", rank=rank, world_size=world)
