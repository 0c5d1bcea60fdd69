"""Read and write a Grafana by its HTTP interface."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException
from niquests.exceptions import RequestException

from flows.errors.user_errors import CommandError
from flows.watch.grafana_objects import UID, Kind, Wanted
from flows.watch.http_address import check_token, parts_of

_NOT_FOUND = 404
_ANSWERS_WITHIN_S = 20.0


class GrafanaServer:
    """A Grafana.

    Args:
        url: Address of Grafana.
        token: Token of a service account with the role Admin.

    Raises:
        CommandError: The address is not one of HTTP, or no header can hold the token.
    """

    def __init__(self, url: str, token: str) -> None:
        parts_of(url, "--url", "http://127.0.0.1:3000", "GRAFANA_TOKEN")
        check_token(token, "GRAFANA_TOKEN")
        self._url = url
        self._api = GrafanaApi.from_url(url, credential=token, timeout=_ANSWERS_WITHIN_S)
        provisioning = self._api.alertingprovisioning
        self._finders: dict[Kind, Callable[[str], Any]] = {
            "folder": self._api.folder.get_folder,
            "data source": self._api.datasource.get_datasource_by_uid,
            "dashboard": self._dashboard,
            "contact point": self._contact_point,
            "alert rule": provisioning.get_alertrule,
        }

    def find(self, kind: Kind, uid: str) -> dict[str, Any] | None:
        """An object; None: there is none.

        Raises:
            CommandError: Grafana does not answer, or refuses.
        """
        with self._asking(f"show its {kind} {uid!r}"):
            try:
                found = msgspec.convert(self._finders[kind](uid), dict[str, Any] | None)
            except GrafanaClientError as error:
                if error.status_code != _NOT_FOUND:
                    raise
                return None
            return found

    def put(self, one: Wanted, found: dict[str, Any] | None) -> None:
        """Create or change an object; its other fields stay.

        Args:
            one: The object as it should be.
            found: The object as it is; None: there is none.

        Raises:
            CommandError: Grafana does not answer, or refuses.
        """
        api, provisioning = self._api, self._api.alertingprovisioning
        with self._asking(f"take the {one.kind} {one.title!r}"):
            match one.kind, found:
                case "folder", None:
                    api.folder.create_folder(one.title, one.uid)
                case "folder", _:
                    api.folder.update_folder(one.uid, one.title, overwrite=True)
                case "data source", None:
                    api.datasource.create_datasource(one.content)
                case "data source", dict(there):
                    api.datasource.update_datasource_by_uid(one.uid, there | one.content)
                case "dashboard", _:
                    # Grafana keeps the versions before, so that a change by hand is not lost.
                    message = "headwater dashboards apply"
                    api.dashboard.update_dashboard({
                        "dashboard": one.content, "folderUid": UID, "overwrite": True,
                        "message": message,
                    })  # fmt: skip
                case "contact point", None:
                    provisioning.create_contactpoint(one.content, disable_provenance=True)
                case "contact point", _:
                    provisioning.update_contactpoint(one.uid, one.content, disable_provenance=True)
                case "alert rule", None:
                    provisioning.create_alertrule(one.content, disable_provenance=True)
                case "alert rule", dict(there):
                    provisioning.update_alertrule(
                        one.uid, there | one.content, disable_provenance=True
                    )

    def _dashboard(self, uid: str) -> dict[str, Any]:
        return msgspec.convert(self._api.dashboard.get_dashboard(uid), _Found).dashboard

    def _contact_point(self, uid: str) -> dict[str, Any] | None:
        answer = self._api.alertingprovisioning.get_contactpoints()
        points = msgspec.convert(answer, list[dict[str, Any]])
        return next((point for point in points if point.get("uid") == uid), None)

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except GrafanaException as error:
            msg = f"Grafana at {self._url} must {what}; got {_told(error)}"
            raise CommandError(msg) from error
        except RequestException as error:
            msg = f"Grafana must answer at {self._url}; got none when it was to {what}"
            raise CommandError(msg) from error
        except (msgspec.ValidationError, RecursionError) as error:
            msg = f"Grafana must answer at {self._url}; got '{error}': is that its address?"
            raise CommandError(msg) from error


class _Found(msgspec.Struct):
    """The field of Grafana's answer that is needed."""

    dashboard: dict[str, Any]


def _told(error: GrafanaException) -> str:
    if error.status_code in {401, 403}:
        return f"{error.status_code}: GRAFANA_TOKEN must be the token of an Admin"
    return " ".join(str(error.message)[:300].split()) or f"status {error.status_code}"
