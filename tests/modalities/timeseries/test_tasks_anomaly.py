"""Anomaly scores: a value that does not fit its surroundings stands out, and gaps have no score."""

import numpy as np
import pytest
import torch
from ornstein.core import samplers
from ornstein.core.denoiser import Denoiser, as_time
from ornstein.core.modality import Item
from ornstein.core.posterior import Pair, Posterior
from ornstein.core.state import expand_time
from ornstein.modalities.timeseries import Series, TimeSeries
from ornstein.modalities.timeseries.anomaly import anomaly_scores

STD = 0.05  # in model space, of what stands around straight lines


class AroundLines(Denoiser):
    """x0 ~ N(m, STD^2), m the straight line through the known entries of each channel: the posterior in closed form."""

    per_token_time = False

    def __init__(self, modality):
        super().__init__()
        self.modality, self.fields = modality, {f.name: f for f in modality.fields}
        self.processes = {name: f.process for name, f in self.fields.items()}

    def forward(self, state_t, t, layout, cond, known=None, previous=None):
        x, bits, values = state_t["series"], known.bits["series"], known.values["series"]
        at = self.processes["series"].at(expand_time(as_time(t, layout.mask), self.fields["series"]))
        mean = torch.stack([_lines(v, b) for v, b in zip(values, bits, strict=True)])
        alpha, sigma = (
            x.new_tensor(np.asarray(y)) if not torch.is_tensor(y) else y.to(x) for y in (at.alpha, at.sigma)
        )
        variance = (alpha * STD) ** 2 + sigma**2
        residual = x - alpha * mean
        return Posterior(
            {"series": Pair(mean + alpha * STD**2 / variance * residual, sigma / variance * residual, x, at)}
        )


def _lines(values, bits):
    """(T, K): the known values with straight lines between them."""
    out = []
    for v, b in zip(values.T.numpy(), bits.T.numpy(), strict=True):
        out.append(np.interp(np.arange(len(v)), np.flatnonzero(b), v[b]))
    return torch.from_numpy(np.stack(out, 1)).to(values)


def surprising():
    draw = np.random.default_rng(0)
    values = np.linspace(-1, 1, 60)[:, None] * [1.0, -1.0] + 0.05 * draw.normal(size=(60, 2))
    values[31, 1] += 0.8
    values[10, 0] = np.nan
    return Item(Series(values, ("a", "b")), key="x")


def test_a_value_that_does_not_fit_stands_out_and_gaps_have_no_score():
    modality = TimeSeries()
    modality.fit([surprising()])
    (scores,) = anomaly_scores(AroundLines(modality), samplers.DDIM(60), [surprising()], n=16)
    assert np.unravel_index(np.nanargmax(scores), scores.shape) == (31, 1)
    assert scores[31, 1] > 2 * np.nanmax(np.delete(scores, 31, 0)[:, 0])
    assert np.argwhere(np.isnan(scores)).tolist() == [[10, 0]]
    assert 0.3 < np.nanmedian(scores) < 1.5


def test_bad_options_are_refused():
    modality = TimeSeries()
    modality.fit([surprising()])
    with pytest.raises(ValueError, match="n=1 and folds=4 are at least 2"):
        anomaly_scores(AroundLines(modality), samplers.DDIM(2), [surprising()], n=1)
