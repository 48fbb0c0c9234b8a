"""The torchmetrics wrappers equal the pure functions, in any split and when states of several processes are merged."""

import functools
import pickle

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from ornstein.core.evaluation import Frechet, SetMetric, metrics


@pytest.fixture
def sets() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(60, 5, generator=draw, dtype=torch.float64) * 1.5
    return x, torch.randn(90, 5, generator=draw, dtype=torch.float64) + 0.2


SPLITS = [[60], [1, 59], [20, 20, 20], [7, 13, 40]]
FUNCTIONS = [
    metrics.frechet_distance,
    metrics.kernel_distance,
    metrics.precision_recall,
    metrics.density_coverage,
    functools.partial(metrics.sliced_wasserstein, directions=16),
]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_any_split_equals_the_whole(sets, split, function):
    x, y = sets
    metric = SetMetric(function)
    metric.update(y[:30], reference=True)
    for part in x.split(split):
        metric.update(part, reference=False)
    metric.update(y[30:], reference=True)
    found, expected = metric.compute(), function(x, y)
    if isinstance(found, dict):
        assert {name: float(value) for name, value in found.items()} == pytest.approx(expected._asdict())
    else:
        assert float(found) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("split", SPLITS)
def test_frechet_from_sums_equals_the_pure_function(sets, split):
    x, y = sets
    metric = Frechet(5)
    for part in x.split(split):
        metric.update(part, reference=False)
    metric.update(y, reference=True)
    assert float(metric.compute()) == pytest.approx(metrics.frechet_distance(x, y), rel=1e-8)


@pytest.mark.parametrize("make", [lambda: Frechet(5), lambda: SetMetric(metrics.frechet_distance)])
def test_merged_states_of_three_processes_equal_one(sets, make):
    x, y = sets
    parts = []
    for rank in range(3):
        metric = make()
        metric.update(x[rank::3], reference=False)
        metric.update(y[rank::3], reference=True)
        parts.append(metric)
    merged = parts[0]
    for other in parts[1:]:
        merged.merge_state(other)
    assert float(merged.compute()) == pytest.approx(metrics.frechet_distance(x, y), rel=1e-8)


def test_frechet_equals_that_of_torchmetrics(sets):
    # torchmetrics' class wants its Inception network; its formula stands alone.
    fid = pytest.importorskip("torchmetrics.image.fid")
    x, y = sets
    expected = fid._compute_fid(x.mean(0), x.T.cov(), y.mean(0), y.T.cov())
    assert metrics.frechet_distance(x, y) == pytest.approx(float(expected), rel=1e-8)


def test_sums_stay_in_float64_and_survive_pickling_and_reset(sets):
    x, y = sets
    metric = Frechet(5).float()
    metric.update(x.float(), reference=False)
    metric.update(y.float(), reference=True)
    assert metric.candidate_outer.dtype == torch.float64
    assert float(pickle.loads(pickle.dumps(metric)).compute()) == float(metric.compute())
    metric.reset()
    metric.update(y, reference=True)
    with pytest.raises(ValueError, match="0 candidate rows"):
        metric.compute()


class Following(LightningModule):
    """Validation as the package's docstring shows it."""

    def __init__(self):
        super().__init__()
        self.frechet = Frechet(features=5)

    def validation_step(self, batch, batch_idx):
        self.frechet.update(batch[0], reference=False)
        self.frechet.update(batch[1], reference=True)
        self.log("val/frechet", self.frechet)


@pytest.mark.filterwarnings("ignore")
def test_a_lightning_module_logs_the_number_of_all_batches_and_starts_anew_each_time(sets):
    x, y = sets
    loader = torch.utils.data.DataLoader(list(zip(x, y[:60], strict=True)), batch_size=16)
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    trainer, module = Trainer(accelerator="cpu", devices=1, **quiet), Following()
    for _ in range(2):
        (found,) = trainer.validate(module, loader, verbose=False)
        assert found["val/frechet"] == pytest.approx(metrics.frechet_distance(x, y[:60]), rel=1e-5)
