"""Files in a store shared by all machines: S3, GCS, Azure, HDFS, or a shared directory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from functools import cached_property
from pathlib import Path

from pyarrow import ArrowException
from pyarrow.fs import FileSelector, FileSystem, FileType

from state.atomic_write import write_atomically
from state.storage.artifact_store import MAX_ARTIFACT_BYTES, ArtifactError


class ObjectStore:
    """Files below a prefix of a store that pyarrow supports.

    It connects at the first use, so files that the home has are available without the store.

    Args:
        uri: Address such as `s3://bucket/prefix?region=eu-central-1` or `file:///mnt/models`, in
            pyarrow's syntax: https://arrow.apache.org/docs/python/filesystems.html. Credentials
            come from the store's own sources: instance role, profile or environment.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def write(self, name: str, content: bytes) -> None:
        """Write a file, replacing one of that name; it is complete when this returns.

        Raises:
            OSError: The store cannot be reached or written.
        """
        store, root = self._place
        path = f"{root}/{name}"
        if store.type_name == "local":
            write_atomically(Path(path), content)
            return
        with _told(), store.open_output_stream(path) as file:
            file.write(content)

    def read(self, name: str, most: int = MAX_ARTIFACT_BYTES) -> bytes | None:
        """Return a file, not verified; None if it does not exist.

        Args:
            name: Name below the prefix.
            most: Bytes to read; the rest of a larger file is left out.

        Raises:
            OSError: The store cannot be reached.
        """
        store, root = self._place
        try:
            with _told(), store.open_input_file(f"{root}/{name}") as file:
                return bytes(file.read(min(file.size(), most)))
        except OSError:
            if self._size(name) is None:
                return None
            raise

    def sizes(self, folder: str) -> dict[str, int]:
        """Sizes in bytes of the files of a folder, by name; empty if the folder does not exist.

        Raises:
            OSError: The store cannot be reached.
        """
        store, root = self._place
        with _told():
            found = store.get_file_info(FileSelector(f"{root}/{folder}", allow_not_found=True))
        return {one.base_name: one.size for one in found if one.type == FileType.File}

    def remove(self, name: str) -> None:
        """Delete a file, if it exists.

        Raises:
            OSError: The store cannot be reached or written.
        """
        store, root = self._place
        with _told(), suppress(FileNotFoundError):
            store.delete_file(f"{root}/{name}")

    def check(self) -> None:
        """Check that the store exists and is writable; nothing is written.

        Raises:
            OSError: It is not, or it cannot be reached.
        """
        store, root = self._place
        if store.type_name == "local":
            there = next(path for path in (Path(root), *Path(root).parents) if path.exists())
            known = there.is_dir() and os.access(there, os.W_OK)
        else:
            with _told():
                bucket = store.get_file_info(root.partition("/")[0] or "/")
            known = bucket.type != FileType.NotFound
        if not known:
            msg = f"store must exist and be writable; got none at {self}"
            raise OSError(msg)

    def keep(self, sha256: str, content: bytes) -> None:
        """See `Origin.keep`; a file that exists with this size is not written again.

        Raises:
            OSError: The store cannot be reached or written.
        """
        if self._size(sha256) != len(content):
            self.write(sha256, content)

    def find(self, sha256: str) -> bytes | None:
        """See `Origin.find`.

        Raises:
            ArtifactError: It is larger than `MAX_ARTIFACT_BYTES`.
            OSError: The store cannot be reached.
        """
        size = self._size(sha256)
        if size is not None and size > MAX_ARTIFACT_BYTES:
            msg = (
                f"artifact must be at most {MAX_ARTIFACT_BYTES} bytes; "
                f"got {size} in {self}/{sha256}"
            )
            raise ArtifactError(msg)
        return self.read(sha256)

    def _size(self, name: str) -> int | None:
        """Size of a file in bytes; None if it does not exist."""
        store, root = self._place
        with _told():
            known = store.get_file_info(f"{root}/{name}")
        return known.size if known.type == FileType.File else None

    @cached_property
    def _place(self) -> tuple[FileSystem, str]:
        with _told():
            store, root = FileSystem.from_uri(self._uri)
        if store.type_name == "s3":
            # A copy gives up on an unresponsive server after 10 s instead of 100.
            store = copy(store)
        return store, root.rstrip("/")

    def __str__(self) -> str:
        return self._uri.partition("?")[0]


@contextmanager
def _told() -> Iterator[None]:
    """Turn pyarrow's own errors into OSErrors."""
    try:
        yield
    except ArrowException as error:
        msg = f"store must be one that pyarrow supports; got '{error}'"
        raise OSError(msg) from error
