"""Tables that fit the terminal without cutting or leaving out anything.

Columns that do not fit side by side become lines below their row, as `title: value`. In a pipe
nothing is folded: a heading, then one line for each row, always with the same columns. On a
terminal a column is left out when it is empty.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from cli.texts import fold, in_one_line, longest_part

UNFOLDED = 1_000_000
"""The width of a pipe."""
NARROWEST = 24
"""Characters to which a column of prose is narrowed before other columns move below the row."""
_GAP = 2
_INDENT = "  "
_NONE = "-"

T = TypeVar("T")


@dataclass(frozen=True)
class Column:
    """`prose` is folded at words. Where the terminal is too narrow, the column with the highest
    `spare` moves below the row first; of equal ones the last."""

    title: str
    prose: bool = False
    spare: int = 0
    right: bool = False


Row = dict[Column, Text]


class Table:
    """A row for each item."""

    def __init__(
        self, items: Iterable[T], *columns: tuple[Column | str, Callable[[T], object]]
    ) -> None:
        """Each column has its title and the function that takes its cell from an item."""
        self._items = [*items]
        self._columns: dict[Column, Callable[[Any], object]] = {
            Column(title) if isinstance(title, str) else title: cell for title, cell in columns
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        limit = options.max_width
        rows = [
            {column: in_one_line(console, cell(item)) for column, cell in self._columns.items()}
            for item in self._items
        ]
        columns = [*self._columns]
        if limit >= UNFOLDED:
            rows = [{column: cell or Text(_NONE) for column, cell in row.items()} for row in rows]
        else:
            columns = [column for column in columns if any(row[column] for row in rows)] or columns
        widths = _widths(columns, rows, limit)
        yield _line({column: [Text(column.title, "bold")] for column in widths}, widths)
        if limit < UNFOLDED:
            rule = "-" if options.ascii_only else "─"
            yield Text(rule * min(sum(widths.values()) + _GAP * (len(widths) - 1), limit))
        for row in rows:
            beside = {
                column: fold(row[column], width, break_words=True)
                for column, width in widths.items()
            }
            yield _line(beside, widths)
            below = {column: cell for column, cell in row.items() if column not in widths and cell}
            yield from _lines_below(below, limit)


def _widths(columns: list[Column], rows: list[Row], limit: int) -> dict[Column, int]:
    """The columns that are shown side by side, with their widths."""
    full = {
        column: max(len(column.title), *(row[column].cell_len for row in rows), 0)
        for column in columns
    }
    widths = {
        column: min(width, max((NARROWEST, *(longest_part(row[column]) for row in rows))))
        if column.prose
        else width
        for column, width in full.items()
    }
    while len(widths) > 1 and _total(widths) > limit:
        order = [*widths]
        del widths[max(order, key=lambda column: (column.spare, order.index(column)))]
    prose = [column for column in widths if widths[column] < full[column]]
    for number, column in enumerate(prose):
        share = (limit - _total(widths)) // (len(prose) - number)
        widths[column] += min(max(share, 0), full[column] - widths[column])
    return {column: min(width, limit) for column, width in widths.items()}


def _total(widths: dict[Column, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _line(cells: dict[Column, list[Text]], widths: dict[Column, int]) -> Text:
    """One row; a cell may have several lines."""
    lines = []
    for parts in zip_longest(*cells.values(), fillvalue=Text()):
        line = Text()
        for (column, width), part in zip(widths.items(), parts, strict=True):
            padding = " " * (width - part.cell_len)
            line += Text(padding) + part if column.right else part + Text(padding)
            line += Text(" " * _GAP)
        line.rstrip()
        lines.append(line)
    return Text("\n").join(lines)


def _lines_below(cells: Row, limit: int) -> Iterator[Text]:
    """`title: value` of each column, as many on a line as fit."""
    line = Text()
    for column, cell in cells.items():
        pair = Text(f"{column.title}: ", "dim") + cell
        if line and line.cell_len + _GAP + pair.cell_len <= limit:
            line += Text(" " * _GAP) + pair
            continue
        if line:
            yield line
        line = Text(_INDENT) + pair
        if line.cell_len > limit:
            room = limit - len(_INDENT)
            indent, room = (_INDENT, room) if longest_part(pair) <= room else ("", limit)
            for folded in fold(pair, room, break_words=True):
                yield Text(indent) + folded
            line = Text()
    if line:
        yield line
