"""`python -m dev.event_docs [--breaking]`: writes docs/asyncapi.json and docs/events.md.

Refuses changes that break consumers or producers of the events, with exit code 1.
"""

import json
import sys
from pathlib import Path

from dev.event_docs.asyncapi import document
from dev.event_docs.compatibility import breaking_changes
from dev.event_docs.page import page

DOCS = Path(__file__).parents[2] / "docs"


def main(arguments: list[str]) -> int:
    """Writes the documents. `--breaking` allows breaking changes, for unreleased events."""
    path = DOCS / "asyncapi.json"
    current = document()
    if path.exists() and "--breaking" not in arguments:
        broken = breaking_changes(json.loads(path.read_text()), current)
        if broken:
            lines = "\n  ".join(broken)
            sys.stderr.write(f"Refused: these changes break users of the events:\n  {lines}\n")
            return 1
    path.write_text(json.dumps(current, indent=2) + "\n")
    (DOCS / "events.md").write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
