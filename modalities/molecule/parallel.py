"""Work on many molecules, over the cores that this process may use."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")

_LEAST = 200  # inputs from which processes of their own pay


def over_cores(
    function: Callable[[In], Out], inputs: Sequence[In], advance: Callable[[], None] = lambda: None
) -> list[Out]:
    """function(input) of each, in order; in processes where there are many inputs and several cores.

    Args:
        function: of a module, since it is sent to processes by name; what it raises is raised here.
        inputs: sent in chunks.
        advance: called once an input is done: a progress bar's.
    """
    from rdkit import rdBase

    out = []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with rdBase.BlockLogs():  # what RDKit thinks of a molecule is in what `function` says of it; a fork is as silent
        if len(inputs) < _LEAST or cores == 1:
            for each in inputs:
                out.append(function(each))
                advance()
            return out
        # A forked process starts at once, and a script needs no guard around its main part. Nothing in it touches torch.
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        # What a fork inherits is not its own to collect, and looking through it would copy it page by page.
        with ProcessPoolExecutor(cores, context, initializer=gc.freeze) as pool:
            for result in pool.map(function, inputs, chunksize=min(64, -(-len(inputs) // (4 * cores)))):
                out.append(result)
                advance()
        return out
