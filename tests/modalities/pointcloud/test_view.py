"""The part of a page that turns clouds: it needs nothing else, and holds the shapes it shows."""

import base64
import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from ornstein.modalities.pointcloud.cloud import Cloud
from ornstein.modalities.pointcloud.view import view3d

POINTS = np.random.default_rng(0).uniform(-3, 5, (40, 3))


def told(page: str) -> list[dict]:
    return [json.loads(html.unescape(text)) for text in re.findall(r'data-cloud="(.*?)"', page)]


def array(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind).reshape(-1, 3)


def test_page_holds_the_shape_up_to_place_and_size() -> None:
    colours = np.random.default_rng(1).integers(0, 256, (40, 3), dtype=np.uint8)
    (one,) = told(view3d([Cloud(POINTS, colours=colours)]))
    found = array(one["points"], "<i2").astype(float)
    centred = POINTS - (POINTS.min(0) + POINTS.max(0)) / 2
    assert np.allclose(found / one["steps"], centred / np.linalg.norm(centred, axis=1).max(), atol=2e-5)
    assert np.array_equal(array(one["colours"], "u1"), colours)
    assert np.allclose(np.linalg.norm(array(one["normals"], "i1"), axis=1), 127, atol=1.5)


def test_given_points_have_a_colour_of_their_own() -> None:
    known = np.arange(40) < 15
    first, second = (array(one["colours"], "u1") for one in told(view3d([Cloud(POINTS)] * 2, known=[known, None])))
    assert len(np.unique(second, axis=0)) == 1
    assert (np.abs(first.astype(int) - second).sum(1) > 100).tolist() == known.tolist()


def test_page_needs_nothing_else_and_names_are_escaped() -> None:
    page = view3d([Cloud(POINTS, name='<script>"&'), Cloud(POINTS)])
    assert "&lt;script&gt;" in page
    assert "sample 1" in page
    assert not re.search(r"https?:|src=|href=|import ", page)
    assert page.count("<script>") == 1


def test_large_clouds_say_how_many_points_are_shown() -> None:
    points = np.random.default_rng(0).normal(size=(10_000, 3))
    page = view3d([Cloud(points, name="scan")])
    assert "scan (4,096 of 10,000 points)" in page
    assert len(array(told(page)[0]["points"], "<i2")) == 4096


def test_script_runs_and_draws_each_point() -> None:
    """In node, with a canvas that counts: every point is drawn, again after the mouse has moved, and in another place."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    page = view3d([Cloud(POINTS)])
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL).group(1)
    stage = """
const at = [], heard = {};
const pen = {clearRect() {}, beginPath() {}, fill() {}, arc(x, y) { at.push([x, y]); }};
const canvas = {width: 200, height: 200, dataset: {cloud: TOLD}, getContext: () => pen, setPointerCapture() {},
  addEventListener(name, act) { heard[name] = act; }};
const document = {querySelectorAll: () => canvas.dataset.drawn ? [] : [canvas]};
SCRIPT
SCRIPT
heard.pointerdown({clientX: 0, clientY: 0, pointerId: 1});
heard.pointermove({clientX: 90, clientY: 0});
console.log(JSON.stringify(at));
"""
    (one,) = told(page)
    text = stage.replace("TOLD", json.dumps(json.dumps(one))).replace("SCRIPT", script)
    drawn = np.array(json.loads(subprocess.run([node, "-e", text], capture_output=True, check=True, text=True).stdout))
    assert drawn.shape == (80, 2)
    assert (drawn > 0).all()
    assert (drawn < 200).all()
    assert np.abs(np.sort(drawn[:40, 0]) - np.sort(drawn[40:, 0])).max() > 5
