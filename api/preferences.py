"""The `Prefer` header (RFC 7240): clients that want an error status where the contract has 200."""

import re
from collections.abc import Iterable

STRICT = "handling=strict"
APPLIED = (b"preference-applied", STRICT.encode())
"""The response header that says that the preference was applied."""

# Parts between commas or semicolons, which may also be inside a quoted string.
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PREFERENCES = re.compile(rf'(?:{_QUOTED}|[^,"])+')
_PARAMETERS = re.compile(rf'(?:{_QUOTED}|[^;"])+')


def prefers_strict(headers: Iterable[str]) -> bool:
    """Whether `handling=strict` (RFC 7240, 4.4) is among the preferences of all header lines.

    Of a preference that is given several times, the first one counts.
    """
    for preference in _PREFERENCES.findall(",".join(headers)):
        found = _PARAMETERS.search(preference)
        name, _, value = found[0].partition("=") if found else ("", "", "")
        if name.strip().lower() == "handling":
            return _unquoted(value.strip()).lower() == "strict"
    return False


def _unquoted(value: str) -> str:
    if value.startswith('"') and value.endswith('"'):
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value
