"""docs/runbook.md: every row of its matrix has its test, every test its row, and its commands exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from engine.paths import CHECKOUT
from nightsoak.__main__ import build_parser

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def runbook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("runbook", HERE / "runbook.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_of_the_page_has_its_test_and_every_fault_its_row(runbook: ModuleType) -> None:
    text = runbook.PAGE.read_text()
    matrix = text.partition(runbook.BEGIN)[2].partition(runbook.END)[0]
    rows = [line.strip("| ").split(" | ") for line in matrix.splitlines() if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == list(runbook.FAULTS.values())
    tests = {
        name
        for file in HERE.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", file.read_text(), flags=re.MULTILINE)
    }
    assert {row[-1].strip("`") for row in rows} <= tests


def test_every_test_that_leaves_a_row_has_one(runbook: ModuleType) -> None:
    """The keys in the tests are those of the matrix."""
    source = "".join(file.read_text() for file in sorted(HERE.glob("test_*.py")))
    left = set(re.findall(r'\brow\(\s*"(\w+)"', source)) | set(re.findall(r'\(-?1, "(\w+)"\)', source))
    assert left == set(runbook.FAULTS)


def test_a_matrix_takes_the_place_of_the_one_before(runbook: ModuleType) -> None:
    row = {"seen": "a | b\nc", "lost": "nothing", "seconds": 1.26, "test": "test_x"}
    matrix = runbook.table({"bot_live": row, "flow": row | {"seconds": None}})
    assert matrix.splitlines()[2:] == [
        "| bot killed, live | a / b c | nothing | 1.3 s | `test_x` |",
        "| flow killed (`nightsoak soak`) | a / b c | nothing | - | `test_x` |",
    ]
    page = f"head\n{runbook.BEGIN}\nold\n{runbook.END}\ntail\n"
    assert runbook.page_with(page, "new") == f"head\n{runbook.BEGIN}\nnew\n{runbook.END}\ntail\n"


def test_the_commands_of_the_page_exist() -> None:
    """Every `nightsoak ...` between backticks is one that the command line takes."""
    text = (CHECKOUT / "docs" / "runbook.md").read_text().partition("<!-- recovery matrix -->")[0]
    found = re.findall(r"`nightsoak ([a-z]+[^`]*)`", text)
    assert len(found) > 8
    parser = build_parser()
    for words in found:
        parser.parse_args(words.split())
