"""Markdown that reads as well in a terminal as on a code host: aligned tables, escaped text, wrapped lines."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

MAX_WIDTH = 80
MAX_COLUMNS = 6
_MIN_CELL = 3
_MIN_TEXT = 12
_ELLIPSIS = "…"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_MARKUP = re.compile(r"[\\`*]|<(?=[A-Za-z/!?])|\](?=[(\[:])")
_HOLD = "\u00a0"


class Markdown(str):
    """Text that is Markdown already: it is not escaped again."""

    __slots__ = ()


@dataclass(frozen=True)
class Table:
    """Cells are plain text, escaped on rendering; `align` has one of l, r per column. `whole`: no cell is shortened,
    for names that are typed elsewhere; such a table may exceed MAX_WIDTH."""

    headers: tuple[str, ...]
    align: str
    rows: tuple[tuple[str, ...], ...]
    whole: bool = False


def escape(text: str) -> str:
    """Plain text as Markdown that shows it as it is: no raw HTML, no emphasis, no link, one line."""
    if isinstance(text, Markdown):
        return text
    return _MARKUP.sub(lambda match: "\\" + match[0], _CONTROLS.sub(" ", text))


def code(text: str) -> Markdown:
    """A code span; it is kept on one line by `wrap`."""
    return Markdown(f"`{_CONTROLS.sub(' ', text).replace('`', chr(39)).replace(' ', _HOLD)}`")


def wrap(text: str, indent: str = "", first: str = "") -> Markdown:
    """`text` escaped and broken at MAX_WIDTH; `first` opens the first line, `indent` the others."""
    lines = textwrap.wrap(
        escape(text),
        MAX_WIDTH,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return Markdown("\n".join(lines).replace(_HOLD, " "))


def markdown_table(table: Table) -> Markdown:
    """The table with padded columns, at most MAX_WIDTH wide: a text column is shortened where it must be, numbers last.

    Raises:
        ValueError: more than MAX_COLUMNS columns, or rows of another length than the headers.
    """
    columns = len(table.headers)
    if columns > MAX_COLUMNS or any(len(row) != columns for row in table.rows) or len(table.align) != columns:
        raise ValueError(f"a table of {columns} columns does not fit its rows, or is wider than {MAX_COLUMNS}")
    cells = [[_cell(text) for text in row] for row in (table.headers, *table.rows)]
    widths = [max(_MIN_CELL, *(len(row[i]) for row in cells)) for i in range(columns)]
    spare = MAX_WIDTH - (3 * columns + 1)
    while sum(widths) > spare and not table.whole:
        columns_of_text = [i for i in range(columns) if table.align[i] == "l" and widths[i] > _MIN_TEXT]
        widest = max(columns_of_text or range(columns), key=lambda i: widths[i])
        widths[widest] -= 1
    lines = [_line(row, widths, table.align) for row in cells]
    rule = "|".join(
        ("-" * (w + 1) + ":") if a == "r" else "-" * (w + 2) for w, a in zip(widths, table.align, strict=True)
    )
    return Markdown("\n".join([lines[0], f"|{rule}|", *lines[1:]]))


def _cell(text: str) -> str:
    return escape(text).replace("|", "\\|")


def _line(row: Sequence[str], widths: Sequence[int], align: str) -> str:
    shown = []
    for text, width, side in zip(row, widths, align, strict=True):
        if len(text) > width:
            text = text[: width - 1].rstrip("\\") + _ELLIPSIS
        shown.append(text.rjust(width) if side == "r" else text.ljust(width))
    return f"| {' | '.join(shown)} |"
