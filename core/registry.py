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
_M, _G = "ornstein.core.samplers", "ornstein.core.samplers.grids"


def _sampler(name: str, about: str, order: str, calls: str, noise: str, source: str, /, **options: Any) -> Entry:
    """An entry of a sampler: order of convergence, denoiser calls a step, whether it draws noise, and where it is from."""
    facts = {"order": order, "calls": calls, "noise": noise, "source": source}
    return Entry(f"{_M}.{name}", about, options, facts)


TABLE: dict[str, dict[str, Entry]] = {
    "schedule": {
        "rectified": Entry(f"{_S}.Rectified", "alpha = 1 - t, sigma = t: rectified flow"),
        "polynomial": Entry(f"{_S}.Polynomial", "alpha = (1 - t)^n, sigma = 1 - alpha"),
        "decay": Entry(f"{_S}.Decay", "sigma = (1 - gamma^t) / (1 - gamma), alpha = 1 - sigma"),
        "trigonometric": Entry(f"{_S}.Trigonometric", "alpha = cos(pi t / 2), sigma = sin(pi t / 2)"),
        "cosine": Entry(f"{_S}.Cosine", "squared cosine of improved DDPM"),
        "sigmoid": Entry(f"{_S}.Sigmoid", "alpha^2 falls as a sigmoid with a temperature"),
        "vp": Entry(f"{_S}.VP", "variance-preserving SDE with linear beta(t)"),
        "sub_vp": Entry(f"{_S}.SubVP", "sub-VP SDE: alpha of VP, sigma = 1 - alpha^2"),
        "ve": Entry(f"{_S}.VE", "variance-exploding SDE"),
        "edm": Entry(f"{_S}.EDM", "alpha = 1, sigma = sigma_max t, for the Karras grid"),
        "linear_beta": Entry(f"{_S}.LinearBeta", "the 1,000 linear betas of DDPM"),
        "scaled_linear_beta": Entry(f"{_S}.ScaledLinearBeta", "the betas of latent diffusion"),
        "sigmoid_beta": Entry(f"{_S}.SigmoidBeta", "betas on a sigmoid, of GeoDiff"),
        "cosine_beta": Entry(f"{_S}.CosineBeta", "the squared cosine as a table with capped betas: eps exists"),
        "tabulated": Entry(f"{_S}.Tabulated", "any table of alphas_cumprod"),
        "zero_terminal_snr": Entry(f"{_S}.ZeroTerminalSNR", "any of the above rescaled to alpha = 0 at t = 1"),
        "shifted": Entry(f"{_S}.Shifted", "any other with its log-SNR shifted by -2 log(shift), as Stable Diffusion 3"),
        "shifted_root": Entry(f"{_S}.RootShifted", "shifted by the root of the number of tokens"),
        "shifted_linear": Entry(
            f"{_S}.LinearShifted", "shifted by exp(mu), mu linear in the number of tokens, as FLUX"
        ),
        "retimed": Entry(f"{_S}.Retimed", "one at the times when two others have the same log-SNR"),
        "learned": Entry(f"{_S}.Learned", "a monotone network trained with the model, of VDM"),
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
        "learned_variance": Entry(
            "ornstein.core.processes.LearnedVariance", "Gaussian whose network also says how wide each step is"
        ),
        "masked": Entry("ornstein.core.processes.Masked", "absorbing noise, for categorical fields"),
        "uniform": Entry("ornstein.core.processes.Uniform", "any class instead, for categorical fields"),
    },
    "times": {
        "uniform": Entry(f"{_O}.Uniform", "t uniform"),
        "log_normal": Entry(f"{_O}.LogNormal", "log(sigma / alpha) normal, of EDM"),
        "logit_normal": Entry(f"{_O}.LogitNormal", "log(t / (1 - t)) normal, of Stable Diffusion 3"),
        "mode": Entry(f"{_O}.Mode", "a bump in the middle with heavy tails, of Stable Diffusion 3"),
        "cosmap": Entry(f"{_O}.CosMap", "the cosine schedule's noise levels on the rectified one"),
        "loss_aware": Entry(f"{_O}.LossAware", "those of another density, more often where losses are large, unbiased"),
    },
    "weight": {
        "unit": Entry(f"{_O}.Unit", "1 on the raw output"),
        "edm": Entry(f"{_O}.EDMWeight", "1 / c_out^2 on x0"),
        "min_snr": Entry(f"{_O}.MinSNR", "min(SNR, gamma) on x0"),
        "soft_min_snr": Entry(f"{_O}.SoftMinSNR", "SNR gamma / (SNR + gamma) on x0"),
        "truncated_snr": Entry(f"{_O}.TruncatedSNR", "max(SNR, 1) on x0"),
        "p2": Entry(f"{_O}.P2", "1 / (k + SNR)^gamma on eps"),
        "likelihood": Entry(f"{_O}.Likelihood", "-1/2 dSNR/dt on x0: the variational bound"),
        "uncertainty": Entry(f"{_O}.LearnedUncertainty", "losses over what is expected at each level, of EDM2"),
    },
    "coupling": {
        "minibatch_ot": Entry(f"{_O}.MinibatchOT", "noises permuted within condition to the least distance"),
        "immiscible": Entry(f"{_O}.Immiscible", "of k noises the nearest to the data"),
    },
    "sampler": {
        "ddpm": _sampler("DDPM", "ancestral, small variance", "1", "1", "yes", "Ho et al. 2020"),
        "ddpm_large": _sampler(
            "DDPM",
            "ancestral, large variance: too noisy in few steps",
            "1",
            "1",
            "yes",
            "Ho et al. 2020",
            variance="large",
        ),
        "ddim": _sampler("DDIM", "eta in [0, 1]: 0 deterministic, 1 ancestral", "1", "1", "eta", "Song et al. 2020"),
        "euler": _sampler("Euler", "also Euler of flow matching", "1", "1", "no", "Karras et al. 2022"),
        "euler_ancestral": _sampler(
            "DDIM", "DDIM(eta=1) by its other name", "1", "1", "yes", "Karras et al. 2022", eta=1.0
        ),
        "flow_euler": _sampler("DDIM", "x + (s - t) flow on rectified", "1", "1", "no", "Lipman et al. 2022", eta=0.0),
        "heun": _sampler("Heun", "the mean of the slopes at both ends", "2", "2", "no", "Karras et al. 2022"),
        "heun_sigma": _sampler(
            "Heun", "heun in sigma, as EDM has it", "2", "2", "no", "Karras et al. 2022", coordinates="sigma"
        ),
        "flow_heun": _sampler(
            "Heun", "heun in t on rectified", "2", "2", "no", "Lipman et al. 2022", coordinates="flow"
        ),
        "midpoint": _sampler("Midpoint", "the slope at the middle", "2", "2", "no", "Runge 1895"),
        "flow_midpoint": _sampler(
            "Midpoint", "midpoint in t on rectified", "2", "2", "no", "Lipman et al. 2022", coordinates="flow"
        ),
        "ralston": _sampler("Ralston", "the second order of least error bound", "2", "2", "no", "Ralston 1962"),
        "rk4": _sampler("RK4", "Kutta's 3/8 rule", "4", "4", "no", "Kutta 1901"),
        "dpm2": _sampler("DPM2", "the slope at the geometric mean of sigma", "2", "2", "eta", "Karras et al. 2022"),
        "dpm2_ancestral": _sampler("DPM2", "dpm2 below, noise up", "2", "2", "yes", "Karras et al. 2022", eta=1.0),
        "dpm_2s": _sampler("DPMSinglestep", "DPM-Solver-2", "2", "2", "eta", "Lu et al. 2022", estimate="eps"),
        "dpm_3s": _sampler("DPMSinglestep", "DPM-Solver-3", "3", "3", "no", "Lu et al. 2022", order=3, estimate="eps"),
        "dpmpp_2s": _sampler("DPMSinglestep", "DPM-Solver++(2S)", "2", "2", "eta", "Lu et al. 2022"),
        "dpmpp_2s_ancestral": _sampler(
            "DPMSinglestep", "DPM-Solver++(2S) below, noise up", "2", "2", "yes", "Lu et al. 2022", eta=1.0
        ),
        "dpmpp_3s": _sampler("DPMSinglestep", "DPM-Solver++(3S)", "3", "3", "no", "Lu et al. 2022", order=3),
        "dpmpp_sde": _sampler("DPMppSDE", "the reverse SDE by its middle", "2", "2", "yes", "Lu et al. 2022"),
        "edm_stochastic": _sampler("EDMStochastic", "noise up, Heun down", "2", "2", "s_churn", "Karras et al. 2022"),
        "reverse_sde": _sampler("ReverseSDE", "any diffusion coefficient", "1", "1", "yes", "Ma et al. 2024"),
        "predictor_corrector": _sampler(
            "PredictorCorrector", "Langevin steps at each level", "-", "2", "yes", "Song et al. 2020"
        ),
        "annealed_langevin": _sampler(
            "PredictorCorrector",
            "Langevin steps alone, level by level",
            "-",
            "5",
            "yes",
            "Song and Ermon 2019",
            predictor="none",
            corrections=5,
            snr=0.5,
        ),
        "consistency": _sampler("Consistency", "to x0 and back up to s", "-", "1", "gamma", "Song et al. 2023"),
        "tcd": _sampler("Consistency", "to x0, down and up", "-", "1", "gamma", "Zheng et al. 2024", gamma=0.3),
        "lcm": _sampler("LCM", "consistency with the scalings of LCM", "-", "1", "yes", "Luo et al. 2023"),
        "dpmpp_2m": _sampler("DPMpp", "DPM-Solver++(2M), as published", "2", "1", "eta", "Lu et al. 2022"),
        "dpmpp_2m_exact": _sampler(
            "DPMpp", "2M, the polynomial integrated", "2", "1", "eta", "Lu et al. 2022", exact=True
        ),
        "dpmpp_2m_sde": _sampler("DPMpp", "SDE-DPM-Solver++(2M), midpoint", "2", "1", "eta", "Lu et al. 2022", eta=1.0),
        "dpmpp_3m": _sampler("DPMpp", "DPM-Solver++(3M), as published", "2", "1", "eta", "Lu et al. 2022", order=3),
        "dpmpp_3m_exact": _sampler(
            "DPMpp", "3M, the polynomial integrated", "3", "1", "eta", "Lu et al. 2022", order=3, exact=True
        ),
        "dpmpp_3m_sde": _sampler("DPMpp", "SDE-DPM-Solver++(3M)", "2", "1", "eta", "Lu et al. 2022", order=3, eta=1.0),
        "dpm_solver_2m": _sampler("DPMSolver", "2M in eps, as published", "2", "1", "no", "Lu et al. 2022"),
        "dpm_solver_3m": _sampler("DPMSolver", "3M in eps, as published", "2", "1", "no", "Lu et al. 2022", order=3),
        "unipc": _sampler("UniPC", "predictor of order 2, corrector of 3", "3", "1", "no", "Zhao et al. 2023"),
        "unipc_bh1": _sampler("UniPC", "unipc with B(h) = h", "3", "1", "no", "Zhao et al. 2023", variant="bh1"),
        "unipc_3": _sampler(
            "UniPC", "predictor of order 3, corrector of 4", "4", "1", "no", "Zhao et al. 2023", order=3
        ),
        "sa_solver": _sampler("SASolver", "stochastic Adams with corrector", "2", "1", "eta", "Xue et al. 2023"),
        "deis": _sampler("DEIS", "eps a polynomial in t (tAB)", "3", "1", "no", "Zhang and Chen 2022"),
        "deis_rho": _sampler(
            "DEIS", "eps a polynomial in rho (rhoAB)", "3", "1", "no", "Zhang and Chen 2022", variable="rho"
        ),
        "deis_log_rho": _sampler(
            "DEIS", "eps one in log SNR: exact DPM-Solver", "3", "1", "no", "Zhang and Chen 2022", variable="log_rho"
        ),
        "lms": _sampler("LMS", "Adams-Bashforth in sigma / alpha", "4", "1", "no", "Crowson 2022"),
        "flow_ab2": _sampler(
            "LMS", "Adams-Bashforth of flows", "2", "1", "no", "Butcher 2016", order=2, coordinates="flow"
        ),
        "flow_ab3": _sampler(
            "LMS", "Adams-Bashforth of flows", "3", "1", "no", "Butcher 2016", order=3, coordinates="flow"
        ),
        "pndm": _sampler("PNDM", "fixed weights, begun by Heun (PLMS)", "2", "1", "no", "Liu et al. 2022"),
        "ipndm": _sampler(
            "PNDM", "fixed weights, begun at order 1", "2", "1", "no", "Zhang and Chen 2022", start="ramp"
        ),
        "ipndm_v": _sampler(
            "DEIS", "iPNDM for unequal steps: LMS", "4", "1", "no", "Zhang and Chen 2022", order=4, variable="rho"
        ),
        "ddpm_learned": _sampler(
            "LearnedDDPM", "ancestral, the variance as learnt", "1", "1", "yes", "Nichol and Dhariwal 2021"
        ),
        "dpm_solver_v3": _sampler(
            "DPMSolverV3", "integrators measured on the network", "3", "1", "no", "Zheng et al. 2023"
        ),
        "dopri5": _sampler("Dopri5", "picks its steps, down to t = 0", "5", "6", "no", "Dormand and Prince 1980"),
        "dpm_adaptive": _sampler("DPMAdaptive", "DPM-Solver-23, picks its steps", "3", "3", "no", "Lu et al. 2022"),
        "dpm_adaptive_2": _sampler(
            "DPMAdaptive", "DPM-Solver-12, picks its steps", "2", "2", "no", "Lu et al. 2022", order=2
        ),
    },
    "move": {
        "ancestral": Entry(f"{_M}.Ancestral", "each entry by itself, by its process"),
        "tau_leaping": Entry(f"{_M}.TauLeaping", "each entry by itself, by the rates of the reverse process"),
        "confidence": Entry(
            f"{_M}.Confidence", "masked entries, the most confident first, as many as the schedule says"
        ),
        "remasking": Entry(f"{_M}.Remasking", "each entry by itself; what was revealed is masked again at a rate"),
        "entropy_bound": Entry(f"{_M}.EntropyBound", "masked entries, as many as are nearly independent"),
    },
    "tokens": {
        "full_sequence": Entry(f"{_M}.FullSequence", "all tokens together"),
        "autoregressive": Entry(f"{_M}.Autoregressive", "block after block along the first axis"),
        "pyramid": Entry(f"{_M}.Pyramid", "each block a lag behind the one before: the future is noisier"),
    },
    "grid": {
        "uniform": Entry(f"{_G}.UniformGrid", "equal steps in t"),
        "shifted": Entry(f"{_G}.ShiftedGrid", "equal steps in the time of a shifted rectified flow: more at noise"),
        "trailing": Entry(f"{_G}.DiscreteGrid", "of T trained steps, from the last down", {"spacing": "trailing"}),
        "leading": Entry(f"{_G}.DiscreteGrid", "of T trained steps, from the first up", {"spacing": "leading"}),
        "linspace": Entry(f"{_G}.DiscreteGrid", "of T trained steps, with both ends", {"spacing": "linspace"}),
        "karras": Entry(f"{_G}.KarrasGrid", "equal steps in sigma^(1 / rho)"),
        "log_snr": Entry(f"{_G}.LogSNRGrid", "equal steps in log SNR"),
        "exponential": Entry(f"{_G}.LogSNRGrid", "log_snr under the name of k-diffusion", {"rho": 1.0}),
        "tail": Entry(f"{_G}.TailGrid", "the end of another grid, from a time below 1"),
        "polyexponential": Entry(f"{_G}.LogSNRGrid", "log sigma in powers of the step, longer at noise", {"rho": 2.0}),
        "beta": Entry(f"{_G}.BetaGrid", "quantiles of a beta distribution over t, dense at both ends"),
        "beta_sigma": Entry(f"{_G}.BetaGrid", "the same over sigma", {"variable": "sigma"}),
        "beta_log_snr": Entry(f"{_G}.BetaGrid", "the same over log SNR", {"variable": "log_snr"}),
        "ays_sd15": Entry(
            f"{_G}.AlignYourStepsGrid", "align your steps, for Stable Diffusion 1.5", {"network": "sd15"}
        ),
        "ays_sdxl": Entry(f"{_G}.AlignYourStepsGrid", "align your steps, for Stable Diffusion XL", {"network": "sdxl"}),
        "ays_svd": Entry(f"{_G}.AlignYourStepsGrid", "align your steps, for SVD", {"network": "svd"}),
        "list": Entry(f"{_G}.ListGrid", "a list of times or of noise levels"),
    },
    "guidance": {
        "cfg": Entry("ornstein.core.guidance.CFG", "classifier-free guidance with interval and negative condition"),
    },
    "backbone": {
        "dit": Entry("ornstein.core.backbones.dit.DiT", "diffusion transformer over any tokens"),
        "perceiver": Entry(
            "ornstein.core.backbones.perceiver.Perceiver",
            "tokens that talk through latent ones: cost linear in their number",
        ),
        "unet": Entry("ornstein.core.backbones.unet.UNet", "U-Net over grids of 1 to 3 axes"),
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
