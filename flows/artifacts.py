"""How model files travel between machines: by a store, or in the log."""

from dataclasses import replace

from flows.home import Home
from operators.decisions import PublishedModels
from state.artifact_chunks import ArtifactChunks
from state.artifacts import Origin
from state.log import Log
from state.object_store import ObjectStore
from state.settings import Settings


def reaching(home: Home, settings: Settings, log: Log) -> Home:
    """The home; model files that it lacks come from the store, else from the log in Kafka."""
    origins: list[Origin] = []
    if settings.artifacts:
        origins.append(ObjectStore(settings.artifacts))
    if settings.log == "kafka":
        origins.append(ArtifactChunks(log))
    return replace(home, origins=tuple(origins))


def published_models(home: Home, settings: Settings, log: Log) -> PublishedModels:
    """What training has decided; without a store, model files go with it through Kafka."""
    encloses = settings.log == "kafka" and not settings.artifacts
    return PublishedModels(log, home.artifacts() if encloses else None)
