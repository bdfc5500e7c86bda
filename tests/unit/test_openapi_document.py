"""The checked-in OpenAPI document is the one that is served."""

import json
from pathlib import Path

from tests.fakes.api import FakeApi


def test_the_checked_in_document_is_current(project_root: Path) -> None:
    served = FakeApi().app.openapi()
    served["info"]["version"] = "unreleased"  # a served document has the version of the service
    kept = json.loads((project_root / "docs" / "openapi.json").read_text())
    assert kept == served, "run `make docs`, look at what has changed, and commit it"
