import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from netdiffuse.algorithms import DiffusionBC
from netdiffuse.common import DataFileError, MissingExtraError
from netdiffuse.problems import Problem, make_problem, tables
from netdiffuse.problems.tables import decide_file

PROBLEM = make_problem("power-allocation", channels=3, total_power=3.0)
HEADER = "gain_0,gain_1,gain_2\n"


def decide(contexts):
    return 3 * contexts / contexts.sum(1, keepdim=True).clamp_min(1e-9)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_decisions_keep_the_order_over_many_parts(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(tables, "ROWS", 7)
    gains = np.random.default_rng(0).exponential(size=(40, 3))
    frame = pd.DataFrame(gains, columns=["gain_0", "gain_1", "gain_2"])
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    frame.to_csv(source, index=False) if suffix == ".csv" else frame.to_parquet(source)
    seen = []
    assert decide_file(source, target, PROBLEM, decide, report=lambda *told: seen.append(told)) == 40
    read = pd.read_csv(target) if suffix == ".csv" else pd.read_parquet(target)
    assert list(read) == ["power_0", "power_1", "power_2"]
    np.testing.assert_allclose(read.to_numpy(), decide(torch.as_tensor(gains)).numpy(), rtol=1e-5)
    assert [rows for rows, _ in seen] == [7, 14, 21, 28, 35, 40]
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    if suffix == ".parquet":
        assert fractions[0] == pytest.approx(7 / 40)


def test_the_share_of_a_long_text_that_is_read_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 1000)
    (tmp_path / "in.csv").write_text(HEADER + "1,2,3\n" * 10_000)
    seen = []
    decide_file(tmp_path / "in.csv", tmp_path / "out.csv", PROBLEM, decide, report=lambda *told: seen.append(told))
    assert all(fraction == pytest.approx(rows / 10_000, abs=0.2) for rows, fraction in seen)


def test_columns_are_found_by_name(tmp_path):
    (tmp_path / "in.csv").write_text("gain_2,gain_0,gain_1\n3,1,2\n")
    decide_file(tmp_path / "in.csv", tmp_path / "out.csv", PROBLEM, decide)
    assert pd.read_csv(tmp_path / "out.csv").to_numpy().tolist() == [[0.5, 1.0, 1.5]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: the columns must be gain_0 .. gain_2 (3)"),
        (HEADER, "has a header but no rows"),
        ("1,2,3\n1,2,3\n", "line 1: unknown column '1'"),
        ("gain_0,gain_1\n1,2\n", "line 1: missing column 'gain_2'"),
        ("gain_0,gain_1,gain_2,x\n1,2,3,4\n", "line 1: unknown column 'x'"),
        ("gain_0,gain_0,gain_1,gain_2\n1,2,3,4\n", "line 1: repeated column 'gain_0'"),
        (HEADER + "1,2,3\n1,two,3\n", "line 3, column gain_1: expected a finite number, found 'two'"),
        (HEADER + "1,,3\n", "line 2, column gain_1: expected a finite number, found an empty cell"),
        (HEADER + "1,2\n", "line 2: expected 3 cells, found 2"),
        (HEADER + "1,2,nan\n", "line 2, column gain_2: expected a finite number, found 'nan'"),
        (HEADER + "1,inf,3\n", "line 2, column gain_1: expected a finite number, found 'inf'"),
        (HEADER + "1,2,3\n\n1,2,3\n", "line 3: is empty"),
        (HEADER + "1,2,3\n1,2,-3\n", "line 3, column gain_2"),
        (HEADER + "1,2,3\n1,2,3,4\n", "line 3: expected 3 cells, found 4"),
        (HEADER + '1,2,"\n3"\n1,two,3\n', "line 4, column gain_1: expected a finite number, found 'two'"),
        (HEADER + '1,2,"\n3"\n1,-2,3\n', "line 4, column gain_1"),
        (HEADER + '1,2,"a\nb"\n', r"line 3, column gain_2: expected a finite number, found 'a\nb'"),
        (HEADER + f"1,{'9' * 400},3\n", f"gain_1: expected a finite number, found '{'9' * 40}... (400 characters)'"),
        (f"gain_0,gain_1,gain_2,{'x' * 400}\n", f"unknown column '{'x' * 40}... (400 characters)'"),
    ],
)
def test_mistakes_are_named_by_line_and_column_and_nothing_is_written(tmp_path, text, message):
    (tmp_path / "in.csv").write_text(text)
    with pytest.raises(DataFileError) as error:
        decide_file(tmp_path / "in.csv", tmp_path / "out.csv", PROBLEM, decide)
    assert message in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["in.csv"]


def test_a_late_mistake_leaves_an_old_file_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 2)
    (tmp_path / "in.csv").write_text(HEADER + "1,2,3\n" * 9 + "1,2,x\n")
    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(DataFileError, match="line 11, column gain_2"):
        decide_file(tmp_path / "in.csv", tmp_path / "out.csv", PROBLEM, decide, overwrite=True)
    assert (tmp_path / "out.csv").read_text() == "old"


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("in.csv", "in.csv", "cannot replace their own contexts"),
        ("in.csv", "old.csv", "exists already: choose another --out, or add --overwrite"),
        ("in.csv", "folder.csv", "is a folder: choose another --out$"),
        ("in.csv", "out.txt", "must end in .csv or .parquet"),
        ("none.csv", "out.csv", "there is no such file"),
        ("text.parquet", "out.csv", "is not a Parquet file"),
        ("binary.csv", "out.csv", "not a text file in UTF-8: line 1, byte 1, invalid start byte"),
        ("latin.csv", "out.csv", "not a text file in UTF-8: line 30002, byte 3, invalid start byte"),
    ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path, source, target, message):
    (tmp_path / "in.csv").write_text(HEADER + "1,2,3\n")
    (tmp_path / "old.csv").write_text("old")
    (tmp_path / "text.parquet").write_text("text")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x81")
    (tmp_path / "latin.csv").write_bytes((HEADER + "1,2,3\n" * 30_000).encode() + b"1,\xb2,3\n")
    (tmp_path / "folder.csv").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DataFileError, match=message):
        decide_file(tmp_path / source, tmp_path / target, PROBLEM, decide)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "old.csv").read_text() == "old"


def test_a_folder_is_not_overwritten(tmp_path):
    (tmp_path / "in.csv").write_text(HEADER + "1,2,3\n")
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(DataFileError, match=r"out\.csv is a folder: choose another --out$"):
        decide_file(tmp_path / "in.csv", tmp_path / "out.csv", PROBLEM, decide, overwrite=True)


@pytest.mark.parametrize("suffix", [".CSV", ".Parquet"])
def test_suffixes_may_be_in_capitals(tmp_path, suffix):
    frame = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["gain_0", "gain_1", "gain_2"])
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    frame.to_csv(source, index=False) if suffix == ".CSV" else frame.to_parquet(source)
    assert decide_file(source, target, PROBLEM, decide) == 1
    read = pd.read_csv(target) if suffix == ".CSV" else pd.read_parquet(target)
    assert read.to_numpy().tolist() == [[0.5, 1.0, 1.5]]


def parquet(path: Path, **columns) -> Path:
    frame = pd.DataFrame({f"gain_{i}": [1.0, 2.0, 3.0] for i in range(3)} | columns)
    frame.to_parquet(path)
    return path


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pd.to_datetime(["2024-01-01"] * 3), r"column gain_1: expected numbers, found the type timestamp"),
        ([True, False, True], r"column gain_1: expected numbers, found the type bool"),
        (["1", "2", "3"], r"column gain_1: expected numbers, found the type (large_)?string"),
        ([1.0, 2.0, None], r"in\.parquet, row 3, column gain_1: expected a finite number, found an empty cell"),
        ([1.0, np.inf, 3.0], r"in\.parquet, row 2, column gain_1: expected a finite number, found 'inf'"),
        ([1.0, -2.0, 3.0], r"in\.parquet, row 2, column gain_1 must be"),
    ],
)
def test_mistakes_in_parquet_are_named_by_row_and_column(tmp_path, monkeypatch, values, message):
    monkeypatch.setattr(tables, "ROWS", 2)
    source = parquet(tmp_path / "in.parquet", gain_1=values)
    with pytest.raises(DataFileError, match=message):
        decide_file(source, tmp_path / "out.csv", PROBLEM, decide)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("numbers", [np.array([1, 2, 3]), [Decimal("1"), Decimal("2.5"), Decimal("3")]])
def test_every_kind_of_number_in_parquet_is_read(tmp_path, numbers):
    source = parquet(tmp_path / "in.parquet", gain_1=numbers)
    (contexts,) = tables.read_contexts(source, PROBLEM)
    assert contexts[:, 1].tolist() == [float(number) for number in numbers]


@pytest.mark.parametrize("index", [None, "time", "gain_2"])
def test_an_index_that_pandas_has_written_is_ignored_unless_it_is_a_context(tmp_path, index):
    frame = pd.DataFrame([[1.0, 2.0, 3.0]] * 4, columns=["gain_0", "gain_1", "gain_2"])
    frame = frame.set_index("gain_2") if index == "gain_2" else frame.set_index(pd.Index([9, 5, 7, 1], name=index))
    frame.to_parquet(tmp_path / "in.parquet")
    assert decide_file(tmp_path / "in.parquet", tmp_path / "out.csv", PROBLEM, decide) == 4
    assert pd.read_csv(tmp_path / "out.csv").to_numpy().tolist() == [[0.5, 1.0, 1.5]] * 4


def expert_file(path: Path, problem: Problem, change: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    contexts = problem.sample_contexts(20, torch.Generator().manual_seed(0))
    decisions = problem.reference(contexts)
    assert decisions is not None
    table = pd.DataFrame(
        torch.cat([contexts, decisions], 1).numpy(), columns=problem.context_names + problem.decision_names
    )
    table.loc[7, problem.decision_names[0]] += change
    table.to_csv(path, index=False)
    return contexts, decisions


def test_an_experts_file_is_read_back_and_learned_from(tmp_path: Path) -> None:
    problem = make_problem("power-allocation", channels=3, total_power=3.0)
    contexts, decisions = expert_file(tmp_path / "expert.csv", problem)
    read_contexts_, read_decisions = tables.read_expert(tmp_path / "expert.csv", problem)
    torch.testing.assert_close(read_contexts_, contexts)
    torch.testing.assert_close(read_decisions, decisions)

    model = DiffusionBC("MlpPolicy", problem, dataset=str(tmp_path / "expert.csv"), batch_size=8, seed=0).learn(80)
    model.save(tmp_path / "model.zip")
    again = DiffusionBC.load(tmp_path / "model.zip", env=problem)
    again.learn(16)  # the file is read again
    assert again.dataset == str(tmp_path / "expert.csv")


def test_an_experts_decision_that_is_not_allowed_is_named_by_its_line(tmp_path: Path) -> None:
    problem = make_problem("power-allocation", channels=3, total_power=3.0)
    expert_file(tmp_path / "expert.csv", problem, change=1.0)
    with pytest.raises(DataFileError, match="line 9: the decision is not in"):
        DiffusionBC("MlpPolicy", problem, dataset=str(tmp_path / "expert.csv"))


def test_parquet_out_without_pyarrow_names_the_extra_and_leaves_nothing(tmp_path, monkeypatch):
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)  # how Python marks what cannot be imported
    (tmp_path / "in.csv").write_text(HEADER + "1,2,3\n")
    with pytest.raises(MissingExtraError, match="parquet"):
        decide_file(tmp_path / "in.csv", tmp_path / "new" / "out.parquet", PROBLEM, decide)
    assert [p.name for p in tmp_path.iterdir()] == ["in.csv"]


def test_a_missing_header_is_guessed(tmp_path):
    path = tmp_path / "gains.csv"
    path.write_text("0.1,1,2\n0.2,1,3\n")
    with pytest.raises(DataFileError, match="the first line must be a header"):
        list(tables.read_contexts(path, make_problem("power-allocation", channels=3)))
