"""Prints the OpenAPI document: `python -m api.document > docs/openapi.json`."""

import json
import sys

from api.app import create_app
from settings import Settings


def main() -> None:
    """The document of this version, as it is served."""
    json.dump(create_app(Settings()).openapi(), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
