"""Sound: recordings of any rate and length, as samples, spectra or mel spectra in frames."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np
import torch
from ornstein.core.conditioning.columns import Columns
from ornstein.core.conditioning.spec import ConditionSpec
from ornstein.core.modality import Item, Modality, Rng
from ornstein.core.parametrization import Flow
from ornstein.core.processes import Gaussian
from ornstein.core.schedules import Rectified
from ornstein.core.sources import File, Row, Source
from ornstein.core.state import Conditions, Encoded, Field, State
from ornstein.core.tasks import Task, Unconditional
from torch import Tensor

from . import encoder as coder
from . import loudness as levels
from .augmenting import augmented
from .clip import Clip
from .data import Tones
from .formats import EXTENSIONS, header
from .framing import Encoder, framed
from .guides import MelGuide, NoisyGuide
from .known import Given, pasted, stretches
from .mdct import MDCT, Window
from .mel import MelScale
from .reading import Reading
from .resampling import Mix
from .silence import report
from .sizes import Sizes, sizes
from .tasks import OPEN, SOURCE, Continue, Denoise, Inpaint, Vocode, Widen
from .tokens import Tokens
from .told import MEL, NOISY, TIMING, Guide, Told
from .unrolling import unroll
from .windows import STOP, Cutting, Long, Short

if TYPE_CHECKING:
    from ornstein.core.evaluation.spec import MetricSpec

__all__ = ["Audio", "Clip"]


class Audio(Modality):
    """Sound of one or two channels at one rate; an item's data and a decoded sample are a `Clip`.

    Args:
        rate: of the model, Hz; files of other rates are resampled.
        channels: 1 mono, 2 stereo.
        mix: how one channel is made of several: their mean, the first or the second.
        seconds: length of a training window.
        hop: seconds from one window to the next; None: as long as a window.
        long: of a longer recording `windows`, its beginning alone (`crop`), or `refuse` it.
        short: a shorter one is masked at its end (`pad`), or refused.
        encoder: what a token is: `raw` samples, coefficients of the `mdct`, compressed spectra (`stft`), their levels without
            phases (`spectrum`), or log-mel spectra (`mel`).
        frame: samples from one token to the next.
        power: p of |X|^p in mdct and stft: below 1, soft parts weigh more.
        window: of the mdct: `sine` or `kbd`.
        bands: of mel spectra.
        loudness: bring clips to one `peak` or `rms`, or to so many LUFS, in model space; None: as they are.
        labels: whether the model can be told the label, where the data has labels.
        columns: further columns that it can be told: words become classes, numbers numbers.
        timing: tell it the length of the recording and where in it the clip begins, seconds.
        guide: what it is told for each token: a `mel` spectrum (task `vocode`), a `noisy` clip (task `denoise`), or nothing.
        fade: seconds over which given and made samples are blended, before what is made.
        shift: move training clips by up to so many seconds each way, silence follows.
        gain: make training clips louder or softer by up to so many dB.
        vocoder: run folder of a model with guide `mel` of the same rate, frame and bands, which turns the spectra of
            `encoder=mel` into sound; None: the iteration of Griffin and Lim.
        embeddings: for Fréchet audio distances beside that of log-mel levels: `package.module:name` of classes that map a wave
            to rows; see `frechet.Embedding`.
    """

    name: ClassVar[str] = "audio"
    symmetries: ClassVar[tuple[str, ...]] = ()
    extensions: ClassVar[tuple[str, ...]] = EXTENSIONS
    later: ClassVar[tuple[str, ...]] = ("vocoder", "embeddings")

    def __init__(
        self,
        rate: int = 16000,
        channels: int = 1,
        mix: Mix = "mean",
        seconds: float = 1.0,
        hop: float | None = None,
        long: Long = "windows",
        short: Short = "pad",
        encoder: Encoder = "raw",
        frame: int = 256,
        power: float = 0.5,
        window: Window = "sine",
        bands: int = 80,
        loudness: levels.Loudness = None,
        labels: bool = True,
        columns: list[str] | None = None,
        timing: bool = False,
        guide: Guide = "none",
        fade: float = 0.005,
        shift: float = 0.0,
        gain: float = 0.0,
        vocoder: str | None = None,
        embeddings: list[str] | None = None,
    ) -> None:
        levels.check(loudness)
        _check(channels=(channels, (1, 2)), guide=(guide, get_args(Guide)))
        for name, value in {"fade": fade, "shift": shift, "gain": gain}.items():
            if not 0 <= value < math.inf:
                raise ValueError(f"modality.{name}={value}: 0 or more")
        if vocoder is not None and encoder != "mel":
            raise ValueError(
                f"modality.vocoder={vocoder} turns mel spectra into sound; modality.encoder={encoder} needs none"
            )
        self.rate, self.channels, self.mix = rate, channels, mix
        self.seconds, self.hop, self.long, self.short = seconds, hop, long, short
        self.encoder, self.frame, self.power, self.window, self.bands = encoder, frame, power, window, bands
        self.loudness, self.labels, self.columns, self.timing, self.guide = loudness, labels, columns, timing, guide
        self.fade, self.shift, self.gain, self.vocoder, self.embeddings = fade, shift, gain, vocoder, embeddings
        self._cutting = Cutting(rate, seconds, hop, long, short)
        self._tokens = Tokens(framed(encoder, rate, frame, power, window, bands))
        self._told, self._sizes = Told(), Sizes(np.zeros(0, np.int64), np.zeros(0))

    # What the model is made from.

    @property
    def fields(self) -> tuple[Field, ...]:
        """One field `sound`: the numbers of a token, channel by channel."""
        return (Field(coder.FIELD, "continuous", self._size, Gaussian(Rectified(), Flow())),)

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """Classes and numbers that the training data has; `mel` or `noisy` where a guide is asked for."""
        return self._told.specs()

    @property
    def axes(self) -> int:
        """Time."""
        return 1

    def fit(self, items: Sequence[Item]) -> None:
        """Learn the scale of each band, lengths and gains, and the conditions.

        Raises:
            ValueError: no items, items of another rate, silence alone, or a condition that is word and number.
        """
        if not items:
            raise ValueError("there is no training clip: scales and classes are unknown")
        report(items)
        gains = self._gains(items, [None] * len(items))
        self._tokens = self._tokens.fitted(
            [item.data.samples * np.float32(gain) for item, gain in zip(items, gains, strict=True)]
        )
        guides = {MEL: self.bands * self.channels, NOISY: self._size}
        guide = None if self.guide == "none" else (self.guide, guides[self.guide])
        self._told = Told(Columns.of(items), guide)
        cond = self._told.encode(items, 1)
        numbers = {n: torch.where(cond[n].present, cond[n].value, -1).tolist() for n in self._told.columns.classes}
        self._sizes = sizes([len(item.data.samples) for item in items], gains, numbers)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What `fit` learnt."""
        known, classes = self._sizes, self._sizes.classes
        tensors = {
            "mean": self._tokens.mean,
            "std": self._tokens.std,
            "steps": torch.from_numpy(known.steps),
            "gains": torch.from_numpy(known.gains),
            "classes": torch.from_numpy(np.zeros((len(known.steps), 0), np.int64) if classes is None else classes),
        }
        return tensors, {"told": self._told.plain(), "classes": list(known.names)}

    def load_state(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._tokens = replace(self._tokens, mean=tensors["mean"], std=tensors["std"])
        steps, gains, classes = (tensors[name].numpy() for name in ("steps", "gains", "classes"))
        self._sizes = Sizes(steps, gains, tuple(plain["classes"]), classes)
        self._told = Told.load(plain["told"])

    # Files.

    def rows(self, rows: Sequence[Row], shares: tuple[float, float, float] | None) -> Sequence[Row]:
        """One row for each window; given files as they are."""
        return self._cutting.rows(rows, shares)

    def read(self, file: File, row: Mapping[str, Any]) -> Item:
        """A window as `rows` names it, or a whole file, which is then open: tasks go on with it, or fill its gaps.

        Raises:
            BadItem: what is wrong with the file.
        """
        item = Reading(self.rate, self.channels, self.mix, self.labels, self.columns or ()).read(file, row)
        if self.timing:
            item = replace(item, cond={**item.cond, TIMING[0]: item.data.seconds, TIMING[1]: item.data.start})
        return item if STOP in row else replace(item, meta={**item.meta, OPEN: True, SOURCE: header(file).rate})

    def write(self, samples: Sequence[Clip], path: Path) -> list[Path]:
        """A WAV file for each sample at the model's rate; see `writing.save`."""
        from .writing import save

        return save(samples, Path(path))

    def render(self, samples: Sequence[Clip]) -> Any:
        """Waveforms and mel spectrograms."""
        from .pictures import draw

        return draw(samples)

    def view(self, samples: Sequence[Clip]) -> str:
        """Players."""
        from .view import view

        return view(samples)

    def datasets(self) -> Mapping[str, Source]:
        """`tones` are generated."""
        return {"tones": Tones()}

    # Model space.

    def encode(self, items: Sequence[Item], known: Sequence[Given | None] | None, rng: Rng) -> Encoded:
        """Samples to tokens; clips of any lengths share a batch.

        Raises:
            ValueError: a clip of another rate or other channels, a class that was not in the training data.
        """
        given = [None] * len(items) if known is None else known
        encoded = coder.encode(items, known, self._gains(items, given), self._tokens, self._fade)
        return replace(encoded, cond=self._told.encode(items, encoded.layout.tokens))

    def blank(self, n: int, cond: Conditions, rng: Rng, size: float | None = None) -> Encoded:
        """n clips to be made, as long as a training clip of the asked classes, as the asked guide, or of `size` seconds.

        Raises:
            ValueError: a size that is no number of seconds, or longer than the training clips.
        """
        longest = max(self._sizes.longest, self._window) / self.rate
        if size is not None and (not isinstance(size, (int, float)) or not 0 < size <= longest + 1e-9):
            raise ValueError(
                f"size {size}: give a number of seconds up to {longest:g}, the longest clip of training; for more, go on with "
                "what was made: --task continuation --given FILE --size SECONDS"
            )
        guide = next((c.value for name, c in cond.items() if c.value.ndim == 3 and bool(c.present.any())), None)
        classes = {name: c for name, c in cond.items() if name in self._told.columns.classes}
        drawn = []
        for i, u in enumerate(rng.random(n)):  # one after another, so that sample k does not depend on n
            asked = {name: int(c.value[i]) for name, c in classes.items() if bool(c.present[i])}
            steps, gain = self._sizes.draw(u, asked)
            steps = steps if size is None else round(size * self.rate)
            drawn.append((steps if guide is None else guide.shape[1] * self.frame, gain if guide is None else 1.0))
        encoded = coder.blank([t for t, _ in drawn], [g for _, g in drawn], self.rate, self.channels, self._tokens)
        told = {name: c for name, c in cond.items() if c.value.ndim < 3 or guide is not None}
        return replace(encoded, cond=told)

    def decode(self, state: State, mask: Tensor, aux: dict[str, Any]) -> list[Clip]:
        """Tokens to clips, at the model's rate; spectra by the vocoder, where one is named."""
        clips = coder.decode(state, mask, aux, self.rate, self._tokens)
        if self.vocoder is None:
            return clips
        from .vocoding import vocoded

        scale = MelScale(self.rate, self.frame, self.bands)
        told = scale.as_told(self._tokens.levels(state[coder.FIELD].float()))
        spectra = [x[:n].numpy() for x, n in zip(told, mask.sum(1).tolist(), strict=True)]
        return vocoded(self.vocoder, spectra, clips, aux["gain"], scale)

    # Tasks.

    def tasks(self) -> Mapping[str, Task]:
        """Nothing given; a gap; a beginning; a band, of the MDCT alone; a spectrum or a noisy clip, where it is the guide."""
        tasks: dict[str, Task] = {
            "unconditional": Unconditional(),
            "inpaint": Inpaint(),
            "continuation": Continue(self.seconds),
        }
        if isinstance(self._tokens.frames, MDCT):
            tasks["bandwidth"] = Widen(self.rate)
        if self.guide == "mel":
            tasks |= {"vocode": Vocode(self._guide.told), "vocode_on": Vocode(self._guide.told, begun=True)}
        if self.guide == "noisy":
            tasks["denoise"] = Denoise(self._guide.told)
        return tasks

    def paste(self, sample: Clip, given: Item, known: Given | None) -> Clip:
        """What was given, bit by bit but for `fade` seconds before what is made; a band as its coefficients."""
        if known is None:
            return sample
        samples = pasted(sample.samples, given.data.samples, known, self._tokens.frames, self._fade)
        return replace(sample, samples=samples, name=given.key)

    def unroll(self, item: Item, known: Given | None) -> Generator[tuple[Item, Any], Clip, Clip]:
        """At once where the clip is no longer than those of training, else window by window."""
        longest = max(self._sizes.longest, self._window)
        if len(item.data.samples) <= longest:
            return (yield from super().unroll(item, known))
        window = max(longest // self.frame, 1) * self.frame
        return self.paste((yield from unroll(item, known, window, self._tokens.frames, self._fade)), item, known)

    def read_known(self, file: File, item: Item) -> np.ndarray:
        """A CSV file of columns `start` and `end`, seconds: the stretches that are to be made; see `known.stretches`."""
        return stretches(file, item)

    def augment(self, item: Item, rng: Rng) -> Item:
        """Moved, and louder or softer, as the options say."""
        return augmented(item, rng, self.shift, self.gain)

    def cost(self, item: Item) -> int:
        """Number of tokens."""
        return self._tokens.frames.count(len(item.data.samples))

    # Judgement.

    def metrics(self, task: str) -> Sequence[MetricSpec]:
        """What is measured on samples of a task."""
        from .evaluation import Trained, audio_metrics
        from .frechet import embedding

        steps, told = max(self._sizes.longest, 1), self._told.columns
        others = [embedding(each) for each in self.embeddings or ()]
        trained = Trained(
            self.rate, steps, len(self._sizes.steps), told.classes, tuple(told.numbers), self._fade, others
        )
        return audio_metrics(task, trained)

    def floor(
        self,
        items: Sequence[Item],
        cond: Sequence[Mapping[str, Any]],
        rng: Rng,
        given: Sequence[Item] | None = None,
        known: Sequence[Any] | None = None,
    ) -> list[Clip] | None:
        """Coloured noise, linear prediction, Griffin and Lim: what needs no model; see `evaluation.audio_floor`."""
        from .evaluation import audio_floor

        sounds = {} if self.guide == "none" else {self.guide: self._guide.sound}
        return audio_floor(items, cond, rng, given, known, tuple(self._told.columns.classes), sounds)

    @property
    def _size(self) -> int:
        return self.channels * self._tokens.frames.size

    @property
    def _window(self) -> int:
        return self._cutting.window

    @property
    def _fade(self) -> int:
        return round(self.fade * self.rate)

    @property
    def _guide(self) -> MelGuide | NoisyGuide:
        if self.guide == "mel":
            return MelGuide(MelScale(self.rate, self.frame, self.bands))
        return NoisyGuide(self._tokens)

    def _gains(self, items: Sequence[Item], known: Sequence[Given | None]) -> list[float]:
        """What each clip is multiplied with."""
        return coder.gains(items, known, self.rate, self.channels, self.loudness, self._tokens.frames)


def _check(**options: tuple[Any, Sequence[Any]]) -> None:
    for name, (value, choices) in options.items():
        if value not in choices:
            raise ValueError(f"modality.{name}={value!r}; choose from {', '.join(map(str, choices))}")
