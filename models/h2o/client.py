"""H2O's own client for Python; loading it takes a second, so only those who need H2O do."""

import io
import warnings
from contextlib import redirect_stdout
from typing import Any

from h2o.backend import H2OConnection
from h2o.exceptions import H2OConnectionError, H2OResponseError, H2OServerError

from models.h2o.errors import H2OFailed, H2OLost


class Client:
    """A connection to a running H2O.

    Args:
        url: Address of H2O.

    Attributes:
        version: Release of that H2O.

    Raises:
        H2OLost: H2O does not answer.
        H2OFailed: It is no H2O.
    """

    def __init__(self, url: str) -> None:
        # The client prints its release's age, and warns of proxies, which loopback never uses.
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._connection: Any = H2OConnection.open(url=url, verbose=False)
            except H2OConnectionError as error:
                raise H2OLost(str(error)) from error
            except H2OServerError as error:
                raise H2OFailed(str(error)) from error
        self.version: str = self._connection.cluster.version
        self.close = self._connection.close

    def request(self, endpoint: str, **arguments: Any) -> Any:
        """Send a request, and return the answer.

        Args:
            endpoint: Method and path, such as `GET /3/Frames`.
            arguments: As the client takes them: `data`, `json`, `filename`, `save_to`.

        Raises:
            H2OLost: H2O does not answer.
            H2OFailed: H2O answers with an error.
        """
        try:
            return self._connection.request(endpoint, **arguments)
        except H2OConnectionError as error:
            raise H2OLost(str(error)) from error
        except (H2OResponseError, H2OServerError) as error:
            answer = error.args[0]
            msg = f"H2O must accept {endpoint}; got {str(getattr(answer, 'msg', answer))[:1000]}"
            raise H2OFailed(msg) from None  # the client's own text has pages of parameters
