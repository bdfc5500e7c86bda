"""Clients and models that are generated from the documents, and validators of the documents.

Each client is compiled in its strict mode, and buys from the running service. A test is skipped,
with the reason, where its language is missing. `make check-clients` runs all; `make test-faults`
runs those of `tests.lanes`. Versions are pinned in the `package.json`, `requirements.txt`,
`pom.xml` and `go.mod` files; what is downloaded and built is kept in `~/.cache/cart-service`.
"""
