"""Files of contexts and decisions, CSV or Parquet, in parts; every mistake is named by its place."""

import csv
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from netdiffuse.common import DataFileError, InvalidValueError, MissingExtraError
from netdiffuse.common.files import atomic_path
from netdiffuse.problems.base import Problem

ROWS = 8192  # in a part
SUFFIXES = (".csv", ".parquet")


def decide_file(
    source: Path,
    target: Path,
    problem: Problem,
    decide: Callable[[Tensor], Tensor],
    *,
    overwrite: bool = False,
    report: Callable[[int], None] | None = None,
) -> int:
    """Decide for every context of a file, and write the decisions in the same order, whole or not at all.

    Args:
        source: a header with the problem's `context_names` (in any order) and a context a row.
        target: gets a header with `decision_names` and a decision a row, in physical units.
        problem: names, shapes and ranges.
        decide: contexts to decisions.
        overwrite: whether `target` may exist.
        report: called with the number of rows decided so far.

    Returns:
        The number of rows.

    Raises:
        DataFileError: a file that cannot be used; the message names the line and the column.
        MissingExtraError: a Parquet file, without pyarrow.
    """
    for path in (source, target):
        if path.suffix not in SUFFIXES:
            raise DataFileError(f"{path}: the name must end in {' or '.join(SUFFIXES)}")
    if not source.is_file():
        raise DataFileError(f"{source}: there is no such file")
    if target.exists() and target.resolve() == source.resolve():
        raise DataFileError(f"{target}: decisions cannot replace their own contexts")
    if target.is_dir() or (target.exists() and not overwrite):
        raise DataFileError(f"{target} exists already: choose another --out, or add --overwrite")
    done = 0
    with atomic_path(target) as temporary, _writer(temporary, problem.decision_names) as write:
        for contexts in read_contexts(source, problem):
            decisions = decide(contexts).reshape(len(contexts), -1)
            write(pd.DataFrame(decisions.numpy(), columns=problem.decision_names))
            done += len(contexts)
            if report is not None:
                report(done)
        if done == 0:
            raise DataFileError(f"{source} has a header but no rows")
    return done


def read_contexts(path: Path, problem: Problem) -> Iterator[Tensor]:
    """Read contexts in parts, each of shape (n, *context_shape).

    Raises:
        DataFileError: a bad header, or a bad entry, named by its line and column.
    """
    for first, numbers in _numbers(path, problem.context_names):
        contexts = torch.as_tensor(numbers, dtype=torch.float32).reshape(-1, *problem.context_shape)
        yield _in_range(path, first, contexts, problem)


def read_expert(path: Path, problem: Problem) -> tuple[Tensor, Tensor]:
    """Read an expert's data: a header with `context_names` and `decision_names`, a context and its decision a row.

    Returns:
        Contexts, shape (n, *context_shape), and decisions, shape (n, *decision_shape), in physical units.

    Raises:
        DataFileError: a bad header or entry, or a decision that is not allowed, named by its line.
    """
    if path.suffix not in SUFFIXES:
        raise DataFileError(f"{path}: the name must end in {' or '.join(SUFFIXES)}")
    if not path.is_file():
        raise DataFileError(f"{path}: there is no such file")
    entries = len(problem.context_names)
    contexts, decisions = [], []
    for first, numbers in _numbers(path, [*problem.context_names, *problem.decision_names]):
        values = torch.as_tensor(numbers, dtype=torch.float32)
        contexts.append(_in_range(path, first, values[:, :entries].reshape(-1, *problem.context_shape), problem))
        taken = values[:, entries:].reshape(-1, *problem.decision_shape)
        refused = (~problem.feasible.contains(taken, tolerance=1e-3)).nonzero()
        if len(refused):
            raise DataFileError(f"{path}, line {first + int(refused[0])}: the decision is not in {problem.feasible!r}")
        decisions.append(taken)
    if not contexts:
        raise DataFileError(f"{path} has a header but no rows")
    return torch.cat(contexts), torch.cat(decisions)


def _numbers(path: Path, names: list[str]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Read the named columns in parts: the line of the first row (the header is line 1), and finite numbers."""
    first = 2
    for part in _parts(path, names):
        numbers = part[names].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64, copy=True)
        bad = np.argwhere(~np.isfinite(numbers))
        if len(bad):
            row, column = bad[0]
            value: Any = part[names].iat[row, column]
            found = "an empty cell" if pd.isna(value) or not str(value).strip() else f"'{value}'"
            raise DataFileError(
                f"{path}, line {first + row}, column {names[column]}: expected a finite number, found {found}"
            )
        yield first, numbers
        first += len(part)


def _in_range(path: Path, first: int, contexts: Tensor, problem: Problem) -> Tensor:
    try:
        return problem.check_contexts(contexts)
    except InvalidValueError:
        for row in range(len(contexts)):
            try:
                problem.check_contexts(contexts[row : row + 1])
            except InvalidValueError as error:
                reason = str(error).removeprefix("row 0, ")
                raise DataFileError(f"{path}, line {first + row}, column {reason}") from error
        raise


def _parts(path: Path, names: Sequence[str]) -> Iterator[pd.DataFrame]:
    if path.suffix == ".parquet":
        parquet = _parquet(path)
        try:
            file = parquet.ParquetFile(path)
        except (OSError, ValueError) as error:
            raise DataFileError(f"{path} is not a Parquet file: {error}") from error
        _check_header(path, file.schema_arrow.names, names)
        for batch in file.iter_batches(ROWS):
            yield batch.to_pandas()
        return
    try:
        with open(path, newline="", encoding="utf-8-sig") as text:
            reader = csv.reader(text)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header, names)
            while rows := list(itertools.islice(_rows(path, reader, len(header)), ROWS)):
                yield pd.DataFrame(rows, columns=header)
    except UnicodeDecodeError as error:
        raise DataFileError(f"{path} is not a text file in UTF-8: {error.reason}") from error
    except csv.Error as error:
        raise DataFileError(f"{path} is not a CSV file: {error}") from error


def _rows(path: Path, reader: Any, cells: int) -> Iterator[list[str]]:
    for row in reader:
        if len(row) != cells:
            found = f"expected {cells} cells, found {len(row)}" if row else "is empty"
            raise DataFileError(f"{path}, line {reader.line_num}: {found}")
        yield row


def _check_header(path: Path, found: Sequence[str], names: Sequence[str]) -> None:
    where = f"{path}, line 1" if path.suffix == ".csv" else f"{path}"
    expected = f"the columns must be {names[0]} .. {names[-1]} ({len(names)})"
    if not found:
        raise DataFileError(f"{path} is empty: {expected}")
    repeated = sorted({name for name in found if list(found).count(name) > 1})
    missing = [name for name in names if name not in found]
    unknown = [name for name in found if name not in names]
    for what, which in (("repeated", repeated), ("unknown", unknown), ("missing", missing)):
        if which:
            some = ", ".join(map(repr, which[:3])) + (", ..." if len(which) > 3 else "")
            raise DataFileError(f"{where}: {what} column {some}; {expected}")


class _writer:  # noqa: N801 (used as a context manager)
    """Write data frames one after another into a CSV or Parquet file."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path, self.names = path, names
        self._parquet: Any = None

    def __enter__(self) -> Callable[[pd.DataFrame], None]:
        if self.path.suffix == ".parquet":
            parquet = _parquet(self.path)
            import pyarrow

            schema = pyarrow.schema([(name, pyarrow.float32()) for name in self.names])
            self._parquet = parquet.ParquetWriter(self.path, schema)
            return lambda frame: self._parquet.write_table(pyarrow.Table.from_pandas(frame, schema, False))
        self.path.write_text(",".join(self.names) + "\n", encoding="utf-8")
        return lambda frame: frame.to_csv(self.path, mode="a", header=False, index=False)

    def __exit__(self, *_: object) -> None:
        if self._parquet is not None:
            self._parquet.close()


def _parquet(path: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(f"{path} is a Parquet file, which", "parquet") from error
    return pyarrow.parquet
