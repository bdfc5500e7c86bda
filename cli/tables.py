"""Tables that fit the terminal without cutting anything."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as Grid
from rich.text import Text

from cli.texts import harmless

NARROWEST = 24
"""Characters to which a column of prose is narrowed before other columns are left out."""
_GAP = 2

T = TypeVar("T")


@dataclass(frozen=True)
class Column:
    """`prose` is folded at words. A `spare` column is left out where the terminal is too narrow,
    the one with the highest number first; 0 is never left out."""

    title: str
    prose: bool = False
    spare: int = 0
    right: bool = False


Row = dict[Column, Text]


class Table:
    """A row for each item. Where even the columns that are not spare are too wide, a row becomes
    lines of `title: value`, so that an id can still be copied."""

    def __init__(
        self, items: Iterable[T], *columns: tuple[Column | str, Callable[[T], object]]
    ) -> None:
        """Each column has its title and the function that takes its cell from an item."""
        self._items = [*items]
        self._columns: dict[Column, Callable[[Any], object]] = {
            Column(title) if isinstance(title, str) else title: cell for title, cell in columns
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        def shown_as(cell: object) -> Text:
            if isinstance(cell, Text):
                return harmless(cell)
            return console.render_str("" if cell is None else str(cell))

        rows = [
            {column: shown_as(cell(item)) for column, cell in self._columns.items()}
            for item in self._items
        ]
        widths = {
            column: max(len(column.title), *(_width(row[column]) for row in rows), 0)
            for column in self._columns
        }
        shown = self._fitting(widths, options.max_width)
        if not shown:
            yield from self._lines(rows, options.max_width)
            return
        yield self._grid(shown, rows)
        left_out = [column.title for column in self._columns if column not in shown]
        if left_out:
            yield Text(f"(not shown at this width: {', '.join(left_out)})", "dim")

    def _fitting(self, widths: dict[Column, int], limit: int) -> list[Column]:
        """The columns that fit side by side; none when those that are not spare do not."""
        needed = {
            column: min(width, NARROWEST) if column.prose else width
            for column, width in widths.items()
        }
        shown = [*widths]
        while sum(needed[column] + _GAP for column in shown) - _GAP > limit:
            least = max(shown, key=lambda column: column.spare)
            if not least.spare:
                return []
            shown.remove(least)
        return shown

    def _grid(self, shown: list[Column], rows: list[Row]) -> Grid:
        padding = (0, _GAP - 1, 0, 0)
        grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=padding)
        for column in shown:
            grid.add_column(
                column.title,
                no_wrap=not column.prose,
                overflow="fold",
                justify="right" if column.right else "left",
            )
        for row in rows:
            grid.add_row(*(row[column] for column in shown))
        return grid

    def _lines(self, rows: list[Row], limit: int) -> Iterator[Text]:
        for row in rows:
            line = Text()
            for column, cell in row.items():
                if not cell:
                    continue
                pair = Text(f"{column.title}: ") + cell
                if line and _width(line) + _GAP + _width(pair) > limit:
                    yield line
                    line = Text("  ")
                elif line:
                    line.append(" " * _GAP)
                line += pair
            yield line


def _width(cell: Text) -> int:
    return max((line.cell_len for line in cell.split()), default=0)
