"""One real H2O for all tests that fit."""

from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO

import h2o
import pytest

from models.h2o_server import H2OServer


@pytest.fixture(scope="session")
def h2o_server() -> Iterator[H2OServer]:
    """A running H2O; the `h2o` package's own functions are connected to it too."""
    with H2OServer(memory="1g", threads=2) as server:
        with redirect_stdout(StringIO()):  # it tells the age of its release
            connection = h2o.connect(url=server.url, verbose=False)
        # The client would ask in a way that ends H2O in one start of six (see H2OServer).
        connection._session_id = server.request("GET /3/InitID")["session_key"]
        h2o.no_progress()
        yield server
        h2o.connection().close()
