"""The progress of a running flow fits the terminal."""

import io
import re

import pytest
from rich.console import Console

from flows.terminal.progress import RunProgress
from state.outputs.records import Losses

DAY_US = 1_358_208_000_000_000  # 2013-01-15 00:00 UTC
LOSSES = {
    name: Losses(10, loss, 0.1)
    for name, loss in (("ensemble", 0.3524), ("online", 0.41), ("offline", 0.4), ("residual", 0.39))
}


def shown(width, terminal, steps=((0, LOSSES),)):
    """The last line that is shown of a run that has read a quarter of its records."""
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        force_terminal=terminal,
        force_interactive=terminal,
        color_system=None,
    )
    progress = RunProgress(console, 1_000_000)
    for partition, losses in steps[:-1]:
        progress.advance(partition, 0, DAY_US, losses)
    progress._shown -= 60
    partition, losses = steps[-1]
    progress.advance(partition, 250_000, DAY_US, losses)
    progress._bar.refresh()
    text = file.getvalue()
    progress.close()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return [line for line in re.split(r"[\r\n]+", plain) if line.strip()][-1]


@pytest.mark.parametrize("width", [80, 100])
def test_in_a_narrow_terminal_the_bar_shows_time_share_speed_and_the_ensemble(width):
    line = shown(width, terminal=True)
    assert "…" not in line
    assert re.search(
        r"2013-01-15 00:00 \S+ +25% +4,\d{3}/s  log-loss ensemble \.352 -:--:--$", line.strip()
    )


def test_in_a_wide_terminal_it_shows_all_models():
    line = shown(140, terminal=True)
    assert "…" not in line
    assert "ensemble .352  online .410  offline .400  residual .390" in line


def test_without_a_terminal_a_line_says_all():
    line = shown(80, terminal=False)
    assert re.fullmatch(
        r"2013-01-15 00:00    250,000 of 1,000,000 records    4,\d{3}/s  "
        r"log-loss ensemble \.352  online \.410  offline \.400  residual \.390",
        line,
    )


def told(**models):
    """Counts and sums of log-loss, as a shard has them since its first record."""
    return {name: Losses(n, total / n, 0.1) for name, (n, total) in models.items()}


def test_models_are_compared_over_the_same_requests():
    before = told(online=(100, 50.0), ensemble=(100, 48.0))
    beside = told(online=(110, 54.0), ensemble=(110, 52.0), offline=(4, 1.0))
    after = told(online=(130, 66.0), ensemble=(130, 60.0), offline=(24, 8.0))
    # Of the ten labels in between six were of requests without the offline model; of the twenty
    # since then none: 12, 8 and 7 lost.
    steps = ((0, before), (0, beside), (0, after))
    assert shown(140, terminal=False, steps=steps).endswith(
        "log-loss online .600  ensemble .400  offline .350"
    )


def test_partitions_count_by_their_labels():
    steps = ((0, told(online=(10, 2.0))), (1, told(online=(30, 12.0))), (0, told(online=(20, 4.0))))
    assert shown(140, terminal=False, steps=steps).endswith("log-loss online .320")


def test_a_partition_without_the_new_model_does_not_count_beside_one_with_it():
    both = told(online=(10, 5.0), offline=(10, 4.0))
    steps = ((0, told(online=(90, 9.0))), (1, both), (0, told(online=(190, 19.0))))
    assert shown(140, terminal=False, steps=steps).endswith("log-loss online .500  offline .400")


def test_a_model_that_begins_leaves_the_figures_until_it_has_a_label():
    alone = {"online": Losses(10, 0.41, 0.1)}
    joined = alone | {"offline": Losses(0, 0.0, 0.0)}
    line = shown(140, terminal=False, steps=((0, alone), (0, joined)))
    assert line.endswith("log-loss online .410")
    both = {"online": Losses(12, 0.4, 0.1), "offline": Losses(2, 0.3, 0.1)}
    line = shown(140, terminal=False, steps=((0, alone), (0, joined), (0, both)))
    assert line.endswith("log-loss online .350  offline .300")  # (12 x .40 - 10 x .41) / 2
