"""A cache folder for numba's compiled kernels, for users who cannot write to the usual ones."""

import os
import stat
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

_VARIABLE = "NUMBA_CACHE_DIR"


def find_kernel_cache(environment: MutableMapping[str, str], code: Path, temporary: Path) -> None:
    """Set `NUMBA_CACHE_DIR` if numba would find no writable cache folder.

    Numba uses a folder beside the code or in the user's cache. A user without write access to
    either, such as one who only reads another user's home, gets a folder among the temporary files.
    Only that user can write to it, as its content is executed.

    Args:
        environment: Environment of this process, before numba is imported.
        code: Folder with the packages `models` and `state`.
        temporary: Folder for temporary files.
    """
    beside = [code / name / "__pycache__" for name in ("models", "state")]
    home = environment.get("HOME", "/nonexistent")
    cache = Path(environment.get("XDG_CACHE_HOME") or Path(home, ".cache"), "numba")
    if _VARIABLE in environment or all(map(_can_write, beside)) or _can_write(cache):
        return
    own = temporary / f"headwater-numba-{os.getuid()}"
    try:
        own.mkdir(mode=0o700)
    except FileExistsError:
        found = own.lstat()
        is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not is_ours or found.st_mode & 0o077:
            own = Path(tempfile.mkdtemp(prefix=f"{own.name}-", dir=temporary))
    environment[_VARIABLE] = str(own)


def _can_write(folder: Path) -> bool:
    """Whether a folder is writable or can be created."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
