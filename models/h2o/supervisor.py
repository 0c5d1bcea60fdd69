"""A small process that owns one H2O, and ends it and deletes its files when its parent ends.

It runs as a script with the standard library only. It outlives its parent by a second at most, and
H2O never outlives it. If the supervisor itself was killed, the next start deletes its folder.
"""

import ctypes
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from pathlib import Path

PREFIX = "headwater-h2o-"
READY = "Open H2O Flow in your web browser: "
START_LIMIT_S = 120
TAIL_LINES = 80
PR_SET_PDEATHSIG = 1


def sweep(work_dir: Path) -> None:
    """Delete the folders whose supervisor no longer runs and thus holds no lock."""
    for folder in work_dir.glob(f"{PREFIX}*"):
        try:
            lock = os.open(folder, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass
        finally:
            os.close(lock)


def own_folder(work_dir: Path) -> Path:
    """Create a folder that is locked while this process lives."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=work_dir))
        fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)
        if folder.exists():  # another start may delete it before it is locked
            return folder


def command(java: str, jar: str, memory: str, threads: str, folder: Path) -> list[str]:
    """H2O's command line: loopback only, with all its files in the folder."""
    # An empty flatfile keeps H2O from opening multicast ports on every interface.
    flatfile = folder / "flatfile"
    flatfile.touch()
    jvm = [
        f"-Xmx{memory}",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        "-Duser.timezone=UTC",
        f"-Djava.io.tmpdir={folder}",
    ]
    h2o = {
        "-name": folder.name,
        "-ip": "127.0.0.1",
        "-web_ip": "127.0.0.1",
        "-baseport": "54321",
        "-flatfile": str(flatfile),
        "-ice_root": str(folder),
        "-flow_dir": str(folder),
        # H2O's default, which also denies every folder whose name begins with a dot.
        "-file_deny_glob": "{/bin/*,/etc/*,/var/*,/usr/*,/proc/*}",
    } | ({"-nthreads": threads} if threads != "0" else {})
    options = [part for pair in h2o.items() for part in pair]
    return [java, *jvm, "-jar", jar, "-allow_unsupported_java", *options]


def die_with_parent() -> None:
    """Run in the child before Java: the kernel then kills it when the supervisor ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def watch(parent: int, jvm: subprocess.Popen[str]) -> None:
    """Kill H2O once the parent has closed our stdin or has ended."""
    while os.getppid() == parent and not select.select([sys.stdin], [], [], 1)[0]:
        pass
    jvm.kill()


def supervise(jvm: subprocess.Popen[str], folder: Path) -> None:
    """Print H2O's address and its folder once it answers, and the end of its log once it ended."""
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    limit = threading.Timer(START_LIMIT_S, jvm.kill)
    limit.daemon = True
    limit.start()
    for line in jvm.stdout or ():
        tail.append(line)
        if READY in line:
            limit.cancel()
            print(line.split(READY)[1].strip(), folder, flush=True)
    jvm.wait()
    shutil.rmtree(folder, ignore_errors=True)
    print("".join(tail), flush=True)


def main(parent: str, work_dir: str, java: str, jar: str, memory: str, threads: str) -> None:
    """Run one H2O, from its start to the deletion of its files."""
    sweep(Path(work_dir))
    folder = own_folder(Path(work_dir))
    try:
        jvm = subprocess.Popen(
            command(java, jar, memory, threads, folder),
            cwd=folder,
            env=os.environ | {"LC_ALL": "C.UTF-8"},  # else Java cannot open non-ASCII names
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread runs yet
        )
    except OSError as error:
        shutil.rmtree(folder)
        print(error)
        return
    signal.signal(signal.SIGTERM, lambda *_: jvm.kill())
    threading.Thread(target=watch, args=(int(parent), jvm), daemon=True).start()
    supervise(jvm, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
