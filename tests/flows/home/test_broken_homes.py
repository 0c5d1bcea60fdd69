"""A home that cannot be written: one clear line, and once it can be, the same bytes."""

import ctypes
import resource
import shutil

import pytest

from tests.flow_processes import ALONE, Group, fill
from tests.torture import WITHOUT_H2O, compare

RUN = ("-m", "flows", "run")
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """A home that has not been run, and one that was, to its end."""
    fresh = tmp_path_factory.mktemp("homes") / "fresh"
    fill(fresh, WITHOUT_H2O, hours=0.5)
    whole = fresh.with_name("whole")
    shutil.copytree(fresh, whole)
    assert Group(whole).wait(60) == [0]
    return fresh, whole


def obey_permissions():
    """Even root has to, from here on."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)


@pytest.mark.parametrize("words", [RUN, ("-m", "bytewax.run", "flows.main")])
def test_a_read_only_home_is_refused_in_one_line(tmp_path, words):
    home = tmp_path / "home"
    home.mkdir()
    (home / "headwater.toml").write_text('stream = "quotes"\n')
    home.chmod(0o555)
    group = Group(home, ALONE, words, before=obey_permissions)
    codes = group.wait(60)
    home.chmod(0o755)
    assert 0 not in codes
    said = group.output()
    assert said.startswith("headwater: ")
    assert f"Permission denied: '{home}/log'" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("limit_kib", [100, 250])
def test_a_full_disk_ends_the_run_with_one_line_and_once_there_is_room_it_goes_on(
    homes, tmp_path, limit_kib
):
    fresh, whole = homes
    home = tmp_path / "home"
    shutil.copytree(fresh, home)

    def fill_up():
        # No file can grow beyond this: the nearest to a full disk that needs no privilege.
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_kib * 1024,) * 2)

    group = Group(home, ALONE, RUN, before=fill_up)
    assert group.wait(60) == [2]
    said = group.output().splitlines()
    assert said[-1].startswith("headwater: ")
    assert str(home) in said[-1]
    assert "Traceback" not in group.output()

    again = Group(home)
    assert again.wait(60) == [0], again.output()
    compare(whole, home)
