"""Settings that contradict each other are refused where they are read."""

import pytest

from flows.home.configuration import ConfigurationError, load_settings


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
