"""Writes docs/asyncapi.json and docs/events.md; refuses a change that breaks who uses the events.

`python -m dev.event_docs [--breaking]`. Exit code 1 when it was refused.
"""

import json
import sys
from pathlib import Path

from dev.event_docs.asyncapi import document
from dev.event_docs.compatibility import breaking_changes
from dev.event_docs.page import page

DOCS = Path(__file__).parents[2] / "docs"


def main(arguments: list[str]) -> int:
    """`--breaking` writes them all the same: for what was never released."""
    path = DOCS / "asyncapi.json"
    now = document()
    if path.exists() and "--breaking" not in arguments:
        broken = breaking_changes(json.loads(path.read_text()), now)
        if broken:
            lines = "\n  ".join(broken)
            sys.stderr.write(f"Refused, for this breaks who uses the events:\n  {lines}\n")
            return 1
    path.write_text(json.dumps(now, indent=2) + "\n")
    (DOCS / "events.md").write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
