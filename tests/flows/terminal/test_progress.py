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


def shown(width, terminal):
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
    progress._shown -= 60
    progress.advance(0, 250_000, DAY_US, LOSSES)
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
