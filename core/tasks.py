"""Every conditional task is a known mask: a task poses an item by saying which of its entries are given.

The core's own tasks know no coordinates; a modality brings those that do (boxes of pixels, the end of a series, a scaffold).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .modality import Item


class Task(ABC):
    """How an item is posed, in training at the recipe's share of the task and at sampling for a given item."""

    @abstractmethod
    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, Any | None]:
        """The item extended by its unknown entries, and which entries are known in the item's own coordinates.

        `None` means that nothing is known. `Modality.encode` turns the known entries into `Known`.
        """

    def sized(self, size: Any) -> Task:
        """The task for given items that are to become of another size, in the modality's own terms: a longer horizon.

        Raises:
            ValueError: the task makes no sizes.
        """
        raise ValueError(f"size {size} is for new samples: given items bring their own")


class Unconditional(Task):
    """Nothing is known."""

    def pose(self, item: Item, rng: np.random.Generator) -> tuple[Item, None]:
        """The item as it is."""
        return item, None


def choose(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    """Draw a task's name with probability proportional to its share."""
    names = list(shares)
    weights = np.asarray([shares[name] for name in names], dtype=np.float64)
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]
