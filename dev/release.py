"""Facts of a release: `python -m dev.release version [TAG]` and `python -m dev.release notes`.

`version` prints the version of `api/version.py`; it exits 1 when a file names another one, or when
TAG (`v1.2.3`) is not the version's. `notes` prints the version's section of CHANGELOG.md; before a
release, the newest one.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from api.version import VERSION

ROOT = Path(__file__).parent.parent
# Each file that repeats the version, with a pattern whose first group it is.
PLACES = (
    ("deploy/chart/Chart.yaml", r"^version: (\S+)$"),
    ("deploy/chart/Chart.yaml", r"^appVersion: (\S+)$"),
    ("deploy/k8s/overlays/staging/kustomization.yaml", r"newTag: ([^}\s]+)"),
    *(
        (f"deploy/k8s/overlays/prod/{slot}/kustomization.yaml", pattern)
        for slot in ("blue", "green", "canary")
        for pattern in (r"newTag: ([^}\s]+)", r"TEMPORAL_WORKER_BUILD_ID=([^\]\s]+)")
    ),
    ("docs/openapi.json", r'"version": "([^"]+)"'),
)
_SECTION = re.compile(r"^## \[(?P<version>[^\]]+)\](?P<date>.*)$", re.MULTILINE)


def disagreements(expected: str = VERSION) -> Iterator[str]:
    """Files that name another version, one line each."""
    for file, pattern in PLACES:
        named = re.search(pattern, (ROOT / file).read_text(), re.MULTILINE)
        if named is None or named[1] != expected:
            yield f"{file}: {named[1] if named else 'no version'}, not {expected}"


def tag_problems(tag: str, expected: str, changelog: str) -> Iterator[str]:
    """Why this tag cannot be released."""
    if tag != f"v{expected}":
        yield f"tag {tag}: the version is {expected}"
    dated = {found["version"]: found["date"] for found in _SECTION.finditer(changelog)}
    if not re.fullmatch(r" - \d{4}-\d\d-\d\d", dated.get(expected, "")):
        yield f"CHANGELOG.md: no section `## [{expected}] - YYYY-MM-DD`"


def notes(wanted: str, changelog: str) -> str:
    """The section of a version without its heading; of the newest if it has none."""
    sections = list(_SECTION.finditer(changelog))
    ends = [following.start() for following in sections[1:]] + [len(changelog)]
    texts = {
        one["version"]: changelog[one.end() : end].strip()
        for one, end in zip(sections, ends, strict=True)
    }
    return texts.get(wanted) or texts[sections[0]["version"]]


def main(argv: Sequence[str]) -> int:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    match argv:
        case ["notes"]:
            print(notes(VERSION, changelog))
            return 0
        case ["version", *tags] if len(tags) <= 1:
            problems = list(disagreements())
            problems += [found for tag in tags for found in tag_problems(tag, VERSION, changelog)]
            print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
            print(VERSION)
            return int(bool(problems))
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
