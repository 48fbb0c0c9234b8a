"""The table of `ornstein evaluate --protocol published`: FID and its kin as papers print them."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from ornstein.core.evaluation import metrics
from ornstein.core.evaluation.extractors import digest, fingerprint
from ornstein.core.evaluation.kept import FEATURES, kept
from ornstein.core.evaluation.protocol import Protocol, Say, Score, Subject, Table
from ornstein.core.evaluation.spec import Judged
from ornstein.core.rng import generator
from torch import Tensor

from .named import Given, Seen

SCORES = ("fid", "fid_infinity", "is", "kid", "prdc")
_PARTS = 10  # of an inception score
_NEIGHBOURS = 3, 5  # of precision and recall, of density and coverage


@dataclass(frozen=True)
class Published(Protocol):
    """n samples against all training images by a published network, and held-out images against the same.

    `fid` and `is` with 50,000 samples and `inception` are what most papers print; some take the best of three `repeats`, here
    all are shown. `kid` is the mean over 100 subsets of 1,000. All of them depend on n.

    Args:
        n: samples, held in memory at once.
        repeats: sets of n samples, of the seeds s, s + 1, ...
        extractor: as in `modality.extractors`.
        reference: a file `.npz` with the mean `mu` (D,) and the covariance `sigma` (D, D) of features, as papers publish them, in
            place of the training images; it serves `fid` and `fid_infinity` alone.
        scores: of fid, fid_infinity, is, kid and prdc (precision, recall, density, coverage; slow for many images).

    Source: Heusel et al. 2017, arXiv:1706.08500; Salimans et al. 2016, arXiv:1606.03498; Bińkowski et al. 2018, arXiv:1801.01401.
    """

    about: ClassVar[str] = "FID, inception score and kernel distance, with published networks and the numbers of papers"

    n: int = 50_000
    repeats: int = 1
    extractor: str = "inception"
    reference: str | None = None
    scores: tuple[str, ...] = ("fid", "is", "kid")

    def __post_init__(self) -> None:
        unknown = sorted(set(self.scores) - set(SCORES))
        if unknown or not self.scores:
            raise ValueError(f"scores={list(self.scores)}: choose from {', '.join(SCORES)}")
        if self.n < 2 or self.repeats < 1:
            raise ValueError(f"n={self.n}, repeats={self.repeats}: at least 2 samples and 1 set of them")
        if self.reference is not None and {"kid", "prdc"} & set(self.scores):
            raise ValueError(
                "kid and prdc compare rows: a file of moments does not have them; leave `reference` or them out"
            )

    def run(self, subject: Subject, seed: int, say: Say) -> Table:
        """Make the table.

        Raises:
            ValueError: weights or a reference that cannot be read.
        """
        nothing = Judged([], [], [])
        device = "cuda" if torch.cuda.is_available() else "cpu"
        source = Given(self.extractor)
        extractor = source.fit(nothing, nothing, seed=seed, device=device, track=lambda *_: lambda: None)
        if "is" in self.scores and not extractor.classifies:
            raise ValueError(f"extractor {self.extractor!r} has no classes: leave `is` out of the scores")
        reference, facts = self._reference(subject, extractor, say)
        ours: dict[str, list[float]] = {}
        for repeat in range(self.repeats):
            say(f"{self.n:,} samples, set {repeat + 1} of {self.repeats}")
            samples = judged(subject.draw(n=self.n, seed=seed + repeat))
            for name, value in self._scores(samples, reference, extractor, seed).items():
                ours.setdefault(name, []).append(value)
        columns = {"ours": {name: Score(tuple(values)) for name, values in ours.items()}}
        held = subject.items("test")
        if len(held) > 1:
            say(f"{len(held):,} held-out images")
            found = self._scores(judged([item.data for item in held]), reference, extractor, seed)
            columns[f"{len(held):,} held-out images"] = {name: Score((value,)) for name, value in found.items()}
        told = {f"extractor's {name}" if name == "features" else name: value for name, value in extractor.facts.items()}
        return Table(
            columns, {"n": self.n, **facts, "extractor": extractor.name, "extractor hash": extractor.hash, **told}
        )

    def _reference(self, subject: Subject, extractor: Seen, say: Say) -> tuple[Tensor, Mapping[str, object]]:
        if self.reference is not None:
            rows = rows_of_moments(*read_moments(Path(self.reference), extractor.facts["features"]))
            return rows, {"reference": self.reference, "reference hash": digest(rows.numpy().tobytes())}
        train = judged([item.data for item in subject.items("train")])
        say(f"features of {len(train):,} training images")
        with kept(FEATURES, [train], [extractor]):
            rows = extractor.features(train)
        return rows, {"reference": f"{len(train):,} training images", "reference hash": fingerprint(train.samples)}

    def _scores(self, samples: Judged, reference: Tensor, extractor: Seen, seed: int) -> dict[str, float]:
        x, out = extractor.features(samples), dict[str, float]()
        if "fid" in self.scores:
            out["FID"] = metrics.frechet_distance(x, reference)
        if "fid_infinity" in self.scores:
            enough = len(x) >= 5 * x.shape[1]
            out["FID, n to infinity"] = metrics.frechet_extrapolated(x, reference, seed) if enough else math.nan
        if "is" in self.scores:
            order = generator(seed, "evaluation", "parts").permutation(len(samples))  # samples may come class by class
            verdicts = extractor.verdicts(samples)[torch.from_numpy(order)]
            out["IS"] = metrics.inception_score(verdicts, min(_PARTS, len(samples)))
        if "kid" in self.scores:
            out["KID x 1000"] = 1000 * kernel_distance_of_subsets(x, reference, seed)
        if "prdc" in self.scores:
            out |= metrics.precision_recall(x, reference, _NEIGHBOURS[0])._asdict()
            out |= metrics.density_coverage(x, reference, _NEIGHBOURS[1])._asdict()
        return out


def judged(images: Sequence[np.ndarray]) -> Judged:
    """Images of which nothing else is known, in memory."""
    return Judged([np.asarray(image) for image in images], [{} for _ in images], list(map(str, range(len(images)))))


def kernel_distance_of_subsets(x: Tensor, y: Tensor, seed: int, subsets: int = 100, size: int = 1000) -> float:
    """Mean of the kernel distance over seeded subsets of x (n, D) and y (m, D), as papers print it; of small sets, whole."""
    size, draw = min(size, len(x), len(y)), torch.Generator().manual_seed(seed)

    def part(rows: Tensor) -> Tensor:
        return rows[torch.randperm(len(rows), generator=draw)[:size]]

    return math.fsum(metrics.kernel_distance(part(x), part(y)) for _ in range(subsets)) / subsets


def read_moments(path: Path, width: int) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D), float64, from a file `.npz` with `mu` and `sigma`.

    Raises:
        ValueError: no such file, or it holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            mean, cov = (torch.from_numpy(np.asarray(arrays[name], np.float64)) for name in ("mu", "sigma"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"reference {path}: {error}; an .npz with `mu` and `sigma` is needed") from error
    if mean.shape != (width,) or cov.shape != (width, width) or not bool(mean.isfinite().all() & cov.isfinite().all()):
        raise ValueError(
            f"reference {path}: mu {tuple(mean.shape)} and sigma {tuple(cov.shape)}, where the extractor has {width} features"
        )
    return mean, cov


def rows_of_moments(mean: Tensor, cov: Tensor) -> Tensor:
    """(2 D, D) rows that have the mean (D,) and the unbiased covariance (D, D): pairs on both sides of the mean."""
    values, vectors = torch.linalg.eigh(cov)
    n = 2 * len(mean)
    steps = ((n - 1) / 2 * values.clamp(min=0)).sqrt()[:, None] * vectors.T
    return torch.cat([mean + steps, mean - steps])
