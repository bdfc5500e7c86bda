"""Credentials for calls of the Inventory Service, checked as settings spell them.

Imports nothing of ours, because the settings use it.
"""

import json
import re
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

# RFC 9110: a token (5.6.2), and a field's value without obs-text (5.5).
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[!-~]([ \t!-~]*[!-~])?")
_OWN_HEADERS = frozenset(
    {"accept", "accept-encoding", "connection", "content-encoding", "content-length"}
    | {"content-type", "host", "te", "traceparent", "tracestate", "trailer"}
    | {"transfer-encoding", "upgrade"}
)


def checked_token(token: str) -> str:
    """A bearer token. Raises `ValueError` for one that no header can have."""
    if not re.fullmatch(r"[!-~]+", token):
        raise ValueError("must be visible ASCII characters without spaces")
    return token


def parsed_headers(text: str) -> dict[str, str]:
    """The headers in a JSON object. Raises `ValueError`, whose text has no value of theirs."""
    try:
        headers = json.loads(text)
    except ValueError:
        headers = None
    if not isinstance(headers, dict) or not all(isinstance(one, str) for one in headers.values()):
        raise ValueError('must be a JSON object of strings, like {"X-Tenant": "shop"}')
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"has a name that no header can have: {name!r}")
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"must not have {name}, which the service sets itself")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"has a value of {name} that is not visible ASCII characters")
    return headers


def check_combination(
    url: str, *, token: bool, headers: Collection[str], certificate: Path | None, key: Path | None
) -> None:
    """Raises `ValueError` for credentials that exclude each other, or of which a part is missing.

    `url` is the service's, `headers` the names of the headers that are sent to it.
    """
    logins = {
        "INVENTORY_TOKEN": token,
        "Authorization in INVENTORY_HEADERS": "authorization" in map(str.lower, headers),
        "the login in INVENTORY_SERVICE_URL": urlsplit(url).username is not None,
    }
    given = [name for name, is_given in logins.items() if is_given]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)}: set only one of them")
    if key and not certificate:
        raise ValueError("INVENTORY_CLIENT_CERT: must be set with INVENTORY_CLIENT_KEY")
    if certificate and urlsplit(url).scheme != "https":
        raise ValueError(
            "INVENTORY_SERVICE_URL: must start with https:// when INVENTORY_CLIENT_CERT is set"
        )
