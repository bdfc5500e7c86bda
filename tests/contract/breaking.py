"""`python -m tests.contract.breaking OLD NEW`: the breaking changes between two OpenAPI documents.

Prints a line for each; exit code 1 if there is one. A valid request must stay valid, so requests
may only get more fields, values and room. A field that clients read must stay and keep its type, so
responses may only get fewer values. Limits of responses are not compared, since clients do not
check them.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

Json = dict[str, Any]
Side = Literal["request", "answer"]

_METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT = ("pattern", "format", "multipleOf")


def breaks(old: Json, new: Json) -> list[str]:
    """All breaking changes, as `POST /path, where: what`."""
    found = []
    for path, item in old["paths"].items():
        for method in _METHODS:
            if method in item:
                now = new["paths"].get(path, {}).get(method)
                what = ["removed"] if now is None else _operation(item[method], now, old, new)
                found += [f"{method.upper()} {path}, {line}" for line in what]
    return found


def _operation(was: Json, now: Json, old: Json, new: Json) -> Iterator[str]:
    if now.get("security") and not was.get("security"):
        yield "security: needs a token now"
    yield from _parameters(was, now, old, new)
    yield from _body(was.get("requestBody"), now.get("requestBody"), old, new)
    for status, answer in was["responses"].items():
        if status not in now["responses"]:
            yield f"answer {status}: removed"
            continue
        where = f"answer {status}"
        for name in answer.get("headers", {}):
            if name not in now["responses"][status].get("headers", {}):
                yield f"{where}, header {name}: removed"
        yield from _contents(answer, now["responses"][status], where, "answer", (old, new))


def _parameters(was: Json, now: Json, old: Json, new: Json) -> Iterator[str]:
    before = {(part["in"], part["name"]): part for part in was.get("parameters", ())}
    after = {(part["in"], part["name"]): part for part in now.get("parameters", ())}
    for (kind, name), part in before.items():
        if (kind, name) not in after:
            yield f"{kind} {name}: removed"
            continue
        schema = after[kind, name]["schema"]
        where = f"{kind} {name}"
        yield from _schema(part["schema"], schema, where, "request", (old, new))
    for (kind, name), part in after.items():
        if part.get("required") and not before.get((kind, name), {}).get("required"):
            yield f"{kind} {name}: required now"


def _body(was: Json | None, now: Json | None, old: Json, new: Json) -> Iterator[str]:
    if now is not None and now.get("required") and not (was or {}).get("required"):
        yield "body: required now"
    if was is not None:
        yield from _contents(was, now or {}, "body", "request", (old, new))


def _contents(
    was: Json, now: Json, where: str, side: Side, documents: tuple[Json, Json]
) -> Iterator[str]:
    for media, content in was.get("content", {}).items():
        if media not in now.get("content", {}):
            yield f"{where}, {media}: removed"
            continue
        after = now["content"][media].get("schema", {})
        yield from _schema(content.get("schema", {}), after, where, side, documents)


def _schema(
    was: Json, now: Json, where: str, side: Side, documents: tuple[Json, Json]
) -> Iterator[str]:
    """The breaking changes between two schemas, each of its own document.

    Each old alternative of a request must match a new one; each new alternative of a response must
    match an old one.
    """
    before, after = _variants(was, documents[0]), _variants(now, documents[1])
    if len(before) == len(after) == 1:
        yield from _plain(before[0], after[0], where, side, documents)
        return
    given, takers = (before, after) if side == "request" else (after, before)
    for one in given:
        pairs = ((one, taker) if side == "request" else (taker, one) for taker in takers)
        if all(any(True for _ in _plain(*pair, where, side, documents)) for pair in pairs):
            kind = one.get("type", one.get("const", one.get("enum", "any")))
            yield f"{where}: {kind} is {'no longer accepted' if side == 'request' else 'new'}"


def _variants(schema: Json, document: Json) -> list[Json]:
    """The alternatives of a schema, with references resolved."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    parts = schema.get("anyOf") or schema.get("oneOf")
    if parts is None and isinstance(schema.get("type"), list):
        parts = [{**schema, "type": kind} for kind in schema["type"]]
    if parts is None:
        return [schema]
    return [variant for part in parts for variant in _variants(part, document)]


def _plain(
    was: Json, now: Json, where: str, side: Side, documents: tuple[Json, Json]
) -> Iterator[str]:
    if not _same_kind(was, now, side):
        yield f"{where}: {was.get('type', 'any')} became {now.get('type', 'any')}"
        return
    yield from _values(was, now, where, side)
    if side == "request":
        yield from _limits(was, now, where)
    yield from _fields(was, now, where, side, documents)
    if "items" in was:
        yield from _schema(was["items"], now.get("items", {}), f"{where}[]", side, documents)


def _same_kind(was: Json, now: Json, side: Side) -> bool:
    narrow, wide = (was, now) if side == "request" else (now, was)
    kinds = (narrow.get("type"), wide.get("type"))
    return kinds[1] is None or kinds[0] == kinds[1] or kinds == ("integer", "number")


def _values(was: Json, now: Json, where: str, side: Side) -> Iterator[str]:
    before, after = _enumerated(was), _enumerated(now)
    given, allowed = (before, after) if side == "request" else (after, before)
    if allowed is None:
        return
    if given is None:
        yield f"{where}: {'only' if side == 'request' else 'no longer only'} {allowed}"
        return
    for value in given:
        if value not in allowed:
            yield f"{where}: {value!r} is {'no longer accepted' if side == 'request' else 'new'}"


def _enumerated(schema: Json) -> list[Any] | None:
    values: list[Any] | None = [schema["const"]] if "const" in schema else schema.get("enum")
    return values


def _limits(was: Json, now: Json, where: str) -> Iterator[str]:
    for name in (*_LOWER, *_UPPER, *_EXACT):
        if name not in now or now[name] == was.get(name):
            continue
        widened = name in was and (
            (name in _LOWER and now[name] < was[name]) or (name in _UPPER and now[name] > was[name])
        )
        if not widened:
            yield f"{where}: {name} {was.get(name, 'none')} became {now[name]}"


def _fields(
    was: Json, now: Json, where: str, side: Side, documents: tuple[Json, Json]
) -> Iterator[str]:
    before, after = was.get("properties", {}), now.get("properties", {})
    required = (set(was.get("required", ())), set(now.get("required", ())))
    for name, schema in before.items():
        if name not in after:
            yield f"{where}.{name}: removed"
            continue
        if side == "answer" and name in required[0] - required[1]:
            yield f"{where}.{name}: may be absent now"
        yield from _schema(schema, after[name], f"{where}.{name}", side, documents)
    if side == "request":
        for name in sorted(required[1] - required[0]):
            yield f"{where}.{name}: required now"
        if (
            now.get("additionalProperties") is False
            and was.get("additionalProperties") is not False
        ):
            yield f"{where}: unknown fields are refused now"


def main() -> int:
    """Exit code 0 if the second document has no breaking change."""
    old, new = (json.loads(Path(name).read_text()) for name in sys.argv[1:])
    found = breaks(old, new)
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
