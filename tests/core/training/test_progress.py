import io

from ornstein.core.training.progress import RunProgress
from training_world import parts, trainer


def run(monkeypatch, terminal, **options):
    from rich.console import Console

    out = io.StringIO()
    monkeypatch.setattr(
        "ornstein.core.training.progress.Console", lambda stderr: Console(file=out, force_terminal=terminal, width=120)
    )
    module, data = parts()
    trainer(None, 6, callbacks=[RunProgress(**options)], enable_progress_bar=True).fit(module, data)
    return out.getvalue()


def test_a_terminal_shows_steps_loss_and_speed(monkeypatch):
    text = run(monkeypatch, True, refresh_s=0.0)
    assert "6/6" in text
    assert "loss" in text
    assert "samples/s" in text


def test_elsewhere_there_are_lines_and_not_too_many(monkeypatch):
    assert "training 6/6" in run(monkeypatch, False, line_s=0.0)
    assert len(run(monkeypatch, False, line_s=1000.0).splitlines()) <= 1
