"""`cart import`: brings the carts of the original Node.js service here (docs/migrate.md)."""

from cli.import_.command import import_

__all__ = ["import_"]
