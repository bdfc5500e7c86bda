"""The Markdown report of a long run: hits, violations and recovery times by fault and moment."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.faults.fault_injection import AIM_SECONDS, CONVERGE_SECONDS, Hit
from tests.faults.matrix_block import MatrixBlock


@dataclass
class Cell:
    """The hits in one row of a table, and how many violations concern their carts."""

    hits: list[Hit] = field(default_factory=list)
    violations: int = 0

    def row(self) -> str:
        took = [hit.converged_after for hit in self.hits if hit.converged_after is not None]
        late = f" ({len(self.hits) - len(took)} never)" if len(took) < len(self.hits) else ""
        shown = " | ".join(_seconds(value) for value in percentiles(took))
        return f"{len(self.hits)} | {self.violations} | {shown}{late}"


def percentiles(values: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """p50, p99 and the maximum."""
    if not values:
        return None, None, None
    ordered = sorted(values)
    last = len(ordered) - 1
    return ordered[round(last * 0.5)], ordered[round(last * 0.99)], ordered[-1]


def markdown(blocks: Sequence[MatrixBlock], *, seed: int, command: str, plot: str) -> str:
    """The whole report; `plot` is the file name of the picture."""
    hits = [hit for block in blocks for hit in block.hits]
    found = [(block.number, violation) for block in blocks for violation in block.violations]
    missed = [planned for block in blocks for planned in block.missed]
    whole = Cell(hits, len(found))
    lines = [
        "# Faults among sagas",
        "",
        f"`{command}`, seed {seed}: {sum(block.sagas for block in blocks)} sagas in "
        f"{len(blocks)} blocks, {len(hits)} faults, **{len(found)} violations**, "
        f"{sum(block.took for block in blocks):.0f} s.",
        "",
        "Time to converge: from the end of a fault to the end of the run that it hit, with all its "
        f"effects done. The aim is {AIM_SECONDS:g} s, which {_late(hits)} missed; after "
        f"{CONVERGE_SECONDS:g} s it is a violation. A violation counts for every fault that hit "
        "its cart.",
        "",
        *_table("", {"all": whole}),
        f"![Time to converge]({plot})",
        "",
        *_table("By fault", _cells(blocks, lambda hit: hit.planned.fault.name)),
        *_table("By moment", _cells(blocks, lambda hit: hit.planned.moment.name)),
        *_table("By operation", _cells(blocks, lambda hit: hit.planned.action)),
        *_table("Fault at moment", _cells(blocks, _where)),
    ]
    if found:
        lines += ["## Violations", "", *(f"- block {number}: {one}" for number, one in found), ""]
    if missed:
        names = (f"- {one.fault.name}: {one.moment.name}" for one in missed)
        lines += ["## Faults whose moment was not reached", "", *names, ""]
    return "\n".join(lines)


def _late(hits: Sequence[Hit]) -> str:
    late = [hit for hit in hits if hit.converged_after is None or hit.converged_after > AIM_SECONDS]
    return f"{len(late)} of {len(hits)}" if late else "none"


def _where(hit: Hit) -> str:
    return f"{hit.planned.fault.name}, {hit.planned.moment.name}"


def _cells(blocks: Iterable[MatrixBlock], name: Callable[[Hit], str]) -> dict[str, Cell]:
    cells: dict[str, Cell] = defaultdict(Cell)
    for block in blocks:
        for hit in block.hits:
            cells[name(hit)].hits.append(hit)
        for violation in block.violations:
            concerned = {name(hit) for hit in block.hits if hit.user_id == violation.user_id}
            for cell in concerned:
                cells[cell].violations += 1
    return dict(sorted(cells.items()))


def _table(title: str, cells: dict[str, Cell]) -> list[str]:
    heading = [f"## {title}", ""] if title else []
    head = ["|  | hits | violations | p50 s | p99 s | max s |", "|---|---:|---:|---:|---:|---:|"]
    return [*heading, *head, *(f"| {name} | {cell.row()} |" for name, cell in cells.items()), ""]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
