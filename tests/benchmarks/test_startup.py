"""How fast the command line answers: user time of a fresh process, the best of several."""

import json
import resource
import subprocess
import sys

import pytest

LIMIT_S = 0.3
RATIO = 1.2
MAIN = "from ornstein.core.cli.main import main; main({})"


def user_s(code: str, times: int) -> float:
    """Seconds of user time of a Python process, the least of several."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before

    return min(once() for _ in range(times))


@pytest.mark.benchmark_ratio
@pytest.mark.parametrize("line", [["--help"], ["list"], ["list", "sampler"], ["fit", "--help"]], ids=" ".join)
def test_cheap_commands_answer_at_once(line, capsys):
    seconds = user_s(MAIN.format(line), 5)
    with capsys.disabled():
        print(json.dumps({"command": " ".join(line), "user_s": round(seconds, 3), "limit": LIMIT_S}))
    assert seconds < LIMIT_S


@pytest.mark.benchmark_ratio
def test_the_help_of_a_recipe_costs_little_more_than_lightning(capsys):
    bare = user_s("import lightning.pytorch.cli", 3)
    ours = user_s(MAIN.format(["fit", "image/digits", "--help"]), 3)
    with capsys.disabled():
        print(
            json.dumps(
                {
                    "lightning_s": round(bare, 2),
                    "ours_s": round(ours, 2),
                    "ratio": round(ours / bare, 3),
                    "limit": RATIO,
                }
            )
        )
    assert ours <= RATIO * bare
