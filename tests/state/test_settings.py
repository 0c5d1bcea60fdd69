"""Settings are refused with the path of what is wrong, and have defaults for everything else."""

import pytest

from state.durations import Duration
from state.settings import Settings, changed, deciding, differences, recorded, settings_from

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
        ({"decision": {"threshold": 0}}, r"> 0.* - at `\$.decision.threshold`"),
        ({"decision": {"threshold": 1.0}}, r"< 1.* - at `\$.decision.threshold`"),
        ({"online": {"river": 5}}, r"Expected `object`, got `int` - at `\$.online.river\[0\]`"),
        ({"online": {"rate": 0.1}}, r"^online.rate no longer exists: remove it"),
        ({"residual": {"rate": 0.1}}, r"^residual.rate no longer exists: remove it"),
        ({"ensemble": {"rate": 0.1}}, r"^ensemble.rate no longer exists: remove it"),
        ({"ensemble": {"models": ["online"]}}, r"^ensemble.models no longer exists"),
        ({"ensemble": {"speed": 1}}, r"unknown field `ensemble`"),
        ({"decision": {"false_negative": -1}}, r">= 0.* - at `\$.decision.false_negative`"),
        ({"partitions": 0}, r">= 1 - at `\$.partitions`"),
        ({"reading": {"in_flight": -5}}, r">= 1 - at `\$.reading.in_flight`"),
        ({"alerts": {"auk": {"below": 0.7}}}, r"Invalid enum value 'auk' - at .* in `\$.alerts"),
        ({"alerts": {"auc": {}}}, r"`below` or `above`; got neither - at `\$.alerts"),
        ({"alerts": {"auc": {"below": 0.7, "above": 0.9}}}, r"got both - at `\$.alerts"),
        ({"alerts": {"auc": {"below": 7}}}, r"must be from 0 to 1; got 7 in alerts.auc"),
        ({"alerts": {"log_loss": {"above": -1}}}, r"from 0 to 50; got -1 in alerts.log_loss"),
        ({"alerts": {"auc": {"below": 0.7, "window": "0s"}}}, "must be positive; got '0s'"),
        ({"alerts": {"auc": {"bellow": 0.7}}}, "unknown field `bellow`"),
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


def test_a_change_replaces_what_it_names_and_leaves_the_rest():
    settings = settings_from(
        {"training": {"every": "90m", "seed": 4}, "decision": {"threshold": 0.2}}
    )
    new = changed(settings, {"training": {"every": "2h"}, "follow": True})
    assert (new.training.every, new.training.seed, new.decision.threshold) == (2 * H, 4, 0.2)
    assert differences(settings, new) == {"training.every": "2h", "follow": True}


def test_a_table_within_a_table_is_replaced_whole():
    old = settings_from({"online": {"river": {"class": "a.B", "x": 1}}})
    new = changed(old, {"online": {"river": {"class": "c.D"}}})
    assert new.online.river == ({"class": "c.D"},)


@pytest.mark.parametrize("text", ["1ms", "90m", "7d", "0.25s", "1.5h"])
def test_settings_survive_being_changed_in_nothing(text):
    settings = settings_from({"training": {"every": text}, "online": {"river": [{"class": "a.B"}]}})
    assert changed(settings, {}) == settings
    assert differences(settings, changed(settings, {})) == {}


LINES = settings_from({"alerts": {"auc": {"below": 0.7}, "ece": {"above": 0.1, "window": "7d"}}})


def test_lines_of_metrics_are_journaled_as_a_whole_and_only_if_there_are_any():
    assert not any(key.startswith("alerts") for key in deciding(Settings()))
    journaled = {"auc": {"below": 0.7, "window": "1d"}, "ece": {"above": 0.1, "window": "7d"}}
    assert deciding(LINES)["alerts"] == journaled
    other = settings_from({"alerts": {"f1": {"below": 0.5}}})
    for today in (Settings(), LINES, other):
        assert recorded(today, deciding(LINES)).alerts == LINES.alerts
        assert recorded(today, deciding(Settings())).alerts == {}


def test_a_search_is_journaled_only_if_it_is_another_than_earlier_versions_had():
    by_tpe = settings_from({"training": {"search": "tpe"}})
    assert "training.search" not in deciding(Settings())
    assert deciding(by_tpe)["training.search"] == "tpe"
    for today in (Settings(), by_tpe):
        assert recorded(today, deciding(Settings())).training.search == "grid"
        assert recorded(today, deciding(by_tpe)).training.search == "tpe"


def test_a_line_that_is_added_or_removed_is_a_difference():
    assert differences(Settings(), LINES) == {"alerts": deciding(LINES)["alerts"]}
    assert differences(LINES, Settings()) == {"alerts": {}}
    stricter = changed(LINES, {"alerts": {"auc": {"below": 0.8}}})
    assert stricter.alerts["auc"].below == 0.8
    assert stricter.alerts["ece"] == LINES.alerts["ece"]
