"""The version of the service, which the package, the document and `/health` have."""

VERSION = "1.0.0"
