"""Finds the dead letters that are about a user, and none that are about others."""

import re
from collections.abc import Collection, Iterator
from typing import Any

import orjson

from adapters.kafka.dead_letters import Letter

_ID_BEFORE = r"(?<![\w@|:+.-])"
_ID_AFTER = r"(?![\w@|+-]|[:.]\w)"
"""Characters of an id. A full stop or colon after it may also end a sentence."""


def names(letter: Letter, ids: Collection[str], *, store_id: str | None = None) -> bool:
    """Whether a letter has one of the ids, and is not about another store.

    In JSON an id is a whole string. Elsewhere it is a whole word, since the id of another user may
    contain it.
    """
    texts = [letter.detail, (letter.key or b"").decode(errors="replace")]
    try:
        value = orjson.loads(letter.value)
    except orjson.JSONDecodeError:
        value = None
        texts.append(letter.value.decode(errors="replace"))
    fields = list(_strings(value))
    stores = {text for name, text in fields if name == "storeId"}
    if store_id is not None and stores and store_id not in stores:
        return False
    whole = {text for _, text in fields}
    return any(one in whole or any(_has_word(text, one) for text in texts) for one in ids)


def _strings(value: Any) -> Iterator[tuple[str | None, str]]:
    """The strings in a JSON value, each with the name of its field."""
    left: list[tuple[str | None, Any]] = [(None, value)]
    while left:
        name, one = left.pop()
        if isinstance(one, str):
            yield name, one
        elif isinstance(one, list):
            left += ((name, item) for item in one)
        elif isinstance(one, dict):
            left += one.items()


def _has_word(text: str, word: str) -> bool:
    return re.search(f"{_ID_BEFORE}{re.escape(word)}{_ID_AFTER}", text) is not None
