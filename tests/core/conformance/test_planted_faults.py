"""The kit is tested by what it condemns: each broken modality or network, by the rule that is meant for it."""

import json
import socket
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from ornstein.core.backbones.dit import DiT
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.conformance import RULES, check_modality, results
from ornstein.core.evaluation.spec import MetricSpec
from ornstein.core.modality import BadItem, Item
from ornstein.core.sources import Source
from ornstein.core.state import CentreFree, Isotropic, Layout
from ornstein.core.tasks import Task, Unconditional
from toy import Atoms, Conformer, Given, Toy

# Files and items


class MisspeltSymmetry(Toy):
    symmetries = ("permutation", "translation", "rotations")


class ChangesItsArgument(Toy):
    def __init__(self, count=240):
        super().__init__(count)
        self.count = count + 1


class TakesAnewWhatIsNot(Toy):
    later = ("counts",)


class Remote(Source):
    def rows(self):
        with socket.create_connection(("127.0.0.1", 9), timeout=1):
            return []


class DownloadsEverything(Toy):
    def datasets(self):
        return {"far": Remote()}


class SameKey(Toy):
    def read(self, file, row):
        return replace(super().read(file, row), key="figure")


class ChokesOnGarbage(Toy):
    def read(self, file, row):
        json.loads(file.read())
        return super().read(file, row)


class TakesEmptyFiles(Toy):
    def read(self, file, row):
        if not file.read():
            return Item(Atoms(np.zeros(1, np.int64), np.zeros((1, 3)), np.zeros((1, 1), np.int64)), key=file.name)
        return super().read(file, row)


class FitsOnTop(Toy):
    def fit(self, items):
        before = self.sizes
        super().fit(items)
        self.sizes = [*before, *self.sizes]


# Model space


class Encodes(Toy):
    """Spoils what the good one encodes."""

    def encode(self, items, known, rng):
        return self.spoil(super().encode(items, known, rng))

    def with_field(self, encoded, name, x):
        return replace(encoded, state={**encoded.state, name: x})


class HalfPrecision(Encodes):
    def spoil(self, encoded):
        return self.with_field(encoded, "positions", encoded.state["positions"].half())


class PadsInFront(Encodes):
    def spoil(self, encoded):
        return replace(encoded, layout=Layout(encoded.mask.flip(1)))


class OneAuxForAll(Encodes):
    def spoil(self, encoded):
        return replace(encoded, aux={"centres": encoded.aux["centres"][:1]})


class GarbageInPadding(Encodes):
    def spoil(self, encoded):
        return self.with_field(encoded, "positions", encoded.state["positions"] + ~encoded.mask[..., None] * 1.0)


class MaskClassInData(Encodes):
    def spoil(self, encoded):
        return self.with_field(encoded, "types", encoded.state["types"] + encoded.mask)


class OneSidedBonds(Encodes):
    def spoil(self, encoded):
        return self.with_field(encoded, "bonds", encoded.state["bonds"].triu())


class OffCentre(Encodes):
    def spoil(self, encoded):
        return self.with_field(encoded, "positions", encoded.state["positions"] + 0.5 * encoded.mask[..., None])


class ScaledByTheBatch(Encodes):
    def spoil(self, encoded):
        x = encoded.state["positions"]
        return self.with_field(encoded, "positions", x / x.abs().max())


class InNanometres(Toy):
    def fit(self, items):
        super().fit(items)
        self.scale = 10.0


class ShapesSwapped(Encodes):
    def spoil(self, encoded):
        shape = encoded.cond["shape"]
        return replace(encoded, cond={**encoded.cond, "shape": replace(shape, value=1 - shape.value)})


class Captioned(Encodes):
    """Spoils the caption."""

    def spoil(self, encoded):
        return replace(encoded, cond={**encoded.cond, "caption": self.spell(encoded.cond["caption"])})


class CaptionAsNumbers(Captioned):
    def spell(self, caption):
        return replace(caption, value=caption.value.float())


class CaptionWithoutAMask(Captioned):
    def spell(self, caption):
        return replace(caption, mask=None)


class CaptionOfLetters(Captioned):
    def spell(self, caption):
        return replace(caption, value=caption.value + 0x400)


class CaptionTooLong(Captioned):
    def spell(self, caption):
        return replace(caption, value=caption.value.repeat(1, 2), mask=caption.mask.repeat(1, 2))


class CaptionInCapitals(Captioned):
    def spell(self, caption):
        return replace(caption, value=caption.value - 32 * (caption.value >= ord("a")))


class CaptionCutShort(Captioned):
    def spell(self, caption):
        return replace(caption, mask=caption.mask & (torch.arange(caption.mask.shape[1]) < 5))


class AnyShapeWillDo(Toy):
    def encode(self, items, known, rng):
        known_shapes = [i if i.cond.get("shape") in (None, "ring", "chain") else replace(i, cond={}) for i in items]
        return super().encode(known_shapes, known, rng)


class ForgetsTheScale(Toy):
    def decode(self, state, mask, aux):
        return super().decode({**state, "positions": state["positions"] / self.scale}, mask, aux)


class DropsWhatItDislikes(Toy):
    def decode(self, state, mask, aux):
        return [a for a in super().decode(state, mask, aux) if np.linalg.matrix_rank(a.bonds) > 0 and self._flat(a)]

    def _flat(self, atoms):
        return np.linalg.svd(atoms.positions - atoms.positions.mean(0))[1][-1] < 1e-3


class SizesByCount(Toy):
    def blank(self, n, cond, rng, size=None):
        rng.random(n)
        return super().blank(n, cond, rng, size)


class ForgetsConditions(Toy):
    def blank(self, n, cond, rng, size=None):
        return super().blank(n, {}, rng, size)


class WritesRounded(Toy):
    def write(self, samples, path):
        return super().write([replace(a, positions=a.positions.round(1)) for a in samples], path)


class RendersNothing(Toy):
    def render(self, samples):
        return None


# What else it brings


class ForgetsSizes(Toy):
    def state(self):
        return {}, {"scale": self.scale}

    def load_state(self, tensors, plain):
        self.scale = plain["scale"]


class HoldsALambda(Toy):
    def fit(self, items):
        super().fit(items)
        self.norm = lambda x: x / self.scale


class TurnsInPlace(Toy):
    def augment(self, item, rng):
        item.data.positions[:] = super().augment(item, rng).data.positions
        return item


class AugmentsByChance(Toy):
    def augment(self, item, rng):
        return super().augment(item, np.random.default_rng())


class CostUpsideDown(Toy):
    def cost(self, item):
        return 100 - len(item.data)


class CannotJudge(Toy):
    def metrics(self, task):
        return (MetricSpec("ratio", "lower", "Something over nothing.", lambda a, b, context: float("nan")),)


class FloorByChance(Toy):
    def floor(self, items, cond, rng, given=None, known=None):
        return super().floor(items, cond, np.random.default_rng())


# Tasks


class NothingUnconditional(Toy):
    def tasks(self):
        return {"conformer": Conformer()}


class Everything(Task):
    def pose(self, item, rng):
        n = len(item.data)
        return item, Given(np.ones(n, bool), np.ones(n, bool), np.ones((n, n), bool))


class NothingLeft(Toy):
    def tasks(self):
        return {"unconditional": Unconditional(), "everything": Everything()}


class OneBitPerToken(Encodes):
    def spoil(self, encoded):
        if encoded.known is None:
            return encoded
        bits = {**encoded.known.bits, "positions": encoded.known.bits["positions"][..., 0]}
        return replace(encoded, known=replace(encoded.known, bits=bits))


class LooksAtTheFirst(Toy):
    def encode(self, items, known, rng):
        return super().encode(items, None if known is None or known[0] is None else known, rng)


class CentredOnTheUnknown(Toy):
    def _centre(self, atoms, given):
        return atoms.positions.mean(0)


class PastesNothing(Toy):
    def paste(self, sample, given, known):
        return sample


class DecodesByTheBatch(Toy):
    def decode(self, state, mask, aux):
        samples = super().decode(state, mask, aux)
        return [replace(a, positions=a.positions + 1e-3 * len(samples)) for a in samples]


# Symmetries and conditions


@dataclass(frozen=True)
class MiscountedSpace(CentreFree):
    def dof(self, mask, channels):
        return mask.sum(1) * channels


class MiscountsFreedom(Toy):
    @property
    def fields(self):
        positions, *rest = super().fields
        return (replace(positions, space=MiscountedSpace()), *rest)


class NeverTold(Toy):
    @property
    def conditions(self):
        return (*super().conditions, ConditionSpec("temperature", "scalar"))


class WandersInSpace(Toy):
    @property
    def fields(self):
        positions, *rest = super().fields
        return (replace(positions, space=Isotropic()), *rest)


class ClaimsTooLittle(Toy):
    symmetries = ("permutation",)


class NumbersItsTokens(Toy):
    axes = 1

    def encode(self, items, known, rng):
        return self._placed(super().encode(items, known, rng))

    def blank(self, n, cond, rng, size=None):
        return self._placed(super().blank(n, cond, rng, size))

    def _placed(self, encoded):
        positions = torch.arange(encoded.mask.shape[1]).float().expand(encoded.batch, -1)[..., None]
        return replace(encoded, layout=replace(encoded.layout, positions=positions))


class ScaledByAxis(Toy):
    axis_scale = (1.0, 1.5, 2.0)

    def encode(self, items, known, rng):
        return super().encode([self._times(i, np.reciprocal(self.axis_scale)) for i in items], known, rng)

    def decode(self, state, mask, aux):
        samples = super().decode(state, mask, aux)
        return [replace(a, positions=a.positions * self.axis_scale) for a in samples]

    def _times(self, item, scale):
        return replace(item, data=replace(item.data, positions=item.data.positions * scale))


class Handed(Toy):
    """Pushes the first atom to one side of its plane, which a mirror turns into the other side."""

    push = 0.002

    def tasks(self):
        return {"unconditional": Unconditional()}

    def encode(self, items, known, rng):
        return super().encode([self._pushed(item) for item in items], known, rng)

    def _pushed(self, item):
        x = item.data.positions.copy()
        x[0] += self.push * np.cross(x[1] - x[0], x[2] - x[0])
        return replace(item, data=replace(item.data, positions=x))


BROKEN = [
    ("declarations_are_explicit", MisspeltSymmetry),
    ("constructor_only_stores", ChangesItsArgument),
    ("constructor_only_stores", TakesAnewWhatIsNot),
    ("a_dataset_needs_no_download", DownloadsEverything),
    ("files_are_read", SameKey),
    ("bad_files_raise_bad_item", ChokesOnGarbage),
    ("bad_files_raise_bad_item", TakesEmptyFiles),
    ("fit_makes_fields_valid", FitsOnTop),
    ("encode_gives_a_batch", HalfPrecision),
    ("encode_gives_a_batch", PadsInFront),
    ("encode_gives_a_batch", OneAuxForAll),
    ("encode_gives_a_batch", CaptionAsNumbers),
    ("encode_gives_a_batch", CaptionWithoutAMask),
    ("encode_gives_a_batch", CaptionOfLetters),
    ("encode_gives_a_batch", CaptionTooLong),
    ("encode_keeps_to_its_ranges", GarbageInPadding),
    ("encode_keeps_to_its_ranges", MaskClassInData),
    ("encode_keeps_to_its_ranges", OneSidedBonds),
    ("encode_keeps_to_its_ranges", OffCentre),
    ("encode_looks_at_one_item_at_a_time", ScaledByTheBatch),
    ("model_space_has_unit_scale", InNanometres),
    ("conditions_mean_what_people_type", ShapesSwapped),
    ("conditions_mean_what_people_type", CaptionInCapitals),
    ("conditions_mean_what_people_type", CaptionCutShort),
    ("wrong_conditions_are_refused", AnyShapeWillDo),
    ("decode_undoes_encode", ForgetsTheScale),
    ("decode_takes_any_state", DropsWhatItDislikes),
    ("blank_makes_room", SizesByCount),
    ("blank_makes_room", ForgetsConditions),
    ("written_files_can_be_read", WritesRounded),
    ("render_draws", RendersNothing),
    ("state_travels", ForgetsSizes),
    ("workers_can_have_it", HoldsALambda),
    ("items_are_left_alone", TurnsInPlace),
    ("augment_keeps_items_valid", AugmentsByChance),
    ("cost_is_a_number_of_tokens", CostUpsideDown),
    ("metrics_judge", CannotJudge),
    ("floor_is_a_baseline", FloorByChance),
    ("tasks_are_tasks", NothingUnconditional),
    ("tasks_pose_known_entries", NothingLeft),
    ("tasks_pose_known_entries", OneBitPerToken),
    ("encode_mixes_posed_and_plain", LooksAtTheFirst),
    ("known_values_come_from_known_entries", CentredOnTheUnknown),
    ("paste_makes_given_exact", PastesNothing),
    ("same_seed_same_sample", DecodesByTheBatch),
    ("noise_is_standard", MiscountsFreedom),
    ("every_parameter_learns", NeverTold),
    ("symmetry_permutation", NumbersItsTokens),
    ("symmetry_translation", WandersInSpace),
    ("symmetry_translation", ClaimsTooLittle),
    ("symmetry_rotation", ScaledByAxis),
    ("symmetry_reflection", Handed),
]


def first_failure(*args, **options):
    return next((r for r in results(*args, **options) if r.status == "failed"), None)


@pytest.mark.parametrize(("rule", "broken"), BROKEN, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_a_broken_modality_is_caught_by_the_rule_meant_for_it(rule, broken):
    found = first_failure(broken)
    assert found is not None
    assert found.name == rule, found
    assert len(found.message) > 30  # a sentence that says what to do


# Networks


class Small(DiT):
    def __init__(self, fields, conditions=(), axes=0):
        super().__init__(fields, conditions, axes, width=32, depth=1, heads=2, pair_width=16)


class HasADeadLayer(Small):
    def __init__(self, fields, conditions=(), axes=0):
        super().__init__(fields, conditions, axes)
        self.spare = torch.nn.Linear(3, 3)


class DeafToNoise(Small):
    def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
        return super().forward(inputs, torch.zeros_like(c_noise), layout, cond, known, previous)


class DeafToConditions(Small):
    def __init__(self, fields, conditions=(), axes=0):
        super().__init__(fields, (), axes)

    def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
        return super().forward(inputs, c_noise, layout, {}, known, previous)


class LooksAtPadding(Small):
    def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
        everywhere = replace(layout, mask=torch.ones_like(layout.mask))
        return super().forward(inputs, c_noise, everywhere, cond, known, previous)


class LooksAtTheBatch(Small):
    def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
        out = super().forward(inputs, c_noise, layout, cond, known, previous)
        return {**out, "positions": out["positions"] + inputs["positions"][..., :1, :].std() * inputs["positions"]}


class OneSidedPairs(Small):
    def forward(self, inputs, c_noise, layout, cond, known=None, previous=None):
        out = super().forward(inputs, c_noise, layout, cond, known, previous)
        side = torch.ones(out["bonds"].shape[1:3]).triu()[..., None]
        return {**out, "bonds": out["bonds"] + 20 * side * torch.tensor([1.0, -1.0])}


class KeepsNoArguments(Small):
    def __init__(self, fields, conditions=(), axes=0, gain=1.0):
        super().__init__(fields, conditions, axes)


NETWORKS = [
    ("every_parameter_learns", HasADeadLayer),
    ("noise_level_reaches_the_network", DeafToNoise),
    ("conditions_reach_the_network", DeafToConditions),
    ("padding_is_inert", LooksAtPadding),
    ("samples_do_not_see_each_other", LooksAtTheBatch),
    ("pairs_stay_symmetric", OneSidedPairs),
    ("checkpoint_rebuilds_it", KeepsNoArguments),
]


@pytest.mark.parametrize(("rule", "broken"), NETWORKS, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_a_broken_network_is_caught_by_the_rule_meant_for_it(rule, broken):
    found = first_failure(Toy, backbone=broken)
    assert found is not None
    assert found.name == rule, found


def test_an_executor_that_moves_what_is_given_is_caught(monkeypatch):
    executor = sys.modules["ornstein.core.samplers.run"]
    monkeypatch.setattr(executor, "place_known", lambda denoiser, state, *rest: state)
    assert first_failure(Toy).name == "given_stands_still"


def test_every_rule_has_condemned_something():
    planted = {rule for rule, _ in (*BROKEN, *NETWORKS)} | {"given_stands_still"}
    assert planted == {rule.__name__ for rule in RULES}


# The kit itself


def test_the_good_one_keeps_every_rule():
    found = check_modality(Toy())
    assert [r for r in found if r.status != "passed"] == []
    assert [r.name for r in found] == [rule.__name__ for rule in RULES]


class OneTimeForAll(Small):
    per_token_time = False


class SeesItsEstimate(DiT):
    def __init__(self, fields, conditions=(), axes=0, self_conditioning=True):
        options = {"width": 32, "depth": 1, "heads": 2, "pair_width": 16, "self_conditioning": self_conditioning}
        super().__init__(fields, conditions, axes, **options, dropout=0.5)


@pytest.mark.parametrize("network", [OneTimeForAll, SeesItsEstimate])
def test_other_honest_networks_keep_every_rule(network):
    assert [r for r in check_modality(Toy, backbone=network) if r.status != "passed"] == []


def test_the_modality_that_is_checked_is_left_as_it_was():
    toy = Toy()
    next(r for r in results(toy) if r.name == "encode_gives_a_batch")
    assert toy.sizes == [3]


def test_expected_failures_are_the_callers_and_are_strict():
    reasons = {"render_draws": "no picture yet", "files_are_read": "never"}
    found = {r.name: r for r in results(RendersNothing, expected_failures=reasons)}
    assert found["render_draws"].status == "xfailed"
    assert "no picture yet" in found["render_draws"].message
    assert found["files_are_read"].status == "failed"
    assert "take it off the list" in found["files_are_read"].message


def test_what_hangs_on_a_broken_stage_is_skipped_with_the_reason():
    found = {r.name: r for r in check_modality(ChokesOnEverything)}
    assert [name for name, r in found.items() if r.status == "failed"] == ["files_are_read"]
    assert "needs items" in found["encode_gives_a_batch"].message


class ChokesOnEverything(Toy):
    def read(self, file, row):
        raise BadItem(file.location, "is no figure")


@pytest.mark.parametrize("wrong", [{"expected_failures": {"files_are_red": "?"}}, {"items": 3}, {"tolerance": -1.0}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValueError, match=r"files_are_read|at least"):
        check_modality(Toy, **wrong)


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(LookupError, match="imagee"):
        check_modality("imagee")
