"""Settings that contradict each other are refused where they are read."""

import pytest

from flows.home.configuration import ConfigurationError, find_stream, load_settings


def written(folder, training):
    path = folder / "headwater.toml"
    path.write_text(f"[training]\n{training}\n")
    return path


@pytest.mark.parametrize("window", ["3d", "1h"])
def test_a_window_no_longer_than_the_slice_that_judges_is_refused(tmp_path, window):
    path = written(tmp_path, f'window = "{window}"\nvalidation = "72h"')
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path)
    assert str(caught.value) == (
        "training.window must be longer than its newest slice, which judges the candidates, "
        f"training.validation = 3d; got {window} in {path}"
    )


@pytest.mark.parametrize(
    "training", ['window = "1h"', 'validation = "365d"', 'window = "4d"\nvalidation = "3d"']
)
def test_a_default_contradicts_nothing(tmp_path, training):
    load_settings(written(tmp_path, training))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import sys; sys.exit(0)", "SystemExit '0'"),
        ("raise type('MuteError', (Exception,), {'__str__': lambda _: 1 / 0})",
         "MuteError 'a message that raises ZeroDivisionError'"),
    ],
)  # fmt: skip
def test_a_module_that_ends_the_process_or_tells_no_message_is_refused_in_a_line(
    tmp_path, monkeypatch, code, told
):
    (tmp_path / "ending.py").write_text(f"\n{code}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        find_stream("ending:stream")
    assert str(caught.value) == (
        f"stream must be importable; got 'ending:stream': {told} in ending.py line 2"
    )


@pytest.mark.parametrize("name", ["models", "state", "flows"])
def test_a_stream_in_a_module_with_the_name_of_a_package_is_told_to_have_another(name):
    with pytest.raises(ConfigurationError, match=f"has a package '{name}', so a module of yours"):
        find_stream(f"{name}:stream")
