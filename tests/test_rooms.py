"""Rooms of the house depend only downwards: none imports one that stands before it in this list."""

import ast
from pathlib import Path

import pytest

import netdiffuse

HOUSE = Path(netdiffuse.__file__).parent
ROOMS = (
    "cli",
    "studio",
    "experiments",
    "algorithms",
    "baselines",
    "problems",
    "users",
    "denoising",
    "diffusion",
    "channels",
    "common",
)


def imported(source: str) -> set[str]:
    """The rooms that a file imports, also within functions and for types alone."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    paths = [name.split(".") for name in names]
    return {path[1] for path in paths if path[0] == "netdiffuse" and len(path) > 1}


def test_every_folder_is_a_room():
    assert {path.parent.name for path in HOUSE.glob("*/__init__.py")} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_no_higher_one(room):
    higher = set(ROOMS[: ROOMS.index(room)])
    files = sorted((HOUSE / room).rglob("*.py"))
    assert files
    found = {(str(path.relative_to(HOUSE)), other) for path in files for other in imported(path.read_text()) & higher}
    assert found == set()


def test_imports_are_found_wherever_they_stand():
    source = (
        "import netdiffuse.cli.output\nfrom netdiffuse import studio\ndef f():\n    from netdiffuse.users import x\n"
    )
    assert imported(source) == {"cli", "studio", "users"}
