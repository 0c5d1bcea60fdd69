"""Model files in a store that all machines reach: S3, GCS, Azure, HDFS, or a shared directory."""

from functools import cached_property

from pyarrow.fs import FileSystem, FileType

from state.artifacts import MAX_ARTIFACT_BYTES, ArtifactError


class ObjectStore:
    """Files named by their sha256 below a prefix of any store that pyarrow reaches.

    Nothing is asked of it before the first use, so what a home has already works without it.

    Args:
        uri: Such as `s3://bucket/prefix?region=eu-central-1` or `file:///mnt/models`; what pyarrow
            takes, see https://arrow.apache.org/docs/python/filesystems.html. Who may enter is the
            store's own business: instance role, profile or environment.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def keep(self, sha256: str, content: bytes) -> None:
        """Keep a file for others; it is there when this returns.

        Raises:
            OSError: The store cannot be reached or written.
        """
        store, root = self._place
        path = f"{root}/{sha256}"
        known = store.get_file_info(path)
        if known.type == FileType.File and known.size == len(content):
            return
        if store.type_name == "local":
            store.create_dir(root)
        with store.open_output_stream(path) as file:
            file.write(content)

    def find(self, sha256: str) -> bytes | None:
        """A file as it came, not verified; None if the store has none of this name.

        Raises:
            ArtifactError: It is larger than any model.
            OSError: The store cannot be reached.
        """
        store, root = self._place
        path = f"{root}/{sha256}"
        known = store.get_file_info(path)
        if known.type != FileType.File:
            return None
        if known.size > MAX_ARTIFACT_BYTES:
            msg = (
                f"artifact must be at most {MAX_ARTIFACT_BYTES} bytes; "
                f"got {known.size} in {self._uri}/{sha256}"
            )
            raise ArtifactError(msg)
        with store.open_input_file(path) as file:
            return bytes(file.read())

    @cached_property
    def _place(self) -> tuple[FileSystem, str]:
        store, root = FileSystem.from_uri(self._uri)
        return store, root.rstrip("/")

    def __str__(self) -> str:
        return self._uri
