import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from netdiffuse.common import InvalidValueError
from netdiffuse.common.files import Holder, check_entries, claim_unused, holder, locked, new_folder, unused


@pytest.mark.parametrize(
    ("value", "message"),
    [([], "an object, got list"), ({"b": 1.0}, "no 'a'"), ({"a": 1, "b": "1"}, "'b' has the wrong type: str")],
)
def test_objects_of_files_have_the_entries_that_are_needed(value, message):
    types = {"a": int, "b": (int, float)}
    assert check_entries({"a": 1, "b": 2, "c": None}, types) == {"a": 1, "b": 2, "c": None}
    with pytest.raises(InvalidValueError, match=message):
        check_entries(value, types)


@pytest.mark.skipif(sys.platform == "win32", reason="has no flock")
def test_a_lock_is_held_by_one_alone_and_let_go(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "lock"), pytest.raises(BlockingIOError), locked(tmp_path / "lock"):
            pass


def test_who_holds_a_lock(tmp_path):
    path = tmp_path / "lock"
    assert holder(path) is None
    with locked(path):
        found = holder(path)
        assert found.is_here
        assert found.pid == os.getpid()
    assert holder(path) is None
    assert path.read_text() != ""  # what it says is believed only while it is held


def test_a_lock_that_does_not_say_by_whom(tmp_path):
    path = tmp_path / "lock"
    with locked(path):
        path.write_text("")
        assert holder(path) == Holder(None, None)
        assert not holder(path).is_here


def test_a_name_that_is_taken_gets_a_number(tmp_path):
    assert unused(tmp_path / "picture.png") == tmp_path / "picture.png"
    for name in ("picture.png", "picture-2.png"):
        (tmp_path / name).touch()
    assert unused(tmp_path / "picture.png") == tmp_path / "picture-3.png"


def test_results_go_to_a_new_folder(tmp_path):
    (tmp_path / "usual").mkdir()
    assert new_folder(None, tmp_path / "usual") == tmp_path / "usual-2"
    assert new_folder(tmp_path / "usual", tmp_path / "other") == tmp_path / "usual"  # there, but empty
    (tmp_path / "usual" / "precious").touch()
    with pytest.raises(InvalidValueError, match="usual already exists and is not empty: choose another --out"):
        new_folder(tmp_path / "usual", tmp_path / "other")


def test_names_are_claimed_once_however_many_ask_at_the_same_time(tmp_path):
    with ThreadPoolExecutor(8) as many:
        found = list(many.map(lambda _: claim_unused(tmp_path / "picture.png"), range(24)))
    assert len(set(found)) == 24
    assert {path.name for path in found} == {"picture.png"} | {f"picture-{n}.png" for n in range(2, 25)}
