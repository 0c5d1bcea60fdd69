"""How model files travel between machines: by a store, or in the log."""

from dataclasses import replace

from flows.home.home import Home
from operators.training.model_registry import ModelRegistry
from state.log import Log
from state.settings import Settings
from state.storage.artifact_chunks import ArtifactChunks
from state.storage.artifact_store import Origin
from state.storage.object_store import ObjectStore


def reaching(home: Home, settings: Settings, log: Log) -> Home:
    """The home; model files that it lacks come from the store, else from the log in Kafka."""
    origins: list[Origin] = []
    if settings.artifacts:
        origins.append(ObjectStore(settings.artifacts))
    if settings.log == "kafka":
        origins.append(ArtifactChunks(log))
    return replace(home, origins=tuple(origins))


def published_models(home: Home, settings: Settings, log: Log) -> ModelRegistry:
    """What training has decided; without a store, model files go with it through Kafka."""
    encloses = settings.log == "kafka" and not settings.artifacts
    return ModelRegistry(log, home.artifacts() if encloses else None)
