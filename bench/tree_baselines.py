"""One row by other libraries' trees: LightGBM, and its trees as C by treelite."""

import ctypes
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
Scorer = Callable[[int], float]


def grown(rows: Rows, labels: Rows, categoricals: list[int]) -> Any:
    """100 trees of 64 leaves, as large as those of the GBM."""
    lightgbm = importlib.import_module("lightgbm")
    training = lightgbm.Dataset(rows, labels, categorical_feature=categoricals, free_raw_data=False)
    parameters = {"objective": "binary", "num_leaves": 64, "max_depth": 6, "seed": 1}
    return lightgbm.train(parameters | {"verbosity": -1, "num_threads": 1}, training, 100)


def lightgbm_row(booster: Any, rows: Rows) -> Scorer:
    """Score by LightGBM's Python interface."""
    return lambda turn: float(booster.predict(rows[turn : turn + 1], num_threads=1)[0])


def treelite_row(booster: Any, rows: Rows, folder: Path) -> Scorer:
    """The shared library called through ctypes, its entries prepared before."""
    treelite, tl2cgen = map(importlib.import_module, ("treelite", "tl2cgen"))
    path = folder / "trees.so"
    model = treelite.frontend.from_lightgbm(booster)
    with _stdout_to_stderr():
        tl2cgen.export_lib(model, toolchain="gcc", libpath=path, verbose=False)
    predict = ctypes.CDLL(str(path)).predict
    entries = rows.copy()  # each of 8 bytes: the number, or -1 as an int where there is none
    entries.view(np.int32).reshape(*rows.shape, 2)[np.isnan(rows), 0] = -1
    addresses = [ctypes.c_void_p(row.ctypes.data) for row in entries]
    answer = np.zeros(1)
    where, plain = ctypes.c_void_p(answer.ctypes.data), ctypes.c_int(0)

    def score(turn: int) -> float:
        assert entries.size  # what the addresses point to
        answer[0] = 0.0  # it adds to what is there
        predict(addresses[turn], plain, where)
        return float(answer[0])

    return score


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Keep what a library's C++ says out of our JSON."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
