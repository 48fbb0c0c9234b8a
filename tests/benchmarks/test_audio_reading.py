"""The data path of sound, windows at the model's rate, beside soundfile.read and torchaudio's resampling of the same files.

make bench, or pytest -m benchmark_ratio -s tests/benchmarks/test_audio_reading.py
"""

import time

import pytest

pytest.importorskip("soundfile")
pytest.importorskip("torchaudio")
import soundfile as sf
import torch
import torchaudio
from ornstein.core.sources import open_source
from ornstein.modalities.audio.formats import EXTENSIONS
from ornstein.modalities.audio.reading import Reading
from ornstein.modalities.audio.windows import Cutting

RATE, ROUNDS = 16000, 3


def ours(folder):
    """Seconds of this process for all windows, and seconds of sound."""
    rows = open_source(folder, EXTENSIONS, "none").rows()
    start = time.process_time()
    cut = Cutting(RATE, 1.0).rows(rows, (0.8, 0.1, 0.1))
    frames = sum(len(Reading(RATE).read(row.file, row.values).data.samples) for row in cut)
    return time.process_time() - start, frames / RATE


def plain(folder):
    """Whole files, not cut, their channels mixed as ours."""
    paths = sorted(p for p in folder.iterdir() if p.suffix in EXTENSIONS)
    start, frames = time.process_time(), 0
    for path in paths:
        samples, rate = sf.read(path, dtype="float32", always_2d=True)
        frames += torchaudio.functional.resample(torch.from_numpy(samples.mean(1)), rate, RATE).numel()
    return time.process_time() - start, frames / RATE


def as_files(shared_data, name, folder):
    """Real recordings as files of one format."""
    source = shared_data / "audio" / ("fsdd" if name == "digits" else "librosa_examples")
    for i, row in enumerate(open_source(source, EXTENSIONS, "none").rows()[:200]):
        with row.file.open() as handle:
            content = handle.read()
        path = folder / f"{i:03d}{'.wav' if name == 'digits' else '.ogg'}"
        path.write_bytes(content)
        if name not in ("digits", "ogg"):
            samples, rate = sf.read(path)
            path.unlink()
            with sf.SoundFile(path.with_suffix(f".{name}"), "w", rate, samples.ndim) as sound:
                for at in range(0, len(samples), rate):  # MP3 and Ogg take no more at a time
                    sound.write(samples[at : at + rate])


@pytest.mark.benchmark_ratio
@pytest.mark.parametrize("name", ["digits", "ogg", "wav", "flac", "mp3"])
def test_windows_come_about_as_fast_as_whole_files_are_read_and_resampled(shared_data, name, tmp_path):
    as_files(shared_data, name, tmp_path)
    times: dict = {ours: [], plain: []}
    for _ in range(ROUNDS):  # in turn, so that a busy machine slows both
        for way, found in times.items():
            seconds, of_sound = way(tmp_path)
            found.append(seconds / of_sound)
    a, b = (1e3 * min(found) for found in times.values())
    print(f"\n{name}: {a:.2f} ms for a second of sound, soundfile and torchaudio {b:.2f} ms, ratio {a / b:.2f}")
    assert a <= 1.25 * b
