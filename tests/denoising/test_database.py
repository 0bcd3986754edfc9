"""What becomes of a transaction that cannot be ended."""

import sqlite3

import pytest

from netdiffuse.denoising.edge.database import Database


class Books(Database):
    noun = short = "file of books"
    option, version, table = "--books", 1, "books"
    schema = """
    CREATE TABLE IF NOT EXISTS shelves (name TEXT PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS books (
        text TEXT, shelf TEXT REFERENCES shelves (name) DEFERRABLE INITIALLY DEFERRED
    );
    """

    def add(self, text, shelf=None):
        with self._transaction() as db:
            db.execute("INSERT INTO books VALUES (?, ?)", (text, shelf))

    def texts(self):
        return [row[0] for row in self._db.execute("SELECT text FROM books")]


@pytest.fixture
def books(tmp_path):
    made = Books(tmp_path / "books.sqlite")
    yield made
    made.close()


def test_one_that_fails_as_it_ends(books):
    """What is only known to be wrong at the end is undone, and the next transaction begins."""
    books._db.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(sqlite3.IntegrityError):
        books.add("lost", "nowhere")
    books.add("kept")
    assert books.texts() == ["kept"]


def test_one_that_sqlite_has_undone(books):
    """A full disk is told as what it is."""
    pages = books._db.execute("PRAGMA page_count").fetchone()[0]
    books._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        books.add("x" * 100_000)
    books.add("kept")
    assert books.texts() == ["kept"]
