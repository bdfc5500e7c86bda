"""docs/errors.md: a section for each `ErrorCode`, from the tables of docs/api.md. `ERROR_DOCS_URL`
makes the answers link to its sections.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from api.error_codes import ErrorCode

INTRODUCTION = """\
# Errors

<!-- Written by `python -m dev.reference` from the codes and the tables of api.md. -->

One section for each `code` of an answer; [api.md](api.md#errors) has the form of errors, and what
every change promises: a 4xx changed nothing, and after a 5xx the same request with the same
`Idempotency-Key` is safe. With `ERROR_DOCS_URL` (this page's address) the answers link here:
`Link: <…#insufficient_stock>; rel="help"`.
"""
_ROW = re.compile(r"^\| (`[^|]+) \| ([^|]+) \| ([^|]+) \|(?: ([^|]+) \|)?$", re.MULTILINE)
_SAME = "the same"


@dataclass(frozen=True)
class Explained:
    """A code's row; `advice` is None for the codes of single fields."""

    statuses: str
    meaning: str
    advice: str | None


def explained(api_page: str) -> dict[str, Explained]:
    """Each code with its row; "the same" is replaced by the advice above it."""
    found: dict[str, Explained] = {}
    advice: str | None = None
    for row in _ROW.finditer(api_page.partition("## Errors")[2]):
        codes, statuses, meaning, advised = row.groups()
        if advised and advised != _SAME:
            advice = advised
        for code in re.findall(r"`(\w+)`", codes):
            found[code] = Explained(statuses, meaning, advice if advised else None)
    return found


def page(root: Path) -> str:
    rows = explained((root / "docs/api.md").read_text())
    parts = [INTRODUCTION]
    for code in ErrorCode:
        row = rows[code]
        parts.append(f"## {code}\n")
        if row.advice is None:
            parts.append(
                f"Status {row.statuses}, in `details`: {row.meaning}. Correct the field.\n"
            )
            continue
        parts.append(f"Status {row.statuses}: {row.meaning}.\n")
        if row.advice != "-":
            parts.append(f"What to do: {row.advice}.\n")
    return "\n".join(parts)
