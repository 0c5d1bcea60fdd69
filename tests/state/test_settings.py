"""Settings are refused with the path of what is wrong, and have defaults for everything else."""

import pytest

from state.durations import Duration
from state.settings import Settings, settings_from

H = 3_600_000_000


def test_nothing_set_is_the_defaults():
    settings = settings_from({})
    assert settings == Settings()
    assert (settings.stream, settings.training.every, settings.training.wait) == (
        "flights",
        7 * 24 * H,
        True,
    )


def test_what_is_set_is_taken_and_the_rest_is_left():
    settings = settings_from({"training": {"every": "90m", "models": 3}, "follow": True})
    assert (settings.training.every, settings.training.models, settings.follow) == (
        1.5 * H,
        3,
        True,
    )
    assert settings.training.window == Settings().training.window


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"strem": "flights"}, "unknown field `strem`"),
        ({"training": {"evry": "1d"}}, r"unknown field `evry` - at `\$.training`"),
        ({"training": {"every": "7 days"}}, r"got '7 days' - at `\$.training.every`"),
        ({"training": {"every": "0s"}}, r"must be positive; got '0s' - at `\$.training.every`"),
        ({"training": {"every": 7}}, r"duration such as '7d'; got 7 - at `\$.training.every`"),
        ({"training": {"models": 0}}, r">= 1 - at `\$.training.models`"),
        ({"training": {"wait": "yes"}}, r"Expected `bool`, got `str` - at `\$.training.wait`"),
        ({"training": {"trainer": "cloud"}}, r"'cloud' - at `\$.training.trainer`"),
        ({"training": {"seed": -1}}, r">= 0 - at `\$.training.seed`"),
        ({"online": {"rate": 0}}, r"> 0.* - at `\$.online.rate`"),
        ({"decision": {"threshold": 1.0}}, r"< 1.* - at `\$.decision.threshold`"),
        ({"partitions": 0}, r">= 1 - at `\$.partitions`"),
        ({"reading": {"in_flight": -5}}, r">= 1 - at `\$.reading.in_flight`"),
        ({"clock": []}, r"Expected `object`, got `array` - at `\$.clock`"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(document, message):
    with pytest.raises(ValueError, match=message):
        settings_from(document)


@pytest.mark.parametrize(
    "text", ["", "7", "d", "-1d", "1w", "1 d", "1d2h", "\u0661d", "1e3s", "infs"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration must be a number and a unit"):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("text", "us"), [("5ms", 5_000), ("0.5s", 500_000), ("1.5h", 1.5 * H), ("30d", 720 * H)]
)
def test_a_duration_is_microseconds(text, us):
    assert Duration.parse(text) == us
    assert Duration.parse(str(Duration.parse(text))) == us
