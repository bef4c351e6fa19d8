"""Markdown tables and text that hold their form whatever is put into them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.report.table import Markdown, Table, code, escape, markdown_table, wrap

TEXT = st.text(max_size=60)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT, TEXT, TEXT), max_size=6))
def test_a_table_never_exceeds_its_width_nor_its_columns(rows: list[tuple[str, ...]]) -> None:
    table = Table(("Rule", "Observed [95 %]", "n", "Limit", "Status", "Note"), "lrrrll", tuple(rows))
    lines = markdown_table(table).split("\n")
    assert len(lines) == len(rows) + 2
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len(lines[0]) <= 80
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines} == {7}


def test_numbers_are_cut_after_text() -> None:
    table = Table(("Rule", "Observed"), "lr", (("x" * 70, "1234567890.12 [1.00, 2.00]"),))
    row = markdown_table(table).split("\n")[2]
    assert "1234567890.12 [1.00, 2.00]" in row
    assert "…" in row


@pytest.mark.parametrize(
    ("rows", "headers", "align"),
    [((), tuple("abcdefg"), "lllllll"), ((("1",),), ("a", "b"), "ll"), ((), ("a", "b"), "l")],
)
def test_a_table_that_does_not_fit_is_refused(
    rows: tuple[tuple[str, ...], ...], headers: tuple[str, ...], align: str
) -> None:
    with pytest.raises(ValueError, match="columns"):
        markdown_table(Table(headers, align, rows))


@given(st.text(max_size=200))
def test_text_is_one_line_without_markup(text: str) -> None:
    escaped = escape(text)
    assert "\n" not in escaped
    assert not re.search(r"(?<!\\)(?:\\\\)*<[A-Za-z/!?]", escaped)
    assert escape(Markdown(text)) == text


def test_wrapping_keeps_a_command_on_one_line_and_indents() -> None:
    command = "nightsoak soak --hours 24 --iterations 6 --auto-tune --profile market_maker_S1 --tape a/b"
    text = wrap(Markdown(f"run it again, {code(command)}, and wait"), "  ", "- **Next:** ")
    assert f"`{command}`" in text
    assert text.startswith("- **Next:** run it again,\n  `nightsoak")
    assert all(len(line) <= 80 for line in text.split("\n") if "`" not in line)
