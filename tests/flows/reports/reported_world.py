"""A home of the golden trips whose two models have full records and whose events are processed."""

import msgspec

from flows.__main__ import main
from models.refit.certificate import Certificate
from models.refit.fit_record import (
    FitRecord,
    TitleEvidence,
    TrainingFile,
    TrainingWindow,
    TriedCandidate,
)
from models.scorecard import Scorecard
from operators.training.model_registry import ModelRegistry
from state.events import HOUR_US
from state.log import EVENTS
from tests.settled import settle
from tests.trips_world import FIRST_US, World

TOML = """
stream = "tests.golden.trips:stream"
training = { every = "1h" }
metrics = { every = "1h" }
clock = { tolerance = "5m" }
"""


class ReportedWorld(World):
    """A world whose records are as a fit leaves them."""

    def __init__(self, root):
        super().__init__(root)
        for partition in range(2):
            self.go(partition)

    def _publish(self, boundary, model):
        figures = {"rows": 400, "positives": 90, "auc": 0.71, "brier": 0.15, "f1": 0.5}
        record = FitRecord(
            boundary=boundary, status="skipped", reason="too few rows", algorithm="gbm"
        )
        if model:
            record = msgspec.structs.replace(
                record,
                status="promoted",
                reason="log-loss better by .0043 ± .0018 than the champion's",
                model=model,
                sha256=self.files[model],
                rows_sha256=self.rows[model],
                champion="gbm-1" if model == "gbm-2" else "",
                window=TrainingWindow(
                    start=boundary - 2 * HOUR_US, end=boundary, rows=2_000, validation_rows=400,
                    files=[TrainingFile(name="1.parquet", sha256="ab" * 32)],
                ),
                metrics=Scorecard(log_loss=0.41, threshold=0.3, **figures),
                champion_metrics=Scorecard(log_loss=0.4143, threshold=0.3, **figures)
                if model == "gbm-2"
                else None,
                tried=[TriedCandidate(parameters={"ntrees": 9}, trees=9, log_loss=0.41)],
                certificate=Certificate(rows=9, altered_rows=4, max_difference=0.0, ok=True),
            )  # fmt: skip
        self.published.publish(record)

    def decide_title(self, status, boundary, time):
        """Decide on the title of gbm-1 and gbm-2, as if evidence had come until then."""
        winner, loser = ("gbm-2", "gbm-1") if status == "proven" else ("gbm-1", "gbm-2")
        better, worse, gain = (40.0, 0.1, 0.0043) if status == "proven" else (0.1, 40.0, -0.0121)
        log = self.home.log()
        ModelRegistry(log).publish(
            FitRecord(
                boundary=boundary, status=status, reason="by evidence", algorithm="",
                model=winner, champion=loser,
                evidence=TitleEvidence(
                    better=better, worse=worse, labels=812, gain=gain, alpha=0.05,
                    metrics=[1, 1], time=time,
                ),
            )
        )  # fmt: skip
        log.close()


def begun(tmp_path, monkeypatch):
    """A world in the home that commands find."""
    settle(tmp_path, monkeypatch, TOML)
    world = ReportedWorld(tmp_path / "home")
    assert world.log.read(EVENTS, 0, 0)[0].append_time + HOUR_US > FIRST_US
    world.log.close()
    return world


def refused(capsys, *argv):
    """The one line of a command that ends with 2 and prints nothing else."""
    capsys.readouterr()
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line
