"""A place for a home that commands find, and the events that it holds."""

import json


def settle(folder, monkeypatch, settings):
    """Go into a folder with these settings, in which `home` is the home, not there yet."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HEADWATER_HOME", str(folder / "home"))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    (folder / "headwater.toml").write_text(settings)


def events_of(home):
    """The first thousand events of a home's only partition."""
    log = home.log()
    found = [json.loads(one.value) for one in log.read("events", 0, 0, max_records=1_000)]
    log.close()
    return found
