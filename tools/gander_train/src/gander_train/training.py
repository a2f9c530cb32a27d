"""The loop that LoRAs and gates share: the paper's optimiser, checkpoints, and runs that go on where they stopped.

AdamW without weight decay, betas (0.9, 0.999); the rate rises over the first 6 % of the steps from 0 and stays; gradients are clipped to norm 1. These are
the settings of r-three/phatgoose (colm/experiments/train.gin), for LoRAs and gates alike.

A step's examples and its dropout follow from the seed and the step's number. So parameters, optimiser and a number are all that a checkpoint needs, and a run that was
interrupted ends exactly as one that was not.
"""
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .data import Batch, Example, Order
from .errors import Interrupted, TrainError, first_line

WARMUP = 0.06  #: share of the steps
CLIP = 1.0
CHECKPOINT_SECONDS = 30
UNFINISHED = "unfinished.pt"


@dataclass(frozen=True)
class Settings:
    steps: int
    rate: float
    batch_size: int
    accumulate: int = 1  #: batches a step, where one of that size does not fit the memory
    seed: int = 0
    dtype: str = "f32"  #: or bf16

    def rate_at(self, step: int) -> float:
        warmup = round(WARMUP * self.steps)
        return self.rate * min(1.0, step / warmup) if warmup else self.rate


@dataclass
class Run:
    """Where a run is saved while it is not finished, and what else must be the same for it to go on."""

    folder: Path
    identity: dict[str, str]
    say: Callable[[str], None] = print
    after: Callable[[int], None] | None = None  #: called with the number of steps done

    @property
    def file(self) -> Path:
        return self.folder / UNFINISHED


def train(model: nn.Module, parameters: dict[str, nn.Parameter], examples: list[Example], settings: Settings, device: torch.device, run: Run) -> float:
    """Train `parameters`, the others being frozen. Returns the mean loss of the last tenth of the steps."""
    order = Order(examples, settings.seed, model.config.pad_token_id)
    optimiser = torch.optim.AdamW(parameters.values(), lr=settings.rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    losses = resume(run, settings, parameters, optimiser, device)
    model.train()  # T5's own dropout is on, as in the paper
    began = saved = time.monotonic()
    first = len(losses)
    with stop_on_request() as stopped:
        for step in range(first, settings.steps):
            torch.manual_seed(settings.seed * 1_000_003 + step)
            batches = (order.batch(step * settings.accumulate + i, settings.batch_size).to(device) for i in range(settings.accumulate))
            loss = step_once(model, list(parameters.values()), batches, optimiser, settings, step)
            check_finite(loss, step)
            losses.append(loss)
            done = step + 1
            if done % max(1, settings.steps // 20) == 0 or done == settings.steps:
                seconds = time.monotonic() - began
                left = seconds / (done - first) * (settings.steps - done)
                run.say(f"step {done}/{settings.steps}  loss {loss:.4f}  {(done - first) * settings.batch_size * settings.accumulate / seconds:.1f} examples/s  {left:.0f} s left")
            if run.after:
                run.after(done)
            if done < settings.steps and (stopped() or time.monotonic() - saved > CHECKPOINT_SECONDS):
                save(run, settings, parameters, optimiser, losses)
                saved = time.monotonic()
            if stopped() and done < settings.steps:
                raise Interrupted(f"stopped after step {done} of {settings.steps}; the same command goes on from there")
    model.eval()
    for name, parameter in parameters.items():
        if not parameter.isfinite().all():
            raise TrainError("not-finite", name, "is NaN or infinite after training", "finite numbers: a lower --lr, or --dtype f32")
    last = losses[-max(1, settings.steps // 10) :]
    return sum(last) / len(last)


def step_once(model: nn.Module, parameters: list[nn.Parameter], batches: Iterator[Batch], optimiser: torch.optim.Optimizer, settings: Settings, step: int) -> float:
    """One step of the optimiser. Returns the loss, a mean over the batches; with a loss that is not finite nothing is changed."""
    optimiser.zero_grad()
    total = 0.0
    for batch in batches:
        loss = loss_of(model, batch, settings.dtype) / settings.accumulate
        loss.backward()
        total += loss.item()
    if math.isfinite(total):
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimiser.param_groups[0]["lr"] = settings.rate_at(step)
        optimiser.step()
    return total


def loss_of(model: nn.Module, batch: Batch, dtype: str) -> Tensor:
    """The mean cross-entropy over the target tokens, the end token included."""
    with precision(batch.inputs.device, dtype):
        return model(input_ids=batch.inputs, attention_mask=batch.mask, labels=batch.labels).loss


def precision(device: torch.device, dtype: str):
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bf16")


def check_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise TrainError("not-finite", f"step {step + 1}", f"the loss is {loss}", "a finite number: a lower --lr, or --dtype f32")


def save(run: Run, settings: Settings, parameters: dict[str, nn.Parameter], optimiser: torch.optim.Optimizer, losses: list[float]) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    state = {
        "identity": run.identity | {key: str(value) for key, value in asdict(settings).items()}, "losses": losses,
        "parameters": {name: parameter.detach() for name, parameter in parameters.items()}, "optimiser": optimiser.state_dict()}
    part = run.file.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, run.file)  # whole or not at all


def resume(run: Run, settings: Settings, parameters: dict[str, nn.Parameter], optimiser: torch.optim.Optimizer, device: torch.device) -> list[float]:
    """Take up what an interrupted run left, if it left anything. Returns the losses of the steps it had done."""
    if not run.file.exists():
        return []
    try:
        state = torch.load(run.file, map_location=device, weights_only=True)
        identity, losses, saved = state["identity"], state["losses"], state["parameters"]
    except Exception as error:
        raise TrainError("invalid-file", run.file, first_line(error), "what an interrupted run left; --restart begins anew") from error
    for key, wanted in (run.identity | {key: str(value) for key, value in asdict(settings).items()}).items():
        if identity.get(key) != wanted:
            raise TrainError("invalid-option", run.file, f"is of a run with {key} {identity.get(key)}", f"{wanted}, as asked for now; --restart begins anew")
    for name, parameter in parameters.items():
        if name not in saved or saved[name].shape != parameter.shape:
            found = tuple(saved[name].shape) if name in saved else "absent"
            raise TrainError("shape-mismatch", f"{run.file}: {name}", f"is {found}", f"{tuple(parameter.shape)}; --restart begins anew")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(saved[name])
    optimiser.load_state_dict(state["optimiser"])
    run.say(f"going on after step {len(losses)} of {settings.steps}")
    return losses


@contextmanager
def stop_on_request() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM let the step end and be saved; the second one ends the program at once."""
    asked = False

    def ask(number: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
