r"""Text of other systems and of strangers, made fit for a terminal and for logs.

Escaped are control characters (C0 and C1), which a terminal interprets; marks that change the
direction of text; characters without width; line separators; lone surrogates; and unassigned
characters. The escapes are those of Python's literals (`\x1b`, `\n`, `\u202e`), in JSON those
of JSON, so that JSON keeps the value.
"""

import json
import re
from unicodedata import category

_UNUSUAL = re.compile(r"[^\n\x20-\x7e]")


def printable(text: str, encoding: str = "utf-8") -> str:
    r"""The text with escapes for what cannot be shown, or cannot be encoded.

    >>> printable("\x1b]0;title\x07\n")
    '\\x1b]0;title\\x07\\n'
    """
    if not text.isprintable():
        text = "".join(
            one if _is_shown(one) else one.encode("unicode_escape").decode() for one in text
        )
    return text if text.isascii() else text.encode(encoding, "backslashreplace").decode(encoding)


def printable_json(text: str, encoding: str = "utf-8") -> str:
    """JSON text with escapes for what cannot be shown, or cannot be encoded; the same JSON value.

    A newline stays: in JSON it is not part of a value.
    """

    def shown(found: re.Match[str]) -> str:
        one = found[0]
        is_whole = _is_shown(one) and _can_encode(one, encoding)
        return one if is_whole else json.dumps(one)[1:-1]

    return _UNUSUAL.sub(shown, text)


def _is_shown(character: str) -> bool:
    """Whether a terminal shows it, or it is a space of any width."""
    return character.isprintable() or category(character) == "Zs"


def _can_encode(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
