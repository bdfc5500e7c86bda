"""Tests of the API's contract: schemathesis, the last release's document, and docs/api.md."""
