"""Networks with published weights as extractors: Inception-v3, DINOv2 and CLIP by name, any other by `package.module:name`.

Nothing is downloaded. Weights are looked for at the path behind the name (`inception:weights/inception.pth`), in the folder that
ORNSTEIN_WEIGHTS names, and in the folder of checkpoints of PyTorch Hub.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import numpy as np
import torch
from ornstein.core.evaluation.embedding import embedding as outside
from ornstein.core.evaluation.extractors import digest
from ornstein.core.evaluation.spec import Extractor, ExtractorSource, Judged, Track
from ornstein.core.rng import generator
from torch import Tensor, nn
from torch.nn import functional as F

from .channels import to_channels

_BATCH = 64  # images that a network sees at once


class Embedding(Protocol):
    """What an extractor needs: any object that maps images to rows. A module is moved to the device of the report.

    A method `logits`, from rows (n, D) to (n, K), is optional: published tables have an inception score with it.
    """

    @property
    def name(self) -> str:
        """What a report calls it."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """(n, 3, H, W) uint8, of any H and W -> (n, D)."""
        ...


class Inception(nn.Module):
    """The Inception-v3 of 2015 behind the FID of papers: 2,048 features, images brought to 299 as TensorFlow did it.

    Source: Szegedy et al. 2016, arXiv:1512.00567; as torch-fidelity has it. Not torchvision's network of the same name.
    """

    name = "inception"
    files = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")

    def __init__(self, path: Path) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        torch.load(path, weights_only=True)  # refuses a file with code in it, which the next line would run
        self.network = FeatureExtractorInceptionV3(self.name, ["2048"], feature_extractor_weights_path=str(path))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 2048)."""
        return self.network(x)[0]

    def logits(self, rows: Tensor) -> Tensor:
        """(n, 1008) of features, without the bias, as inception scores are published."""
        return rows @ self.network.fc.weight.T.to(rows)


class DINOv2(nn.Module):
    """DINOv2 ViT-L/14: 1,024 features of the class token, images brought to 224 (bicubic, antialiased).

    Its code is that of facebookresearch/dinov2 in the folder of PyTorch Hub.

    Source: Oquab et al. 2023, arXiv:2304.07193; as a judge Stein et al. 2023, arXiv:2306.04675.
    """

    name = "dinov2"
    files = ("dinov2_vitl14_pretrain.pth",)
    mean: Tensor
    scale: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        code = Path(torch.hub.get_dir()) / "facebookresearch_dinov2_main"
        if not (code / "hubconf.py").is_file():
            raise ValueError(f"dinov2: no code in {code}: clone https://github.com/facebookresearch/dinov2 there")
        self.network = torch.hub.load(str(code), "dinov2_vitl14", source="local", pretrained=False)
        self.network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("scale", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1024)."""
        seen = F.interpolate(x.float(), (224, 224), mode="bicubic", antialias=True) / 255
        return self.network((seen - self.mean) / self.scale)


class CLIP(nn.Module):
    """CLIP ViT-B/32: 512 features, images brought to 224, as torch-fidelity has it.

    Source: Radford et al. 2021, arXiv:2103.00020; as a judge Kynkäänniemi et al. 2023, arXiv:2203.06026.
    """

    name = "clip"
    files = (
        "ViT-B-32.pt",
        "clip-vit-b-32-40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af.pt",
    )

    def __init__(self, path: Path) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_clip import FeatureExtractorCLIP

        self.network = FeatureExtractorCLIP("clip-vit-b-32", ["clip"], feature_extractor_weights_path=str(path))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 512)."""
        return self.network(x)[0]


NAMED: dict[str, type[Inception] | type[DINOv2] | type[CLIP]] = {each.name: each for each in (Inception, DINOv2, CLIP)}


@dataclass(frozen=True)
class Given(ExtractorSource):
    """A network with weights of its own: nothing is trained.

    Args:
        where: `inception`, `dinov2` or `clip`, with `:PATH` behind it where the weights lie elsewhere; or `package.module:name`
            of a class that makes an `Embedding` without arguments.

    Raises:
        ValueError: weights that are nowhere, a package that is missing, or no such name.
    """

    where: str

    def __post_init__(self) -> None:
        if self.known:
            self.weights()
        elif ":" not in self.where:
            raise ValueError(f"extractor {self.where!r}: choose from {', '.join(NAMED)}, or write package.module:name")

    @property
    def known(self) -> bool:
        """Whether it is one of those with a name of their own."""
        return self.where.partition(":")[0] in NAMED

    @property
    def name(self) -> str:
        """What lines of a report call it."""
        first, _, last = self.where.partition(":")
        return first if self.known else last

    @property
    def classifies(self) -> bool:
        """Whether it is known to have classes, before it is made."""
        return self.known and hasattr(NAMED[self.name], "logits")

    def weights(self) -> Path:
        """The file of weights of one with a name of its own.

        Raises:
            ValueError: it is nowhere.
        """
        name, _, path = self.where.partition(":")
        folders = [os.environ.get("ORNSTEIN_WEIGHTS"), f"{torch.hub.get_dir()}/checkpoints"]
        files = NAMED[name].files
        places = [Path(path)] if path else [Path(folder) / file for folder in folders if folder for file in files]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise ValueError(
                f"extractor {self.where!r}: no weights at {', '.join(map(str, places))}; write {name}:PATH, or put "
                f"{files[0]} into the folder that ORNSTEIN_WEIGHTS names"
            )
        return found

    def fit(self, train: Judged, held_out: Judged, *, seed: int, device: str, track: Track) -> Seen:
        """The extractor.

        Raises:
            ValueError: it cannot be made.
        """
        if not self.known:
            return Seen(outside(self.where), device)
        path = self.weights()
        try:
            made = NAMED[self.name](path)
        except ImportError as error:
            raise ValueError(f"extractor {self.where!r}: {error}; pip install torch-fidelity") from error
        except (RuntimeError, UnpicklingError, EOFError, KeyError) as error:
            raise ValueError(f"extractor {self.where!r}: {path} does not hold its weights: {error}") from error
        return Seen(made, device, {"weights": path.name, "SHA-256": sha256(path.read_bytes()).hexdigest()[:16]})


class Seen(Extractor):
    """Images as a given network sees them: grey as three equal channels, transparency on white.

    The hash is that of its name and of its answer to two fixed images of noise.
    """

    def __init__(self, embedding: Embedding, device: str = "cpu", facts: dict[str, Any] | None = None) -> None:
        self.embedding, self.name, self.device = embedding, embedding.name, device
        if isinstance(embedding, nn.Module):
            embedding.to(device)
        probe = generator(0, "probe").integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
        answer = self.embed(list(probe))
        self.hash = digest(self.name.encode(), answer.float().numpy().tobytes())
        self.facts = {"trained as": "given", "features": answer.shape[1], **(facts or {})}

    def embed(self, samples: Sequence[np.ndarray]) -> Tensor:
        """(n, D) float64; images of a size go together."""
        sizes: dict[tuple[int, ...], list[int]] = {}
        for i, sample in enumerate(samples):
            sizes.setdefault(sample.shape, []).append(i)
        rows: dict[int, Tensor] = {}
        for index in sizes.values():
            for start in range(0, len(index), _BATCH):
                part = index[start : start + _BATCH]
                rows |= dict(zip(part, self._asked([samples[i] for i in part]), strict=True))
        return torch.stack([rows[i] for i in range(len(samples))])

    @property
    def classifies(self) -> bool:
        """Whether it gives verdicts."""
        return hasattr(self.embedding, "logits")

    def verdicts(self, judged: Judged) -> Tensor:
        """(n, K) log-probabilities of classes, float64, from the features.

        Raises:
            LookupError: a network without classes.
        """
        logits = getattr(self.embedding, "logits", None)
        if logits is None:
            raise LookupError(f"extractor {self.name!r} is no classifier: it has no `logits`")
        return judged.rows(f"verdicts {self.hash}", lambda _: logits(self.features(judged)).double().log_softmax(1))

    @torch.inference_mode()
    def _asked(self, images: Sequence[np.ndarray]) -> Tensor:
        x = torch.from_numpy(np.stack([to_channels(image, 3) for image in images])).permute(0, 3, 1, 2).contiguous()
        return self.embedding(x.to(self.device)).double().cpu()
