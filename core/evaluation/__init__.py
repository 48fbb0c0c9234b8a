"""Numbers that can be trusted: metrics, extractors and the report ours | real | floor.

`evaluate` makes the report; the metrics themselves are pure functions, in `metrics`. To follow one during training, in
batches and on any number of processes, there are `Frechet` and `SetMetric`, each a `torchmetrics.Metric`. In a
LightningModule, after `self.frechet = Frechet(features=64)`, a validation step says

    self.frechet.update(features_of_items, reference=True)
    self.frechet.update(features_of_samples, reference=False)
    self.log("val/frechet", self.frechet)  # Lightning gathers it from all processes, computes it and resets both sides
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .extractors import FeatureNetwork, Learned
from .protocol import Protocol, Score, Subject, Table
from .report import Report
from .run import evaluate
from .spec import Context, Extractor, ExtractorSource, Judged, MetricSpec

if TYPE_CHECKING:
    from .streaming import Frechet, SetMetric

__all__ = [
    "Context",
    "Extractor",
    "ExtractorSource",
    "FeatureNetwork",
    "Frechet",
    "Judged",
    "Learned",
    "MetricSpec",
    "Protocol",
    "Report",
    "Score",
    "SetMetric",
    "Subject",
    "Table",
    "evaluate",
]


def __getattr__(name: str) -> Any:
    """The wrappers, when they are first asked for: torchmetrics takes seconds to import."""
    if name in ("Frechet", "SetMetric"):
        return getattr(import_module(f"{__name__}.streaming"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
