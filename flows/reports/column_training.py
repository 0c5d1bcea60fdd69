"""The training window that live columns are compared with, and why some are not compared."""

from typing import NamedTuple

from flows.home.deployment import Deployment
from flows.terminal.time_format import format_time
from models.judging.column_profile import Profile, ProfileError, read_profile
from models.judging.column_reference import is_as_long_as
from state.durations import Duration
from state.settings import Settings
from state.storage.artifact_store import ArtifactError


class TrainingColumns(NamedTuple):
    """The profile of the champion, and a sentence about it.

    Attributes:
        profile: The profile; None: nothing is compared.
        sentence: The window that columns are compared with, or why they are not compared.
    """

    profile: Profile | None
    sentence: str


def training_columns(deployment: Deployment) -> TrainingColumns:
    """Read the profile of the champion."""
    champion = deployment.registry.title()
    if champion is None:
        return TrainingColumns(None, "There is no offline model yet, so no columns are compared.")
    record = deployment.registry.of(champion)
    if not record.profile_sha256:
        said = f"No columns are compared: {champion} was fitted before profiles were kept."
        return TrainingColumns(None, said)
    try:
        profile = read_profile(deployment.home.artifacts().get(record.profile_sha256))
    except (ArtifactError, ProfileError, OSError) as error:
        return TrainingColumns(None, f"The profile of {champion} cannot be read: {error}")
    return TrainingColumns(profile, _sentence(champion, profile, deployment.settings))


def _sentence(champion: str, profile: Profile, settings: Settings) -> str:
    window = (
        f"the training window of {champion}, {format_time(profile.start)} to "
        f"{format_time(profile.end)} UTC, {profile.rows:,} requests"
    )
    season = settings.columns.season
    if is_as_long_as(profile, int(season)):
        return f"Compared with {window}."
    length = Duration(profile.end - profile.start)
    return f"Not compared with {window}: {length} is shorter than columns.season, {season}."
