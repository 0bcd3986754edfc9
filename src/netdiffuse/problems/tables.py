"""Files of contexts and decisions, CSV or Parquet, in parts; every mistake is named by its place."""

import csv
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from netdiffuse.common import DataFileError, InvalidValueError, MissingExtraError
from netdiffuse.common.files import atomic_path
from netdiffuse.problems.base import Problem

ROWS = 8192  # in a part
SUFFIXES = (".csv", ".parquet")
SHOWN = 40  # characters of a cell in a message


@dataclass(frozen=True)
class _Part:
    """Some rows of a file: their cells, where each is in the file, and the share of the file that has been read."""

    cells: pd.DataFrame
    places: Sequence[int]
    fraction: float


def decide_file(
    source: Path,
    target: Path,
    problem: Problem,
    decide: Callable[[Tensor], Tensor],
    *,
    overwrite: bool = False,
    report: Callable[[int, float], None] | None = None,
) -> int:
    """Decide for every context of a file, and write the decisions in the same order, whole or not at all.

    Args:
        source: a header with the problem's `context_names` (in any order) and a context a row.
        target: gets a header with `decision_names` and a decision a row, in physical units.
        problem: names, shapes and ranges.
        decide: contexts to decisions.
        overwrite: whether `target` may exist.
        report: called with the number of rows decided so far, and the share of `source` that these are.

    Returns:
        The number of rows.

    Raises:
        DataFileError: a file that cannot be used; the message names the line (of Parquet, the row) and the column.
        MissingExtraError: a Parquet file, without pyarrow.
    """
    _check_name(target)
    _check_source(source)
    if target.exists() and target.resolve() == source.resolve():
        raise DataFileError(f"{target}: decisions cannot replace their own contexts")
    if target.is_dir():
        raise DataFileError(f"{target} is a folder: choose another --out")
    if target.exists() and not overwrite:
        raise DataFileError(f"{target} exists already: choose another --out, or add --overwrite")
    done = 0
    with atomic_path(target) as temporary, _writer(temporary, problem.decision_names) as write:
        for part in _parts(source, problem.context_names):
            contexts = _contexts(source, part, problem)
            decisions = decide(contexts).reshape(len(contexts), -1)
            write(pd.DataFrame(decisions.numpy(), columns=problem.decision_names))
            done += len(contexts)
            if report is not None:
                report(done, part.fraction)
        if done == 0:
            raise DataFileError(f"{source} has a header but no rows")
    return done


def read_contexts(path: Path, problem: Problem) -> Iterator[Tensor]:
    """Read contexts in parts, each of shape (n, *context_shape).

    Raises:
        DataFileError: a bad header, or a bad entry, named by its line and column.
    """
    _check_source(path)
    for part in _parts(path, problem.context_names):
        yield _contexts(path, part, problem)


def read_expert(path: Path, problem: Problem) -> tuple[Tensor, Tensor]:
    """Read an expert's data: a header with `context_names` and `decision_names`, a context and its decision a row.

    Returns:
        Contexts, shape (n, *context_shape), and decisions, shape (n, *decision_shape), in physical units.

    Raises:
        DataFileError: a bad header or entry, or a decision that is not allowed, named by its line.
    """
    _check_source(path)
    contexts, decisions = [], []
    for part in _parts(path, [*problem.context_names, *problem.decision_names]):
        contexts.append(_contexts(path, part, problem))
        taken = _numbers(path, part, problem.decision_names).reshape(-1, *problem.decision_shape)
        refused = (~problem.feasible.contains(taken, tolerance=1e-3)).nonzero()
        if len(refused):
            place = _place(path, part.places[int(refused[0])])
            raise DataFileError(f"{place}: the decision is not in {problem.feasible!r}")
        decisions.append(taken)
    if not contexts:
        raise DataFileError(f"{path} has a header but no rows")
    return torch.cat(contexts), torch.cat(decisions)


def _check_name(path: Path) -> None:
    if path.suffix.lower() not in SUFFIXES:
        raise DataFileError(f"{path}: the name must end in {' or '.join(SUFFIXES)}")


def _check_source(path: Path) -> None:
    _check_name(path)
    if not path.is_file():
        raise DataFileError(f"{path}: there is no such file")


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _place(path: Path, number: int) -> str:
    return f"{path}, {'row' if _is_parquet(path) else 'line'} {number}"


def _shown(text: str) -> str:
    """A cell in a message: quoted, in one line, and cut where it is long."""
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)")


def _numbers(path: Path, part: _Part, names: list[str]) -> Tensor:
    """The named columns of a part as finite numbers, shape (n, names)."""
    cells = part.cells[names]
    numbers = cells.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64, copy=True)
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        row, column = bad[0]
        value: Any = cells.iat[row, column]
        found = "an empty cell" if pd.isna(value) or not str(value).strip() else _shown(str(value))
        place = _place(path, part.places[row])
        raise DataFileError(f"{place}, column {names[column]}: expected a finite number, found {found}")
    return torch.as_tensor(numbers, dtype=torch.float32)


def _contexts(path: Path, part: _Part, problem: Problem) -> Tensor:
    """The contexts of a part, shape (n, *context_shape), each as the problem allows it."""
    contexts = _numbers(path, part, problem.context_names).reshape(-1, *problem.context_shape)
    try:
        return problem.check_contexts(contexts)
    except InvalidValueError:
        for row in range(len(contexts)):
            try:
                problem.check_contexts(contexts[row : row + 1])
            except InvalidValueError as error:
                reason = str(error).removeprefix("row 0, ")
                raise DataFileError(f"{_place(path, part.places[row])}, column {reason}") from error
        raise


def _parts(path: Path, names: Sequence[str]) -> Iterator[_Part]:
    return _parquet_parts(path, names) if _is_parquet(path) else _csv_parts(path, names)


def _parquet_parts(path: Path, names: Sequence[str]) -> Iterator[_Part]:
    parquet = _parquet(path)
    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DataFileError(f"{path} is not a Parquet file: {error}") from error
    schema = file.schema_arrow
    index = (schema.pandas_metadata or {}).get("index_columns", [])  # which pandas has added by itself
    _check_header(path, [name for name in schema.names if name in names or name not in index], names)
    for name in names:
        kind = schema.field(name).type
        if not _is_number(kind):
            raise DataFileError(f"{path}, column {name}: expected numbers, found the type {kind}")
    done = 0
    for batch in file.iter_batches(ROWS):
        places = range(done + 1, done + len(batch) + 1)
        done += len(batch)
        # without the metadata, no column hides in an index
        yield _Part(batch.to_pandas(ignore_metadata=True), places, done / file.metadata.num_rows)


def _is_number(kind: Any) -> bool:
    """Whether an Arrow type is one of numbers: dates and truth values would pass for numbers otherwise."""
    from pyarrow import types

    return any(is_kind(kind) for is_kind in (types.is_integer, types.is_floating, types.is_decimal))


def _csv_parts(path: Path, names: Sequence[str]) -> Iterator[_Part]:
    size = path.stat().st_size
    try:
        with open(path, "rb") as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header, names)
            while rows := list(itertools.islice(_rows(path, reader, len(header)), ROWS)):
                cells = pd.DataFrame([row for _, row in rows], columns=header)
                yield _Part(cells, [line for line, _ in rows], file.tell() / size)
    except UnicodeDecodeError as error:
        raise DataFileError(f"{path} is not a text file in UTF-8: {_undecodable(path)}") from error
    except csv.Error as error:
        raise DataFileError(f"{path} is not a CSV file: {error}") from error


def _rows(path: Path, reader: Any, cells: int) -> Iterator[tuple[int, list[str]]]:
    """Rows, each with the number of the line that it ends in: a quoted cell may hold line breaks."""
    for row in reader:
        if len(row) != cells:
            found = f"expected {cells} cells, found {len(row)}" if row else "is empty"
            raise DataFileError(f"{_place(path, reader.line_num)}: {found}")
        yield reader.line_num, row


def _undecodable(path: Path) -> str:
    """The first place that is not UTF-8; looked for when there is one, as text is decoded in blocks."""
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return f"line {number}, byte {error.start + 1}, {error.reason}"
    return "it ends within a character"


def _reads_as_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _check_header(path: Path, found: Sequence[str], names: Sequence[str]) -> None:
    where = f"{path}" if _is_parquet(path) else f"{path}, line 1"
    expected = f"the columns must be {names[0]} .. {names[-1]} ({len(names)})"
    if all(_reads_as_number(name) for name in found):
        expected += "; the first line must be a header with these names, not numbers"
    if not found:
        raise DataFileError(f"{path} is empty: {expected}")
    repeated = sorted({name for name in found if list(found).count(name) > 1})
    missing = [name for name in names if name not in found]
    unknown = [name for name in found if name not in names]
    for what, which in (("repeated", repeated), ("unknown", unknown), ("missing", missing)):
        if which:
            some = ", ".join(map(_shown, which[:3])) + (", ..." if len(which) > 3 else "")
            raise DataFileError(f"{where}: {what} column {some}; {expected}")


class _writer:  # noqa: N801 (used as a context manager)
    """Write data frames one after another into a CSV or Parquet file."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path, self.names = path, names
        self._parquet: Any = None

    def __enter__(self) -> Callable[[pd.DataFrame], None]:
        if _is_parquet(self.path):
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
