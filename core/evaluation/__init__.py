"""Numbers that can be trusted: metrics, extractors and the report ours | real | floor."""

from .extractors import FeatureNetwork, Learned
from .report import Report
from .run import evaluate
from .spec import Context, Extractor, ExtractorSource, Judged, MetricSpec

__all__ = [
    "Context",
    "Extractor",
    "ExtractorSource",
    "FeatureNetwork",
    "Judged",
    "Learned",
    "MetricSpec",
    "Report",
    "evaluate",
]
