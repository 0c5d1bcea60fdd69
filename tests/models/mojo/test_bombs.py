"""Small archives that stand for gigabytes, and models that say other than this reader computes."""

import importlib.util
import io
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from models.mojo.model import MojoError, read_mojo

HONEST = Path(__file__).parents[2] / "golden" / "1" / "gbm-1.zip"
_spec = importlib.util.spec_from_file_location("mojos", Path(__file__).with_name("test_model.py"))
mojos = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(mojos)
TREE = mojos.node(0, mojos.LEFT, 1.0, 2.0, number=0.5)

# Prints the growth of a process that is warm, in MiB, and what came of a model.
LOAD = """
import resource, sys
from pathlib import Path
from models.mojo.model import MojoError, read_mojo, warm
warm()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
idle = peak()
try:
    came = len(read_mojo(Path(sys.argv[1]).read_bytes()).columns)
except MojoError as error:
    came = error
print(peak() - idle, came)
"""


def loaded(tmp_path, source):
    """Memory above the idle process in MiB, and the number of columns or why there are none."""
    path = tmp_path / "model.zip"
    path.write_bytes(source)
    ran = subprocess.run(
        [sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=True
    )
    memory, came = ran.stdout.strip().split(" ", 1)
    return int(memory), came


def files_of(source):
    with zipfile.ZipFile(io.BytesIO(source)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def changed(source, **members):
    """An archive with other members; a function is called with the one that is there."""
    files = files_of(source)
    for name, content in members.items():
        files[name] = content(files[name]) if callable(content) else content
    return mojos.zipped(files)


def told(source, **info):
    """An archive whose model.ini says otherwise."""
    ini = files_of(source)["model.ini"].decode()
    for key, value in info.items():
        lines = [line for line in ini.split("\n") if not line.startswith(f"{key} = ")]
        ini = "\n".join(lines).replace("[info]", f"[info]\n{key} = {value}", 1)
    return changed(source, **{"model.ini": ini.encode()})


def grown(depth, column=0):
    """A whole tree of a depth."""
    child = 1.0
    for k in range(depth):
        child = mojos.node(column, mojos.LEFT, child, child, number=float(k))
    return child


GLM_INI = files_of(mojos.glm())["model.ini"]
MANY = 50_000_000
BOMBS = {
    "empty levels": lambda: changed(
        mojos.archive(TREE),
        **{"domains/d1.txt": b"\n" * MANY,
           "model.ini": lambda ini: ini.replace(b"1: 5 d1", b"1: %d d1" % MANY)},
    ),
    "levels of one letter": lambda: changed(
        mojos.archive(TREE), **{"domains/d1.txt": b"ab\n" * (MANY // 4)}
    ),
    "many domains of one file": lambda: changed(
        mojos.archive(TREE),
        **{"domains/d1.txt": b"x" * 20_000_000, "model.ini": lambda ini: ini + b"\n3: 1 d1.txt"},
    ),
    "an endless model.ini": lambda: changed(
        mojos.archive(TREE), **{"model.ini": lambda ini: ini + b" " * (4 * MANY)}
    ),
    "a model.ini of empty lines": lambda: changed(
        mojos.archive(TREE), **{"model.ini": lambda ini: ini + b"\n" * 15_000_000}
    ),
    "numbers without end": lambda: changed(
        mojos.glm(),
        **{"model.ini": GLM_INI.replace(b"means = [", b"means = [" + b"1," * 7_500_000)},
    ),
    "a wide character in a long line": lambda: changed(
        mojos.archive(TREE), **{"domains/d1.txt": "\U0001f600".encode() + b"x" * (2 * MANY)}
    ),
    "a tree of nodes without end": lambda: mojos.archive(b"\x30\0\0\x01" + b"\0" * (3 * MANY)),
    "sets without end": lambda: changed(
        mojos.archive(*[grown(10, column=2)] * 50),
        **{"domains/d2.txt": "\n".join(map(str, range(500_000))).encode(),
           "model.ini": lambda ini: ini.replace(b"2: 100 d2", b"2: 500000 d2")},
    ),
    "a billion trees": lambda: told(mojos.archive(TREE), n_trees="999999999"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_no_archive_takes_more_than_a_bounded_memory(tmp_path, name):
    source = BOMBS[name]()
    assert len(source) < 2_000_000
    memory, came = loaded(tmp_path, source)
    assert memory < 512
    assert came == "3" or "must" in came
    assert len(came) < 500


def test_trees_of_many_nodes_without_a_split_take_the_memory_of_their_nodes(tmp_path):
    # A node against the rest with two leaves has 12 bytes for three nodes: the most there can be.
    tree = 0.5
    for _ in range(16):
        tree = mojos.node(0, mojos.NA_VS_REST, tree, tree)
    memory, came = loaded(tmp_path, mojos.archive(*[tree] * 180))
    assert memory < 512
    assert came == "3" or "448 MiB" in came


def test_models_as_large_as_users_fit_are_loaded(tmp_path):
    levels = "\n".join(f"level {k}" for k in range(100_000))
    source = changed(
        mojos.archive(*[grown(10)] * 1000),
        **{"domains/d2.txt": levels.encode(),
           "model.ini": lambda ini: ini.replace(b"2: 100 d2", b"2: 100000 d2")},
    )  # fmt: skip
    memory, came = loaded(tmp_path, source)
    assert (memory < 512, came) == (True, "3")


def test_a_directory_that_is_larger_than_a_model_s_is_not_parsed():
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"x"
    directory = entry * 200_000
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65535, 65535, len(directory), 0, 0)
    with pytest.raises(MojoError, match="directory of at most 8388608 bytes"):
        read_mojo(directory + end)


def test_two_files_of_one_name_are_refused():
    packed = io.BytesIO(mojos.archive(TREE))
    with zipfile.ZipFile(packed, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr("trees/t00_000.bin", TREE)
    with pytest.raises(MojoError, match="must have names of their own"):
        read_mojo(packed.getvalue())


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"algo": "drf"}, "algorithm must be Distributed Random Forest; got 'Gradient Boosting"),
        ({"algo": "glm"}, "must be"),
        ({"algorithm": "Isolation Forest"}, "algorithm must be Gradient Boosting Machine"),
        ({"mojo_version": "1.50"}, "mojo_version of gbm must be 1.40"),
        ({"mojo_version": "1.30"}, "mojo_version of gbm must be 1.40"),
        ({"category": "Multinomial"}, "category must be"),
        ({"category": "Regression"}, "n_classes must be 1; got '2'"),
        ({"n_classes": "3"}, "n_classes must be 2; got '3'"),
        ({"n_features": "5"}, "n_features must be 6; got '5'"),
        ({"offset_column": "distance"}, "offset_column must be null; got 'distance'"),
        ({"supervised": "false"}, "supervised must be true"),
        ({"endianness": "BIG_ENDIAN"}, "endianness must be LITTLE_ENDIAN"),
        ({"escape_domain_values": "false"}, "escape_domain_values must be true"),
        ({"_genmodel_encoding": "OneHotExplicit"}, "_genmodel_encoding must be AUTO"),
        ({"_orig_projection_array": "[1.0]"}, "_orig_projection_array must be null"),
        ({"n_trees_per_class": "2"}, "n_trees_per_class must be 1"),
        ({"binomial_double_trees": "true"}, "binomial_double_trees must be false"),
        ({"distribution": "quasibinomial"}, "got Binomial 'quasibinomial'"),
        ({"distribution": "modified_huber"}, "got Binomial 'modified_huber'"),
        ({"distribution": "multinomial"}, "got Binomial 'multinomial'"),
        ({"distribution": "poisson"}, "got Binomial 'poisson'"),
        ({"distribution": "custom"}, "got Binomial 'custom'"),
        ({"link_function": "log"}, "got Binomial 'bernoulli' with 'log'"),
        ({"link_function": "identity"}, "got Binomial 'bernoulli' with 'identity'"),
        ({"link_function": "ologit"}, "got Binomial 'bernoulli' with 'ologit'"),
        ({"init_f": "Infinity"}, "init_f must be a finite number"),
        ({"balance_classes": "maybe"}, "balance_classes must be true or false; got 'maybe'"),
        (
            {"balance_classes": "true", "model_class_distrib": "[5e-324, 1.0]"},
            "class shares must be two above 0",
        ),
        (
            {"balance_classes": "true", "prior_class_distrib": "[NaN, 1.0]"},
            "prior_class_distrib must be a finite number",
        ),
    ],
)
def test_what_changes_the_arithmetic_of_an_honest_model_is_refused(info, message):
    honest = HONEST.read_bytes()
    read_mojo(honest)
    with pytest.raises(MojoError, match="must") as caught:
        read_mojo(told(honest, **info))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"algorithm": "Generalized Additive Model"}, "algorithm must be Generalized Linear"),
        ({"family": "quasibinomial"}, "got Regression 'quasibinomial'"),
        ({"family": "fractionalbinomial"}, "got Regression 'fractionalbinomial'"),
        ({"family": "ordinal"}, "got Regression 'ordinal'"),
        ({"link": "inverse"}, "with 'inverse'"),
        ({"link": "tweedie"}, "with 'tweedie'"),
        ({"link": "logit"}, "with 'logit'"),
        ({"use_all_factor_levels": "yes"}, "use_all_factor_levels must be true or false"),
        ({"mojo_version": "1.10"}, "mojo_version of glm must be 1.00"),
        ({"num_means": "[NaN]"}, "num_means must be a finite number"),
        ({"beta": str([float("inf")] * 105)}, "beta must be a finite number"),
    ],
)
def test_what_changes_the_arithmetic_of_a_linear_model_is_refused(info, message):
    with pytest.raises(MojoError, match="must") as caught:
        read_mojo(told(mojos.glm(), **info))
    assert message in str(caught.value)


NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    "tree",
    [
        mojos.node(0, mojos.LEFT, NAN, 2.0, number=0.5),
        mojos.node(0, mojos.LEFT, 1.0, INF, number=0.5),
        mojos.node(0, mojos.LEFT, TREE, -INF, number=0.5),
        mojos.node(0, mojos.LEFT, 1.0, 2.0, number=NAN),
        b"\x00\xff\xff" + struct.pack("<f", NAN),
    ],
)
def test_a_leaf_or_a_split_that_is_no_number_refuses_the_model(tree):
    with pytest.raises(MojoError, match=r"must be finite .* in trees/t00_001\.bin"):
        read_mojo(mojos.archive(TREE, tree))


def test_votes_of_a_forest_lie_between_0_and_1():
    outside = mojos.node(0, mojos.LEFT, 0.5, 1.5, number=0.5)
    assert read_mojo(mojos.archive(outside, algo="drf")).category == "Regression"
    with pytest.raises(MojoError, match="votes must lie between 0 and 1"):
        read_mojo(mojos.archive(outside, algo="drf", response=["no", "yes"], **mojos.BINOMIAL))
