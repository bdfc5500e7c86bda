"""The methods of a path: for OPTIONS, and for `Allow` with 405 (RFC 9110, 9.3.7 and 15.5.6).

HEAD is wherever GET is, and OPTIONS everywhere. `/` stands for the server itself (`OPTIONS *`),
which has all methods.
"""

from collections.abc import Iterator

from fastapi.routing import iter_route_contexts
from starlette._utils import get_route_path
from starlette.types import Scope


def allow(scope: Scope) -> str:
    """The `Allow` header for the path of a request; empty if no route has it."""
    methods = set(_methods(scope))
    if not methods:
        return ""
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods | {"OPTIONS"}))


def _methods(scope: Scope) -> Iterator[str]:
    path = get_route_path(scope)
    for route in iter_route_contexts(scope["app"].routes):
        if path == "/" or route.path_regex.match(path):
            yield from route.methods or ("GET",)  # without methods: files that are mounted
