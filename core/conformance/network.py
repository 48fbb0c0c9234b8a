"""Rules about a network that is built for the modality: it learns, and it is told what it must know and nothing else."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from .. import checkpoint
from ..denoiser import NeuralDenoiser
from ..objective import Objective, draw_noise
from ..samplers import DDPM
from ..samplers.run import Progress, run
from ..state import Encoded, State, expand_time
from .rule import Broken, Skipped, doing, require
from .states import own_tokens, padded_mask, resized, same
from .subject import BATCH, Subject, generator, snapshot

STEPS = 6


def noise_is_standard(subject: Subject) -> None:
    """Noise of a continuous field has mean square 1 per degree of freedom of its space, and none at padding."""
    denoiser, fields = subject.network, subject.fitted.fields
    encoded = subject.encoded
    draws = [draw_noise(denoiser, encoded, seed, torch.arange(encoded.batch), "conformance") for seed in range(100)]
    for f in fields:
        if f.kind != "continuous":
            continue
        x = torch.stack([d[f.name] for d in draws]).double()
        real = padded_mask(f, encoded.mask).expand_as(draws[0][f.name])
        require(not x[:, ~real].any(), f"the noise of {f.name!r} is not zero at padded entries")
        freedom = (
            f.space.dof(encoded.mask, f.channels).double() if f.axes == "token" else real.flatten(1).sum(1).double()
        )
        found = float((x**2).flatten(2).sum(2).mean(0).sum() / freedom.sum())
        error = 6 * float((2 / (100 * freedom.sum())) ** 0.5) * (2 if f.axes == "pair" else 1)
        require(
            abs(found - 1) < error,
            f"the noise of {f.name!r} has mean square {found:.4f} for each degree of freedom of {type(f.space).__name__}, not "
            f"1 within {error:.3f}: project() or dof() is wrong",
        )


def every_parameter_learns(subject: Subject) -> None:
    """In a few training steps on posed items every parameter gets a gradient that is not zero."""
    with doing("building a network from fields, conditions and axes"):
        denoiser = copy.deepcopy(subject.network).train()
    without_dropout(denoiser)
    encoded = subject.posed
    objective = Objective(dropout=0.3, self_conditioning=float(denoiser.self_conditioning))
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=1e-2)
    asleep = {name for name, p in denoiser.named_parameters() if p.requires_grad}
    for step in range(STEPS):
        with doing(f"training step {step} on posed items"):
            draw = objective.draw(denoiser, encoded, 0, step, torch.arange(encoded.batch))
            loss = objective(denoiser, encoded, draw).total.mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        require(bool(torch.isfinite(loss)), f"the loss of training step {step} is {loss.item()}")
        asleep -= {n for n, p in denoiser.named_parameters() if p.grad is not None and p.grad.abs().any()}
    require(
        not asleep,
        f"{len(asleep)} parameters get no gradient in {STEPS} steps, among them {', '.join(sorted(asleep)[:4])}: is there a "
        "condition that encode never fills, or a layer that nothing passes through?",
    )


def padding_is_inert(subject: Subject) -> None:
    """What stands at padded tokens, and how many there are, changes neither answer nor loss."""
    modality, denoiser = subject.fitted, subject.denoiser
    encoded = subject.posed.to("cpu", torch.float64)
    if encoded.layout.grid is not None:
        raise Skipped("tokens fill a grid: there is no padding")
    answers, losses, objective = [], [], Objective(dropout=0.0)
    for batch in (encoded, resized(modality, encoded, encoded.mask.shape[1] + 3, 1e3)):
        draw = objective.draw(denoiser, batch, 0, 0, torch.arange(batch.batch))
        losses.append(objective(denoiser, batch, draw).total)
        posterior = denoiser(_noised(denoiser, batch, draw.noise), 0.5, batch.layout, batch.cond, batch.known)
        answers.append({f.name: posterior[f.name].x0 for f in modality.fields})
    same(
        modality.fields,
        encoded.mask,
        answers[0],
        answers[1],
        1e-6,
        "the network's answer without and with padded tokens",
    )
    off = float((losses[0] - losses[1]).detach().abs().max())
    require(off < 1e-6, f"the loss changes by {off:.3g} where padded tokens are added")


def samples_do_not_see_each_other(subject: Subject) -> None:
    """A sample is the same alone and in a batch, through a whole run of a stochastic sampler."""
    modality, denoiser = subject.fitted, subject.denoiser
    encoded = subject.posed.to("cpu", torch.float64)
    plan = DDPM(4).plan(denoiser.processes)
    together = run(denoiser, plan, encoded, seed=1)
    for i in range(0, encoded.batch, 3):
        alone = own_tokens(modality, encoded, i)
        state = run(denoiser, plan, alone, seed=1, index=torch.tensor([i]))
        row = {name: x[i : i + 1] for name, x in together.items()}
        same(modality.fields, alone.mask, state, row, 1e-6, f"sample {i} alone and in a batch of {encoded.batch}")


def same_seed_same_sample(subject: Subject) -> None:
    """Samples are the same for any batch size, decoded ones too, and others for another seed."""
    denoiser, modality, blank = subject.denoiser, subject.fitted, _blank(subject)
    first, again, other = (_sampled(denoiser, blank, seed, size) for seed, size in ((0, 5), (0, 2), (1, 5)))
    same(modality.fields, blank.mask, first, again, 1e-6, "the samples of batch sizes 5 and 2, with one seed")
    require(
        any(not torch.equal(first[f.name], other[f.name]) for f in modality.fields), "two seeds give the same samples"
    )
    with doing("decode of samples in parts"):
        whole = modality.decode(first, blank.mask, blank.aux)
        parts = [blank.rows(i, i + 1) for i in range(blank.batch)]
        states = [{n: x[i : i + 1] for n, x in first.items()} for i in range(blank.batch)]
        single = [modality.decode(s, e.mask, e.aux)[0] for s, e in zip(states, parts, strict=True)]
    for i, (a, b) in enumerate(zip(whole, single, strict=True)):
        require(snapshot(a) == snapshot(b), f"decode gives another sample {i} alone than in a batch of {blank.batch}")


def pairs_stay_symmetric(subject: Subject) -> None:
    """Through a whole run of a sampler, (i, j) and (j, i) of a pair field hold the same."""
    pairs = [f for f in subject.fitted.fields if f.axes == "pair"]
    if not pairs:
        raise Skipped("the modality has no pair field")
    denoiser, encoded = subject.denoiser, subject.posed.to("cpu", torch.float64)
    mirrored = [f.name for f in pairs]

    def watch(at: Progress) -> None:
        other = {name: at.state[name].transpose(1, 2) for name in mirrored}
        same(pairs, encoded.mask, at.state, other, 1e-6, f"(i, j) and (j, i) at row {at.row} of a sampler")

    run(denoiser, DDPM(4).plan(denoiser.processes), encoded, seed=0, hooks=[watch])


def noise_level_reaches_the_network(subject: Subject) -> None:
    """The raw output is another one at another noise level."""
    low, high = (_output(subject, subject.encoded, c) for c in (-1.0, 1.0))
    for f in subject.fitted.fields:
        require(
            not torch.allclose(low[f.name], high[f.name], atol=1e-6),
            f"the network's output of {f.name!r} is the same at every noise level: c_noise does not reach it",
        )


def conditions_reach_the_network(subject: Subject) -> None:
    """The raw output is another one without a condition, which items have or a task tells."""
    specs = subject.fitted.conditions
    if not specs:
        raise Skipped("the modality declares no conditions")
    for spec in specs:
        encoded = next((e for e in _told(subject) if spec.name in e.cond and e.cond[spec.name].present.any()), None)
        if encoded is None:
            raise Broken(
                f"encode gives no condition {spec.name!r}, which is declared, for plain items or for posed ones"
            )
        full = _output(subject, encoded, 0.0)
        less = {**encoded.cond, spec.name: encoded.cond[spec.name].dropped(torch.ones(encoded.batch, dtype=torch.bool))}
        without = _output(subject, Encoded(encoded.state, encoded.layout, less), 0.0)
        heard = any(not torch.allclose(full[name], without[name], atol=1e-6) for name in full)
        require(heard, f"the network's output is the same with and without the condition {spec.name!r}")


def _told(subject: Subject) -> Iterator[Encoded]:
    """The items plain, and as each task poses them."""
    yield subject.encoded
    for name, task in subject.fitted.tasks().items():
        posed = [task.pose(item, generator("pose", name, i)) for i, item in enumerate(subject.items[:BATCH])]
        yield subject.encode([item for item, _ in posed], [known for _, known in posed])


def checkpoint_rebuilds_it(subject: Subject) -> None:
    """A saved model, loaded without the data, draws the same samples and decodes and writes them."""
    blank = _blank(subject)
    with tempfile.TemporaryDirectory() as folder, doing("saving and loading a checkpoint"):
        checkpoint.save(subject.stirred, folder)
        loaded = checkpoint.load(folder)
    before = _sampled(copy.deepcopy(subject.stirred).double(), blank, 0, 5)
    after = _sampled(loaded.double(), blank, 0, 5)
    same(subject.fitted.fields, blank.mask, before, after, 0, "samples before saving and after loading")
    modality = loaded.modality
    if modality is None:
        raise Broken("the loaded denoiser has no modality")
    with tempfile.TemporaryDirectory() as folder, doing("decode and write by a modality from a checkpoint"):
        modality.write(modality.decode(after, blank.mask, blank.aux), Path(folder))


def without_dropout(module: nn.Module) -> None:
    """Set every dropout to nothing; the rest of the training mode stays."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        elif isinstance(getattr(part, "dropout", None), float):
            setattr(part, "dropout", 0.0)  # noqa: B010 - nn.Module types attributes as tensors or modules


def _blank(subject: Subject) -> Encoded:
    """Five samples to be made, with conditions that items have."""
    items = [subject.items[i % len(subject.items)] for i in range(5)]
    return subject.fitted.blank(5, subject.encode(items).cond, generator("blank"))


def _sampled(denoiser: NeuralDenoiser, blank: Encoded, seed: int, batch_size: int) -> State:
    """Final states, drawn `batch_size` at a time."""
    plan, states = DDPM(4).plan(denoiser.processes), []
    for start in range(0, blank.batch, batch_size):
        part = blank.rows(start, start + batch_size).to("cpu", torch.float64)
        states.append(run(denoiser, plan, part, seed=seed, index=torch.arange(start, start + part.batch)))
    return {name: torch.cat([s[name] for s in states]) for name in states[0]}


def _output(subject: Subject, encoded: Encoded, c_noise: float) -> State:
    """The raw output of the stirred network for data as they are."""
    e = encoded.to("cpu", torch.float64)
    with torch.no_grad():
        return subject.denoiser.backbone(
            e.state, torch.full((e.batch,), c_noise, dtype=torch.float64), e.layout, e.cond
        )


def _noised(denoiser: NeuralDenoiser, encoded: Encoded, noise: State) -> State:
    """The state half way to noise, with large values and the last class at padded entries."""
    out = {}
    for name, f in denoiser.fields.items():
        x = encoded.state[name]
        x = denoiser.processes[name].corrupt(f, x, expand_time(torch.full((encoded.batch,), 0.5), f), noise[name])
        out[name] = torch.where(padded_mask(f, encoded.mask), x, f.channels - 1 if f.kind == "categorical" else 1e3)
    return out
