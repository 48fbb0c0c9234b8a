"""All rules in their order, and what each finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..modality import Modality
from ..registry import modality_class, suggest
from . import data, encoding, given, network, symmetries
from .rule import Broken, Result, Rule, Skipped, told
from .subject import BackboneFactory, Subject, small_dit

RULES: tuple[Rule, ...] = (
    # files and items
    data.declarations_are_explicit,
    data.constructor_only_stores,
    data.a_dataset_needs_no_download,
    data.files_are_read,
    data.bad_files_raise_bad_item,
    data.fit_makes_fields_valid,
    # model space and back
    encoding.encode_gives_a_batch,
    encoding.encode_keeps_to_its_ranges,
    encoding.encode_looks_at_one_item_at_a_time,
    encoding.model_space_has_unit_scale,
    encoding.conditions_mean_what_people_type,
    encoding.wrong_conditions_are_refused,
    encoding.decode_undoes_encode,
    encoding.decode_takes_any_state,
    encoding.blank_makes_room,
    encoding.written_files_can_be_read,
    encoding.render_draws,
    # what else a modality brings
    data.state_travels,
    data.workers_can_have_it,
    data.items_are_left_alone,
    data.augment_keeps_items_valid,
    data.cost_is_a_number_of_tokens,
    data.metrics_judge,
    data.floor_is_a_baseline,
    # tasks
    data.tasks_are_tasks,
    given.tasks_pose_known_entries,
    given.encode_mixes_posed_and_plain,
    given.known_values_come_from_known_entries,
    given.paste_makes_given_exact,
    # a network that is built for it
    network.noise_is_standard,
    network.every_parameter_learns,
    network.noise_level_reaches_the_network,
    network.conditions_reach_the_network,
    network.padding_is_inert,
    network.samples_do_not_see_each_other,
    network.same_seed_same_sample,
    network.pairs_stay_symmetric,
    given.given_stands_still,
    network.checkpoint_rebuilds_it,
    # symmetries
    symmetries.symmetry_permutation,
    symmetries.symmetry_translation,
    symmetries.symmetry_rotation,
    symmetries.symmetry_reflection,
)


def check_modality(
    modality: Modality | type[Modality] | str,
    *,
    expected_failures: Mapping[str, str] | None = None,
    backbone: BackboneFactory = small_dit,
    items: int = 24,
    tolerance: float = 0.02,
) -> list[Result]:
    """Ask a modality for every rule.

    Args:
        modality: an object (a copy is looked at), a class that needs no arguments, or a registered name.
        expected_failures: name of a rule -> why it is not kept. Such a rule that is kept is reported as failed.
        backbone: called with (fields, conditions, axes), makes the network of the rules that need one, on the CPU.
        items: how many items of the default data set to read, at least 4.
        tolerance: largest error of decode(encode(item)), in units of model space; classes must be exact.

    Returns:
        one result for each rule, in order.

    Raises:
        ValueError: an expected failure that names no rule, fewer than 4 items, a negative tolerance.
        LookupError: no modality of that name.
    """
    options = {"expected_failures": expected_failures, "backbone": backbone, "items": items, "tolerance": tolerance}
    return list(results(modality, **options))  # type: ignore[arg-type]


def results(
    modality: Modality | type[Modality] | str,
    *,
    expected_failures: Mapping[str, str] | None = None,
    backbone: BackboneFactory = small_dit,
    items: int = 24,
    tolerance: float = 0.02,
) -> Iterator[Result]:
    """The results of `check_modality`, each as soon as it is there."""
    expected = dict(expected_failures or {})
    names = [rule.__name__ for rule in RULES]
    for name in expected:
        if name not in names:
            raise ValueError(f"expected_failures names {name!r}, which is no rule; {suggest(name, names)}")
    if items < 4 or tolerance < 0:
        raise ValueError(f"items must be at least 4 and tolerance at least 0, found {items} and {tolerance}")
    if isinstance(modality, str):
        modality = modality_class(modality)
    subject = Subject(modality() if isinstance(modality, type) else modality, backbone, items, tolerance)
    for rule in RULES:
        result = _ask(rule, subject)
        if rule.__name__ in expected:
            result = _as_expected(result, expected[rule.__name__])
        yield result


def _ask(rule: Rule, subject: Subject) -> Result:
    name = rule.__name__
    try:
        return Result(name, "passed", rule(subject) or "")
    except Skipped as reason:
        return Result(name, "skipped", str(reason))
    except Broken as found:
        return Result(name, "failed", str(found))
    except Exception as error:
        return Result(name, "failed", f"raised {told(error)}")


def _as_expected(result: Result, reason: str) -> Result:
    if result.status == "failed":
        return Result(result.name, "xfailed", f"{reason} ({result.message})")
    if result.status == "passed":
        return Result(
            result.name, "failed", f"is kept, though it was expected to fail ({reason}): take it off the list"
        )
    return result
