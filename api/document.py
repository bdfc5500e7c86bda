"""Prints the OpenAPI document: `python -m api.document > docs/openapi.json`."""

import json
import sys

from api.app import create_app
from settings import Settings


def main() -> None:
    """The version is replaced, so that the document changes only with the API."""
    document = create_app(Settings()).openapi()
    document["info"]["version"] = "unreleased"
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
