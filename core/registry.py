"""Names of everything that can be chosen, without importing any of it.

`TABLE` is static, so that `ornstein list` answers before torch could be imported; a test compares it with the classes. Modalities
are found by the entry-point group `ornstein.modalities`, built-in ones through the same door as anybody's.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .modality import Modality

MODALITIES = "ornstein.modalities"
RECIPES = "ornstein.recipes"
OFF = "ORNSTEIN_PLUGINS"


@dataclass(frozen=True)
class Entry:
    """Where a choice lives and what it is.

    Args:
        path: of the class.
        about: one sentence.
        options: constructor arguments that make this choice of the class; nested choices by name.
        facts: columns of `ornstein list` beside the sentence.
    """

    path: str
    about: str
    options: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


_S, _P, _O = "ornstein.core.schedules", "ornstein.core.parametrization", "ornstein.core.objective"
_M, _G = "ornstein.core.samplers", "ornstein.core.samplers.grid"


def _sampler(name: str, about: str, order: str, calls: str, noise: str, source: str, /, **options: Any) -> Entry:
    """An entry of a sampler: order of convergence, denoiser calls a step, whether it draws noise, and where it is from."""
    facts = {"order": order, "calls": calls, "noise": noise, "source": source}
    return Entry(f"{_M}.{name}", about, options, facts)


TABLE: dict[str, dict[str, Entry]] = {
    "schedule": {
        "rectified": Entry(f"{_S}.Rectified", "alpha = 1 - t, sigma = t: rectified flow"),
        "trigonometric": Entry(f"{_S}.Trigonometric", "alpha = cos(pi t / 2), sigma = sin(pi t / 2)"),
        "vp": Entry(f"{_S}.VP", "variance-preserving SDE with linear beta(t)"),
        "ve": Entry(f"{_S}.VE", "variance-exploding SDE"),
        "edm": Entry(f"{_S}.EDM", "alpha = 1, sigma = sigma_max t, for the Karras grid"),
        "cosine": Entry(f"{_S}.Cosine", "squared cosine of improved DDPM"),
        "linear_beta": Entry(f"{_S}.LinearBeta", "the 1,000 linear betas of DDPM"),
        "scaled_linear_beta": Entry(f"{_S}.ScaledLinearBeta", "the betas of latent diffusion"),
    },
    "parametrization": {
        "eps": Entry(f"{_P}.Eps", "the noise"),
        "x0": Entry(f"{_P}.X0", "the clean data"),
        "v": Entry(f"{_P}.V", "alpha eps - sigma x0"),
        "flow": Entry(f"{_P}.Flow", "dx/dt, the velocity of flow matching"),
        "score": Entry(f"{_P}.Score", "-eps / sigma"),
        "edm": Entry(f"{_P}.EDM", "Karras preconditioning"),
    },
    "process": {
        "gaussian": Entry("ornstein.core.processes.Gaussian", "x_t = alpha x0 + sigma eps, for continuous fields"),
        "masked": Entry("ornstein.core.processes.Masked", "absorbing noise, for categorical fields"),
    },
    "times": {
        "uniform": Entry(f"{_O}.Uniform", "t uniform"),
        "log_normal": Entry(f"{_O}.LogNormal", "log(sigma / alpha) normal, of EDM"),
        "logit_normal": Entry(f"{_O}.LogitNormal", "log(t / (1 - t)) normal, of Stable Diffusion 3"),
    },
    "weight": {
        "unit": Entry(f"{_O}.Unit", "1 on the raw output"),
        "edm": Entry(f"{_O}.EDMWeight", "1 / c_out^2 on x0"),
        "min_snr": Entry(f"{_O}.MinSNR", "min(SNR, gamma) on x0"),
    },
    "sampler": {
        "ddpm": _sampler("DDPM", "ancestral", "1", "1", "yes", "Ho et al. 2020"),
        "ddim": _sampler("DDIM", "eta in [0, 1]: 0 deterministic, 1 ancestral", "1", "1", "eta", "Song et al. 2020"),
        "euler": _sampler("Euler", "also Euler of flow matching", "1", "1", "no", "Karras et al. 2022"),
        "heun": _sampler("Heun", "the mean of the slopes at both ends", "2", "2", "no", "Karras et al. 2022"),
        "dpmpp_2m": _sampler("DPMpp", "DPM-Solver++(2M), as published", "2", "1", "no", "Lu et al. 2022", order=2),
    },
    "move": {
        "ancestral": Entry(f"{_M}.Ancestral", "each entry by itself, by its process"),
    },
    "tokens": {
        "full_sequence": Entry(f"{_M}.FullSequence", "all tokens together"),
        "autoregressive": Entry(f"{_M}.Autoregressive", "block after block along the first axis"),
        "pyramid": Entry(f"{_M}.Pyramid", "each block a lag behind the one before: the future is noisier"),
    },
    "grid": {
        "uniform": Entry(f"{_G}.UniformGrid", "equal steps in t"),
        "karras": Entry(f"{_G}.KarrasGrid", "equal steps in sigma^(1 / rho)"),
        "log_snr": Entry(f"{_G}.LogSNRGrid", "equal steps in log SNR"),
    },
    "guidance": {
        "cfg": Entry("ornstein.core.guidance.CFG", "classifier-free guidance with interval and negative condition"),
    },
    "backbone": {
        "dit": Entry("ornstein.core.backbones.dit.DiT", "diffusion transformer over any tokens"),
    },
}


def modality_entries() -> dict[str, EntryPoint]:
    """Entry points of modalities by name, nothing imported.

    Raises:
        LookupError: two packages own one name.
    """
    return _by_name(entry_points(group=MODALITIES), "modality")


def recipe_packages() -> dict[str, EntryPoint]:
    """Entry points of packages with recipes/ and configs/ of third parties, nothing imported."""
    return _by_name(entry_points(group=RECIPES), "recipe package")


def plugin_packages() -> set[str]:
    """Top-level packages of the registered modalities."""
    return {point.module.partition(".")[0] for point in modality_entries().values()}


def modality_class(name: str) -> type[Modality]:
    """The class of a modality.

    Raises:
        LookupError: no such modality (the nearest are named), or its plugin cannot be imported (the cause is named).
    """
    entries = modality_entries()
    if name not in entries:
        raise LookupError(f"unknown modality {name!r}; {suggest(name, entries)}")
    try:
        return entries[name].load()
    except Exception as error:
        dist = entries[name].dist
        owner = dist.name if dist else "?"
        raise LookupError(
            f"the modality {name!r} of package {owner!r} cannot be imported: {type(error).__name__}: {error}; "
            f"its extra may be missing: pip install 'ornstein[{name}]'"
        ) from error


def class_of(group: str, name: str) -> Any:
    """The class behind a name of `TABLE`."""
    module, _, attribute = path_of(group, name).rpartition(".")
    return getattr(import_module(module), attribute)


def path_of(group: str, name: str) -> str:
    """The class path behind a name of `TABLE`.

    Raises:
        LookupError: no such group or name; the nearest are named.
    """
    if group not in TABLE:
        raise LookupError(f"unknown group {group!r}; {suggest(group, TABLE)}")
    if name not in TABLE[group]:
        raise LookupError(f"unknown {group} {name!r}; {suggest(name, TABLE[group])}")
    return TABLE[group][name].path


def suggest(word: str, choices: Iterable[str]) -> str:
    """ "did you mean ...; choose from ..."."""
    choices = sorted(choices)
    near = difflib.get_close_matches(word, choices, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{hint}choose from {', '.join(choices) or 'nothing: none is installed'}"


def _by_name(points: Iterable[EntryPoint], what: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in points:
        owner = point.dist.name if point.dist else "?"
        if os.environ.get(OFF, "").lower() == "off" and owner != "ornstein":
            continue
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            before = other.dist.name if other.dist else "?"
            raise LookupError(
                f"two packages own the {what} {point.name!r}: {before} ({other.value}) and {owner} ({point.value})"
            )
        found[point.name] = point
    return dict(sorted(found.items()))
