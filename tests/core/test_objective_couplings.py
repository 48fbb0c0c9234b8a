"""Noise and data: optimal transport within condition, the nearest of k noises, shifts of all tokens; the modality's own hook."""

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from ornstein.core.denoiser import Denoiser
from ornstein.core.objective import Immiscible, MinibatchOT, Objective
from ornstein.core.processes import Gaussian, Masked
from ornstein.core.state import CentreFree, Condition, Encoded, Field, Known, Layout

X = Field("x", "continuous", 2, Gaussian())
E = Field("e", "continuous", 1, Gaussian(), axes="pair")
A = Field("a", "categorical", 4, Masked())


class Fields(Denoiser):
    """Fields and their processes: all that a draw asks for."""

    def __init__(self, *fields, modality=None) -> None:
        super().__init__()
        self.fields = {f.name: f for f in fields}
        self.processes = {f.name: f.process for f in fields}
        self.modality = modality

    def forward(self, *args, **kwargs):
        raise NotImplementedError


def batch(n=12, tokens=3, fields=(X,), sizes=None, label=None, seed=0) -> Encoded:
    g = torch.Generator().manual_seed(seed)
    state = {}
    for f in fields:
        if f.kind == "categorical":
            state[f.name] = torch.randint(0, f.channels, (n, tokens), generator=g)
        elif f.axes == "pair":
            x = torch.randn(n, tokens, tokens, f.channels, generator=g, dtype=torch.float64)
            state[f.name] = x + x.transpose(1, 2)
        else:
            state[f.name] = 2 * torch.randn(n, tokens, f.channels, generator=g, dtype=torch.float64)
    layout = Layout.of_sizes(torch.full((n,), tokens) if sizes is None else torch.tensor(sizes), tokens)
    cond = {} if label is None else {"label": Condition(torch.tensor(label), torch.ones(n, dtype=torch.bool))}
    return Encoded(state, layout, cond)


def drawn(objective, encoded, fields=(X,), step=0, index=None, total=None, modality=None):
    index = torch.arange(encoded.batch) if index is None else index
    return objective.draw(Fields(*fields, modality=modality), encoded, 3, step, index, total).noise


def permutation(before, after) -> list[int]:
    """Which noise each sample got; every noise is found once."""
    same = (before[None] == after[:, None]).flatten(2).all(2)
    assert (same.sum(1) == 1).all()
    found = same.int().argmax(1).tolist()
    assert sorted(found) == list(range(len(before)))
    return found


def cost(encoded, noise, name="x"):
    return float((encoded.state[name] - noise[name]).square().flatten(1).sum())


def test_transport_is_the_best_of_all_permutations():
    encoded = batch(6)
    plain, noise = drawn(Objective(), encoded), drawn(Objective(coupling=MinibatchOT()), encoded)
    permutation(plain["x"], noise["x"])
    costs = [cost(encoded, {"x": plain["x"][list(order)]}) for order in itertools.permutations(range(6))]
    assert cost(encoded, noise) == pytest.approx(min(costs), rel=1e-12)
    assert cost(encoded, noise) < cost(encoded, plain)


def test_transport_makes_paths_shorter_and_keeps_the_noises():
    encoded, falls = batch(64, 2), []
    for step in range(5):
        plain, noise = (drawn(Objective(coupling=c), encoded, step=step) for c in (None, MinibatchOT()))
        permutation(plain["x"], noise["x"])
        falls.append(cost(encoded, noise) / cost(encoded, plain))
    assert max(falls) < 0.75
    again = drawn(Objective(coupling=MinibatchOT()), encoded, step=4)
    assert torch.equal(again["x"], noise["x"])


def test_transport_stays_within_condition_mask_positions_and_known_values():
    n = 96
    label, sizes = [i % 3 for i in range(n)], [3 if i % 4 < 2 else 2 for i in range(n)]
    encoded = batch(n, sizes=sizes, label=label)
    positions = torch.zeros(n, 3, 1)
    positions[48:] = 1.0
    positions[:, 2] = torch.where(encoded.mask[:, 2:3], positions[:, 2], torch.rand(n, 1))  # padding holds anything
    encoded = replace(encoded, layout=replace(encoded.layout, positions=positions))
    bits = torch.zeros(n, 3, 2, dtype=torch.bool)
    bits[::6, 0] = True
    values = torch.where(bits, 7.0, torch.rand(n, 3, 2)).double()  # what is not given may hold anything
    values[0, 0] = 8.0
    bits[9, 0], values[9, 0] = True, 0.0  # given as zero is not the same as not given
    encoded = replace(encoded, known=Known({"x": bits}, {"x": values}))
    found = permutation(*(drawn(Objective(coupling=c), encoded)["x"] for c in (None, MinibatchOT())))
    key = [(label[i], sizes[i], i >= 48, bits[i].any().item(), i in (0, 9) and i) for i in range(n)]
    assert all(key[i] == key[j] for i, j in enumerate(found))
    assert any(i != j for i, j in enumerate(found))
    assert (found[0], found[9]) == (0, 9)


def test_missing_conditions_are_equal_whatever_stands_in_their_place():
    encoded = batch(8)
    for condition in (
        Condition(torch.arange(8), torch.zeros(8, dtype=torch.bool)),
        Condition(torch.rand(8, 5, 2), torch.ones(8, dtype=torch.bool), torch.zeros(8, 5, dtype=torch.bool)),
    ):
        noise = drawn(Objective(coupling=MinibatchOT()), replace(encoded, cond={"c": condition}))
        assert torch.equal(noise["x"], drawn(Objective(coupling=MinibatchOT()), encoded)["x"])
    half = torch.arange(8) % 2 == 0
    zero = Condition(torch.zeros(8, dtype=torch.int64), half)  # class 0 and no class are two conditions
    found = permutation(
        drawn(Objective(), encoded)["x"],
        drawn(Objective(coupling=MinibatchOT()), replace(encoded, cond={"c": zero}))["x"],
    )
    assert all(half[i] == half[j] for i, j in enumerate(found))
    apart = Condition(torch.rand(8, 5, 2), torch.ones(8, dtype=torch.bool))
    noise = drawn(Objective(coupling=MinibatchOT()), replace(encoded, cond={"c": apart}))
    assert torch.equal(noise["x"], drawn(Objective(), encoded)["x"])


def test_padding_and_given_entries_count_for_nothing():
    encoded = batch(10, sizes=[2] * 10)
    noise = drawn(Objective(coupling=MinibatchOT()), encoded)
    for junk in (1e3, math.nan):
        state = {"x": torch.where(encoded.mask[..., None], encoded.state["x"], junk)}
        assert torch.equal(noise["x"], drawn(Objective(coupling=MinibatchOT()), replace(encoded, state=state))["x"])
    bits = torch.zeros(10, 3, 2, dtype=torch.bool)
    bits[:, 0] = True
    one = Known({"x": bits}, {"x": torch.where(bits, 5.0, encoded.state["x"])})
    state = {"x": torch.where(bits, torch.rand(10, 3, 2, dtype=torch.float64) * 100, encoded.state["x"])}
    for coupling in (MinibatchOT(), Immiscible()):
        a, b = (
            drawn(Objective(coupling=coupling), replace(encoded, state=s, known=one))["x"]
            for s in (state, encoded.state)
        )
        assert torch.equal(a, b)


def test_an_item_without_numbers_does_not_stop_the_others():
    encoded = batch(10)
    encoded.state["x"][3] = math.nan
    permutation(*(drawn(Objective(coupling=c), encoded)["x"] for c in (None, MinibatchOT())))


def test_all_gaussian_fields_of_a_sample_move_together_and_no_others():
    fields = (A, X, E)
    encoded = batch(16, fields=fields)
    plain, noise = (drawn(Objective(coupling=c), encoded, fields) for c in (None, MinibatchOT()))
    order = permutation(plain["x"], noise["x"])
    assert order == permutation(plain["e"], noise["e"]) != list(range(16))
    assert torch.equal(plain["a"], noise["a"])
    upper = torch.ones(3, 3, dtype=torch.bool).triu(1)
    total = [
        sum(float(d.sum()) for d in ((encoded.state["x"] - s["x"]) ** 2, (encoded.state["e"] - s["e"])[:, upper] ** 2))
        for s in (plain, noise)
    ]
    assert total[1] < total[0]
    near = drawn(Objective(coupling=Immiscible(6)), encoded, fields)
    assert torch.equal(plain["a"], near["a"])
    torch.testing.assert_close(near["e"], near["e"].transpose(1, 2))


def test_the_modality_turns_the_noise_after_the_coupling():
    seen = []

    def couple(state, noise, mask, known, rng):
        seen.append((noise["x"], float(rng.random())))
        return {"x": -noise["x"]}

    encoded, modality = batch(8), SimpleNamespace(couple=couple)
    noise = drawn(Objective(coupling=MinibatchOT()), encoded, modality=modality)
    assert torch.equal(seen[0][0], drawn(Objective(coupling=MinibatchOT()), encoded)["x"])
    assert torch.equal(noise["x"], -seen[0][0])
    drawn(Objective(), encoded, modality=modality)
    assert seen[1][1] == seen[0][1]  # the same generator with and without


def test_the_nearest_of_k_noises_and_each_sample_alone():
    encoded = batch(32)
    noise = drawn(Objective(coupling=Immiscible(5)), encoded)
    assert cost(encoded, noise) < 0.8 * cost(encoded, drawn(Objective(), encoded))
    candidates = []

    class Spy(Immiscible):
        def couple(self, denoiser, encoded, noise, again):
            candidates.extend([noise["x"], *(again(j)["x"] for j in range(1, self.k))])
            return super().couple(denoiser, encoded, noise, again)

    drawn(Objective(coupling=Spy(5)), encoded)
    far = torch.stack([(encoded.state["x"] - c).square().sum((1, 2)) for c in candidates])
    best = torch.stack(candidates)[far.argmin(0), torch.arange(32)]
    assert torch.equal(noise["x"], best)
    assert len(far.argmin(0).unique()) == 5
    part = drawn(Objective(coupling=Immiscible(5)), encoded.rows(8, 16), index=torch.arange(8, 16), total=32)
    assert torch.equal(part["x"], noise["x"][8:16])


def test_immiscible_noise_is_nearly_normal_with_the_stated_shift():
    """k = 4, d = 256, |x_0|^2 = d: the lean towards x_0 and the variance are c_4 / sqrt(1.5) and 1 - 2 c_4 / sqrt(6 d)."""
    n, tokens, d, c4 = 4000, 128, 256, 1.0294
    x0 = torch.randn(n, tokens, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x0 = x0 * math.sqrt(d) / x0.flatten(1).norm(dim=1).view(-1, 1, 1)
    encoded = Encoded({"x": x0}, Layout(torch.ones(n, tokens, dtype=torch.bool)))
    eps = drawn(Objective(coupling=Immiscible(4)), encoded)["x"]
    lean = (eps * x0).flatten(1).sum(1).mean() / math.sqrt(d)
    assert float(lean) == pytest.approx(c4 / math.sqrt(1.5), abs=0.05)
    assert float(eps.square().mean()) == pytest.approx(1 - 2 * c4 / math.sqrt(6 * d), abs=0.005)
    assert float(eps.mean()) == pytest.approx(0, abs=0.005)  # data of mean 0


def test_known_and_unknown_noise_of_a_sample_stay_together():
    """In a centre-free space a given scaffold leaves the noise unprojected: it must not go to a sample without one."""
    field = replace(X, space=CentreFree())
    encoded = batch(16, fields=(field,))
    bits = torch.zeros(16, 3, 2, dtype=torch.bool)
    bits[:8, 0] = True
    known = Known({"x": bits}, {"x": torch.ones(16, 3, 2, dtype=torch.float64)})
    noise = drawn(Objective(coupling=MinibatchOT()), replace(encoded, known=known), (field,))["x"]
    assert float(noise[8:].sum(1).abs().max()) < 1e-12
    assert float(noise[:8].sum(1).abs().min()) > 1e-3


def test_offset_noise_has_the_stated_covariance():
    """I + s^2 11^T over the real tokens of a channel; channels and samples apart; zero at padding."""
    n, s = 20_000, 0.5
    encoded = batch(n, 4, sizes=[4, 3] * (n // 2))
    noise = drawn(Objective(offset=s), encoded)["x"]
    assert not noise[1::2, 3].any()
    full = noise[::2].flatten(1)
    expected = torch.kron(torch.eye(4) + s**2, torch.eye(2)).double()
    torch.testing.assert_close(full.T @ full / len(full), expected, rtol=0, atol=0.06)
    shift = noise - drawn(Objective(), encoded)["x"]
    torch.testing.assert_close(shift[:, :3], shift[:, :1].expand(-1, 3, -1))
    z = shift[:, 0] / s
    assert float(z.std()) == pytest.approx(1, abs=0.02)
    assert float((z[1:] * z[:-1]).mean()) == pytest.approx(0, abs=0.03)
    part = drawn(Objective(offset=s), encoded.rows(4, 8), index=torch.arange(4, 8), total=n)["x"]
    assert torch.equal(part, noise[4:8])


def test_each_of_k_noises_has_a_shift_of_its_own():
    encoded, found = batch(8), []

    class Spy(Immiscible):
        def couple(self, denoiser, encoded, noise, again):
            found.append([noise["x"], again(1)["x"], again(2)["x"]])
            return noise

    for offset in (0.0, 0.5):
        drawn(Objective(coupling=Spy(), offset=offset), encoded)
    shifts = torch.stack([a - b for a, b in zip(*found, strict=True)])[:, :, 0]
    assert float((shifts[:, None] - shifts[None]).abs().sum((2, 3)).fill_diagonal_(9).min()) > 1


def test_offset_noise_goes_where_it_can_and_is_refused_elsewhere():
    free = replace(X, name="free", space=CentreFree())
    both = Fields(X, free, E, A)
    Objective(offset={"x": 0.1, "free": 0.0}).check(both)
    Objective(offset=0.1).check(Fields(X, E, A))
    encoded = batch(4, fields=(X, E))
    assert torch.equal(drawn(Objective(offset=0.1), encoded, (X, E))["e"], drawn(Objective(), encoded, (X, E))["e"])
    for offset, fields, words in (
        (0.1, (X, free), "offset of free: its space, CentreFree, holds no shift"),
        ({"e": 0.1}, (X, E), "fields of tokens; this one is continuous, on pair axes"),
        ({"a": 0.1}, (X, A), "this one is categorical"),
        ({"y": 0.1}, (X,), "offset of y: the fields are x"),
        (0.1, (A,), "no field has Gaussian noise on its tokens"),
    ):
        with pytest.raises(ValueError, match=words):
            Objective(offset=offset).check(Fields(*fields))
        with pytest.raises(ValueError, match=words):  # nor where nobody called check
            drawn(Objective(offset=offset), batch(2, fields=fields), fields)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="at least 2 noises"):
        Immiscible(1)
    for offset in (-0.1, math.inf, math.nan, {"x": -1.0}):
        with pytest.raises(ValueError, match="strength of at least 0"):
            Objective(offset=offset)
    for coupling in (MinibatchOT(), Immiscible()):
        with pytest.raises(ValueError, match=r"no field has any \(a\): leave objective\.coupling out"):
            drawn(Objective(coupling=coupling), batch(4, fields=(A,)), (A,))


def test_transport_counts_only_entries_of_known_truth():
    for seed in range(5):
        before = batch(n=5, tokens=2, seed=seed)
        missing = torch.rand(before.state["x"].shape, generator=torch.Generator().manual_seed(seed)) < 0.5
        encoded = replace(before, missing={"x": missing})
        noise = drawn(Objective(), encoded)["x"]

        def size(x, encoded=encoded, missing=missing):
            return float(torch.where(missing, 0.0, encoded.state["x"] - x).square().sum())

        best = min(size(noise[list(order)]) for order in itertools.permutations(range(5)))
        assert size(drawn(Objective(coupling=MinibatchOT()), encoded)["x"]) == pytest.approx(best, rel=1e-6)


def test_conditions_of_half_precision_are_told_apart():
    encoded = batch(n=4, label=[0, 0, 1, 1])
    label = encoded.cond["label"]
    half = replace(encoded, cond={"label": replace(label, value=label.value.to(torch.bfloat16))})
    found = (drawn(Objective(coupling=MinibatchOT()), e)["x"] for e in (encoded, half))
    assert torch.equal(*found)
