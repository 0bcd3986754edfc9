import json
import os
import random

import numpy as np
import pytest
import torch
from scipy import stats

from netdiffuse.common import (
    InvalidValueError,
    MissingExtraError,
    NetdiffuseError,
    UnknownNameError,
    checks,
    mean_interval,
)
from netdiffuse.common.errors import out_of_memory
from netdiffuse.common.files import atomic_path, read_json, write_json, write_text
from netdiffuse.common.seeding import generator, random_state, set_random_state


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (checks.finite, [-1, 0.5, np.float32(2)], [float("nan"), float("inf"), "1", True, None]),
        (checks.positive, [1e-9, 3], [0, -1.0, float("nan")]),
        (checks.non_negative, [0, 3.0], [-1e-9, float("inf")]),
        (checks.fraction, [0, 0.5, 1], [-0.1, 1.1, float("nan")]),
        (checks.integer, [1, np.int64(5)], [0, -3, 1.0, True, "2"]),
    ],
)
def test_checks_pass_the_good_and_name_the_bad(check, good, bad):
    for value in good:
        assert check("size", value) == value
    for value in bad:
        with pytest.raises(InvalidValueError, match=r"^size must be"):
            check("size", value)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (checks.seed, [0, 2**32 - 1, np.int64(3)], [-1, 2**32, 2**70, 1.0, True]),
        (lambda name, value: checks.integer(name, value, maximum=8), [1, 8], [9, 10**5000]),
        (checks.finite, [2**60], [10**400, 10**5000]),
    ],
)
def test_checks_refuse_numbers_beyond_all_use_in_short_words(check, good, bad):
    for value in good:
        assert check("size", value) == value
    for value in bad:
        with pytest.raises(InvalidValueError, match=r"^size must be") as error:
            check("size", value)
        assert len(str(error.value)) < 150


def test_what_is_not_finite_is_found_wherever_it_is():
    for value in (1.0, "nan", None, [1, (2.0, {"a": {3}})], {"a": [10**400]}):
        checks.finite_inside("size", value)
    infinite = float("inf")
    for value in (float("nan"), [1, (infinite,)], {"a": {"b": [infinite]}}, {infinite: 1}, np.float32("nan")):
        with pytest.raises(InvalidValueError, match="size must be finite"):
            checks.finite_inside("size", value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate"), True),
        (RuntimeError("shapes do not fit"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(error, expected):
    assert out_of_memory(error) is expected


def test_capitals_hide_no_name():
    assert "Did you mean 'frugal'?" in str(UnknownNameError("persona", "FRUGAL", ["average", "frugal"]))
    assert "Did you mean 'MlpPolicy'?" in str(UnknownNameError("policy", "mlppolicy", ["MlpPolicy"]))
    assert "Did you mean" not in str(UnknownNameError("persona", "X", ["average", "frugal"]))


def test_errors_say_what_was_meant_and_what_to_install():
    error = UnknownNameError("problem", "power-alocation", ["power-allocation", "other"])
    assert (
        str(error)
        == "unknown problem 'power-alocation'. Did you mean 'power-allocation'? Known: other, power-allocation"
    )
    assert isinstance(error, NetdiffuseError)
    assert isinstance(error, ValueError)
    assert "pip install 'netdiffuse[parquet]'" in str(MissingExtraError("reading Parquet", "parquet"))


def test_interval_is_student_t():
    values = [1.0, 2.5, 4.0, 3.0]
    low, high = stats.t.interval(0.9, 3, loc=np.mean(values), scale=stats.sem(values))
    interval = mean_interval(values, 0.9)
    assert (interval.mean - interval.half_width, interval.mean + interval.half_width) == pytest.approx((low, high))
    assert np.isnan(mean_interval([2.0]).half_width)
    assert str(mean_interval([2.0])) == "2.00"
    with pytest.raises(InvalidValueError, match="non-empty"):
        mean_interval([])


def test_files_are_whole_or_as_before(tmp_path):
    path = tmp_path / "new" / "a.json"
    write_json(path, {"x": 1})
    assert read_json(path) == {"x": 1}
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask

    with pytest.raises(ValueError):
        write_json(path, {"x": float("nan")})

    def fail():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert json.loads(path.read_text()) == {"x": 1}
    write_text(path, "[]")
    assert read_json(path) == []
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_a_failure_removes_the_folders_made_for_the_file_alone(tmp_path):
    (tmp_path / "old").mkdir()
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "old" / "a" / "b" / "file"):
        raise RuntimeError
    assert list(tmp_path.rglob("*")) == [tmp_path / "old"]


def test_random_states_come_back():
    def draw():
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    state = random_state()
    first = draw()
    assert draw() != first
    set_random_state(state)
    assert draw() == first
    assert torch.equal(torch.rand(3, generator=generator(4)), torch.rand(3, generator=generator(4)))
