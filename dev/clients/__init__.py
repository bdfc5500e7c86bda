"""Builds the clients of `clients/`: their models are generated from docs/openapi.json."""
