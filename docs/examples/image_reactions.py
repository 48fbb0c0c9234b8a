"""How the lines of a report on images react to faults of a known kind: real images, spoilt, against others of the same kind.

    python docs/examples/image_reactions.py PICTURES [--group-by COLUMN] [--seed 0]

35 % of the images are the training images, 15 % are held out for what measures memory, and of the other half each column has as
many as every second class holds. Prints a table in Markdown.
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from ornstein.core.evaluation import Context, Judged
from ornstein.core.modality import Item
from ornstein.core.rng import generator
from ornstein.core.sources import open_source, read_all, split
from ornstein.modalities.image import Image
from scipy.ndimage import gaussian_filter

BLUR, NOISE = 1.0, 16.0  # standard deviations: pixels, levels


def blurred(image: np.ndarray) -> np.ndarray:
    """Under a Gaussian of one pixel."""
    return gaussian_filter(image.astype(np.float64), (BLUR, BLUR, 0), mode="nearest").round().astype(np.uint8)


def noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With noise of 16 levels."""
    return (image + NOISE * rng.standard_normal(image.shape)).round().clip(0, 255).astype(np.uint8)


def columns(train: Judged, others: Judged, seed: int) -> dict[str, Judged]:
    """Sets of equal size: real images, each fault of them, half of the classes alone, and copies of training images."""
    rng = generator(seed, "reactions")
    few = [i for i in rng.permutation(len(others)) if others.cond[i]["label"] % 2 == 0]
    real = others.take(rng.permutation(len(others))[: len(few)].tolist())
    return {
        "real": real,
        "blur": Judged([blurred(image) for image in real.samples], real.cond, real.keys),
        "noise": Judged([noisy(image, rng) for image in real.samples], real.cond, real.keys),
        "half of the classes": others.take(few),
        "copies": train.take(rng.permutation(len(train))[: len(few)].tolist()),
    }


def reactions(modality: Image, train: Judged, held_out: Judged, sets: dict[str, Judged]) -> dict[str, dict[str, float]]:
    """Metric and its direction -> column -> value; the accuracy of the classifier is printed."""
    made, table = {}, {}
    for spec in modality.metrics("unconditional"):
        if spec.extractor is not None and spec.extractor not in made:
            fitted = spec.extractor.fit(train, held_out, seed=0, device="cpu", track=lambda *_: lambda: None)
            made[spec.extractor] = fitted
            print(f"{fitted.name}: {fitted.facts}")
        context = Context(held_out, made.get(spec.extractor), 0)
        arrow = "↓" if spec.better == "lower" else "↑"
        table[f"{spec.name} {arrow}"] = {name: spec.compute(each, train, context) for name, each in sets.items()}
    return table


def judged(modality: Image, items: Sequence[Item]) -> Judged:
    """Items with their classes as numbers."""
    names: Callable[[str], int] = modality.conditions[0].names.index
    return Judged(
        [i.data for i in items], [{"label": names(str(i.cond["label"]))} for i in items], [i.key for i in items]
    )


def main() -> None:
    """Read the pictures, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures")
    parser.add_argument("--group-by")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    modality = Image()
    rows = open_source(args.pictures, modality.extensions).rows()
    parts = split(rows, args.seed, (0.35, 0.15, 0.5), args.group_by)
    items = {name: read_all(modality, part, progress=False)[0] for name, part in parts.items()}
    modality.fit(items["train"])
    train, held_out, others = (judged(modality, items[name]) for name in ("train", "validation", "test"))
    sets = columns(train, others, args.seed)
    table = reactions(modality, train, held_out, sets)
    print(f"{len(train)} training images, {len(held_out)} for memory, n = {len(sets['real'])}")
    print("\n| metric |", " | ".join(sets), "|\n|---|" + "---|" * len(sets))
    for name, values in table.items():
        print(f"| {name} |", " | ".join(f"{value:.3g}" for value in values.values()), "|")


if __name__ == "__main__":
    main()
