"""The base: it learns to copy a line, to mark the fields in it, and to fill gaps. It never sees a field beside its standard form.

Default task: the line comes back verbatim, each field between markers: `call <phone>0049 30 123</> at <time>3 pm</>`. Markers are control symbols that decoding
drops, so to a reader the base copies. They make the decoder know which kind it is writing, as a large T5 would from its own pretraining.
Span corruption: T5's own task, on the same text.
Copying noise: rows of random tokens, first short ones; they teach the pointer that everything else needs, and quickly.

Beside the language loss, one cross-attention head in each of two decoder blocks is told where to look while a line is copied: at the token to be written next.
It learns in 300 steps what it would find by itself in 2000.

And a probe reads the kind of each token off the input of every linear layer, through the very formula that routes later. It is thrown
away afterwards: no gate starts from it. It sees to it that what the gates will look for is there to be found in every layer.
"""
import random
from pathlib import Path
from typing import Callable

import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor, nn

from . import lines, model as t5, training
from .kinds import KINDS
from .tokenizer import EOS, MARKER_ID, Codec
from .training import Batch, Example

SEED = 1
MARKERS = set(MARKER_ID.values())
STEPS, BATCH, RATE = 7000, 48, 2e-3
GROWN_STEPS, GROWN_RATE = 2400, 1.2e-3  #: for a base grown from another one
PROBE_WEIGHT, POINTER_WEIGHT = 1.0, 0.3
TIDY = 0.25  #: how many fields are in standard form as they come; to the base these are only another way to write
POINTER_BLOCKS = (1, 2)


def layer_norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


class Probes(nn.Module):
    """One prototype per kind (and one for plain text) at the input of every linear layer; the score is the router's: LN(u) . LN(v) / sqrt(d)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.prototypes = nn.ParameterDict()
        self.seen: dict[str, Tensor] = {}
        for name, layer in t5.linears(model).items():
            # q, k, v share one input, so do wi_0 and wi_1, and all cross-attention k and v; what enters the first block is a bare embedding.
            cross_key = name == "decoder.block.0.layer.1.EncDecAttention.k"
            bare = name.endswith("block.0.layer.0.SelfAttention.q")
            if name.endswith((".q", ".o", ".wi_0", ".wo")) and not bare or cross_key:
                self.prototypes[name.replace(".", "/")] = nn.Parameter(torch.randn(len(KINDS) + 1, layer.in_features) * 0.5)
                layer.register_forward_pre_hook(lambda _, args, name=name: self.seen.__setitem__(name, args[0]))

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy over the probes, and each one's accuracy."""
        losses, accuracy = [], {}
        for key, prototypes in self.prototypes.items():
            name = key.replace("/", ".")
            kinds = batch.input_kinds if name.startswith("encoder") or name.endswith("EncDecAttention.k") else batch.target_kinds
            u = self.seen.pop(name).float()
            scores = layer_norm(u) @ layer_norm(prototypes).T / u.shape[-1] ** 0.5
            losses.append(F.cross_entropy(scores.flatten(0, 1), kinds.flatten(), ignore_index=-100))
            known = kinds > 0
            accuracy[name] = (scores.argmax(-1) == kinds)[known].float().mean().item() if not torch.is_grad_enabled() else 0.0
        return torch.stack(losses).mean(), accuracy


class Pointers:
    """The first cross-attention head of some decoder blocks, and how far it looks from where it should."""

    def __init__(self, model: nn.Module) -> None:
        self.layers = [model.decoder.block[i].layer[1].EncDecAttention for i in POINTER_BLOCKS]
        for layer in self.layers:
            layer.keep_weights = True

    def loss(self, batch: Batch) -> Tensor:
        losses = []
        for layer in self.layers:
            looks = (layer.kept[:, 0].float() + 1e-6).log()  # (lines, target length, input length)
            losses.append(F.nll_loss(looks.flatten(0, 1), batch.sources.flatten(), ignore_index=-100))
            layer.kept = None
        return torch.stack(losses).mean()


def copy_noise(codec: Codec, rng: random.Random, longest: int) -> Example:
    """Random tokens, or random digits and signs that now and then repeat, to be copied as they are."""
    n = rng.randint(2, longest)
    first = 3 + len(KINDS) + 1
    if rng.random() < 0.5:
        ids = [rng.randrange(first, codec.size - 16) for _ in range(n)]
    else:
        some = [codec.fast.token_to_id(c) for c in rng.choice(("0123456789", "0123456789-.", "abcdeghiklmnoprstuv", "01"))]
        stutter, ids = rng.choice((0.0, 0.2, 0.4)), []
        for _ in range(n):
            ids.append(rng.choice(ids[-3:]) if ids and rng.random() < stutter else rng.choice(some))
    return Example(ids + [EOS], ids + [EOS], sources=list(range(n + 1)))


def mark_fields(codec: Codec, rng: random.Random) -> Example:
    return marked_example(codec, lines.mixed(rng, "train", TIDY))


def marked_example(codec: Codec, line: lines.Line) -> Example:
    ids, kinds = codec.marked(line, markers=False)
    targets, target_kinds = codec.marked(line)
    sources, read = [], 0
    for token in targets:
        sources.append(read)
        read += token not in MARKERS  # a marker looks at the token that it comes before
    return Example(ids, targets, kinds, target_kinds, sources)


def fill_gaps(codec: Codec, rng: random.Random) -> Example:
    """T5's span corruption: gaps of one to four tokens, about 15 % of the line."""
    ids, kinds = codec.marked(lines.mixed(rng, "train", TIDY), markers=False)
    inputs, input_kinds, targets, target_kinds, sources, i, gap = [], [], [], [], [], 0, 0
    while i < len(ids):
        if rng.random() < 0.08 and ids[i] != EOS and gap < 15:
            n = min(rng.randint(1, 4), len(ids) - 1 - i)
            sources += [len(inputs)] + [-100] * n
            inputs.append(codec.sentinel[gap])
            input_kinds.append(kinds[i])
            targets += [codec.sentinel[gap], *ids[i : i + n]]
            target_kinds += [kinds[i], *kinds[i : i + n]]
            gap, i = gap + 1, i + n
        else:
            inputs.append(ids[i])
            input_kinds.append(kinds[i])
            i += 1
    return Example(inputs, targets + [EOS], input_kinds, target_kinds + [0], sources + [-100]) if gap else fill_gaps(codec, rng)


def curriculum(codec: Codec, rng: random.Random) -> Callable[[int], Callable[[], Example]]:
    """step -> a maker of examples: noise at first and ever longer, then mostly lines."""
    def at(step: int) -> Callable[[], Example]:
        noise = 0.8 if step < 300 else 0.4 if step < 600 else 0.12
        longest = min(30, 6 + step // 25)
        gaps = 0.0 if step < 600 else 0.12

        def make() -> Example:
            roll = rng.random()
            if roll < noise:
                return copy_noise(codec, rng, longest)
            return fill_gaps(codec, rng) if roll < noise + gaps else mark_fields(codec, rng)
        return make
    return at


def grow(model: nn.Module, codec: Codec, old: nn.Module, old_codec: Codec) -> None:
    """Take over a base of a smaller vocabulary: all of its layers, and the rows of the pieces that both know.

    A new piece starts as any other did: at random, and its row of the head as a small copy.
    """
    rows = [(codec.fast.token_to_id(piece), number) for piece, number in old_codec.fast.get_vocab().items() if codec.fast.token_to_id(piece) is not None]
    new_rows, old_rows = (torch.tensor(column) for column in zip(*rows))
    state = old.state_dict()
    embedding, head = state["shared.weight"], state["lm_head.weight"]
    with torch.no_grad():
        shared = torch.randn_like(model.shared.weight) * embedding.std()
        grown = shared * (head.std() / embedding.std())
        shared[new_rows], grown[new_rows] = embedding[old_rows], head[old_rows]
        model.load_state_dict({name: value for name, value in state.items() if "embed_tokens" not in name} | {"shared.weight": shared, "lm_head.weight": grown}, strict=False)


def _worker(rank: int, world: int, folder: Path, steps: int, log: Path, grown_from: Path | None) -> None:
    torch.set_num_threads(1)
    training.join_workers(rank, world, 29517)
    codec = Codec(folder)
    model = t5.new(codec.size, SEED)
    if grown_from:
        grow(model, codec, t5.load(grown_from), Codec(grown_from))
    probes, pointers = Probes(model), Pointers(model)
    state_file, start, optimiser_state = folder.parent / f"{folder.name}-state.pt", 0, None
    if state_file.exists():
        state = torch.load(state_file)
        model.load_state_dict(state["model"])
        probes.load_state_dict(state["probes"])
        start, optimiser_state = state["step"], state["optimiser"]
    rng = random.Random(f"{SEED} {rank} {start}")
    maker = curriculum(codec, rng)
    warm = 600 if grown_from else 0  # a base that copies already is past the first lessons
    step_now = start + warm
    stream = training.batches(lambda: maker(step_now)(), BATCH // world, rng, order=random.Random(f"{SEED} {start}"))

    def say(text: str) -> None:
        if rank == 0:
            print(text, flush=True)
            with log.open("a") as f:
                f.write(text + "\n")

    def loss_of(batch: Batch, step: int) -> Tensor:
        nonlocal step_now
        step_now = step + warm
        language = model(input_ids=batch.inputs, attention_mask=batch.mask, labels=batch.labels).loss
        return language + PROBE_WEIGHT * probes.loss(batch)[0] + POINTER_WEIGHT * pointers.loss(batch)

    def at(step: int, optimiser: torch.optim.Optimizer) -> None:
        if rank == 0 and step % 200 == 0:
            say(report(model, probes, codec))
            model.save_pretrained(folder)
            torch.save({"step": step, "model": model.state_dict(), "probes": probes.state_dict(), "optimiser": optimiser.state_dict()}, state_file)

    model.train()
    training.train([*model.parameters(), *probes.parameters()], loss_of, stream, steps=steps, rate=GROWN_RATE if grown_from else RATE, warmup=100, hold=steps // 2, decay=0.01, log=say, every=50, at=at,
                   start=start, optimiser_state=optimiser_state)
    if rank == 0:
        model.save_pretrained(folder)


def report(model: nn.Module, probes: Probes, codec: Codec) -> str:
    """Teacher-forced exactness on held-out lines, and what the probes read."""
    rng = random.Random(99)
    rows = []
    for _ in range(128):
        rows.append(marked_example(codec, lines.mixed(rng, "validation")))
    batch = training.collate(rows)
    with torch.no_grad():
        out = model(input_ids=batch.inputs, attention_mask=batch.mask, labels=batch.labels)
        right = (out.logits.argmax(-1) == batch.labels) | (batch.labels == -100)
        _, accuracy = probes.loss(batch)
    low = min(accuracy, key=accuracy.get)
    mean = sum(accuracy.values()) / len(accuracy)
    return f"  validation: loss {out.loss:.4f} lines exact {right.all(-1).float().mean():.3f}; probes mean {mean:.3f}, lowest {accuracy[low]:.3f} at {low}"


def make(folder: Path, log: Path, workers: int = 2, grown_from: Path | None = None) -> None:
    """Train the base into `folder`, which holds the tokenizer already; from nothing, or from another base."""
    steps = GROWN_STEPS if grown_from else STEPS
    if workers == 1:
        _worker(0, 1, folder, steps, log, grown_from)
    else:
        mp.spawn(_worker, (workers, folder, steps, log, grown_from), nprocs=workers)
