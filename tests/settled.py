"""A place for a home that commands find."""


def settle(folder, monkeypatch, settings):
    """Go into a folder with these settings, in which `home` is the home, not there yet."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HEADWATER_HOME", str(folder / "home"))
    monkeypatch.delenv("HEADWATER_CONFIG", raising=False)
    (folder / "headwater.toml").write_text(settings)
