"""The API keeps its contract: schemathesis, the document against the last release, and the docs."""
