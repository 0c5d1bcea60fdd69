"""Sources of model files on other machines: an artifact store, or the log in Kafka."""

from dataclasses import replace

from flows.home.home import Home
from operators.training.model_registry import ModelRegistry
from state.log import Log
from state.settings import Settings
from state.storage.artifact_chunks import ArtifactChunks
from state.storage.artifact_store import Origin
from state.storage.object_store import ObjectStore


def reaching(home: Home, settings: Settings, log: Log) -> Home:
    """Add sources of missing model files to a home: the artifact store, then the log in Kafka."""
    origins: list[Origin] = []
    if settings.artifacts:
        origins.append(ObjectStore(settings.artifacts))
    if settings.log == "kafka":
        origins.append(ArtifactChunks(log))
    return replace(home, origins=tuple(origins))


def published_models(home: Home, settings: Settings, log: Log) -> ModelRegistry:
    """The model registry; with Kafka and without a store, it publishes model files in the log."""
    encloses = settings.log == "kafka" and not settings.artifacts
    return ModelRegistry(log, home.artifacts() if encloses else None)
