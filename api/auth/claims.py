"""Reads a verified token's claims, in the forms in which issuers write them.

Who the user is (`sub`) must be valid. A name, an email address, roles or stores that cannot be read
count as absent: they grant nothing, and the user's own cart still works.
"""

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from adapters.mongo.carts import CartScope
from api.auth.roles import ALL_STORES
from api.fields import EMAIL_PATTERN, MAX_EMAIL
from models.actor import Actor, ActorType
from models.guests import is_guest_id
from models.user_id import USER_ID_RULE, is_user_id
from settings import Settings

MAX_NAME = 500
_EMAIL = re.compile(EMAIL_PATTERN)
_SEPARATORS = re.compile(r"[\s,]+")
_CONTROL = {"Cc", "Cs"}

Claims = Mapping[str, Any]


class ClaimError(ValueError):
    """A claim that is required cannot be used; the text says which and why, for the log."""


class Principal(BaseModel):
    """The authenticated user of a request."""

    model_config = ConfigDict(frozen=True)

    user_id: str
    name: str | None = None
    email: str | None = None
    is_guest: bool = False
    is_admin: bool = False
    store_ids: frozenset[str] = frozenset()
    expires_at: float = math.inf
    """When the token expires, in seconds since 1970."""

    @property
    def actor(self) -> Actor:
        """Who acts on the principal's own cart."""
        return Actor(type=ActorType.GUEST if self.is_guest else ActorType.USER, id=self.user_id)

    def administers(self, store_id: str) -> bool:
        """Whether the principal is an admin of the store, or of `ALL_STORES`."""
        return self.is_admin and not self.store_ids.isdisjoint({store_id, ALL_STORES})

    @property
    def scope(self) -> CartScope | None:
        """The carts that the principal may access by their ids; None means all."""
        if self.administers(ALL_STORES):
            return None
        return CartScope(self.user_id, self.store_ids if self.is_admin else frozenset())


def principal_of(claims: Claims, settings: Settings) -> Principal:
    """The user of an issuer's token. Raises `ClaimError` for a `sub` that is no user's id."""
    sub = claims.get("sub")
    if not isinstance(sub, str) or not is_user_id(sub):
        raise ClaimError(f"sub {USER_ID_RULE}")
    if is_guest_id(sub):
        raise ClaimError("sub is a guest's id, which only this service gives out")
    return Principal(
        user_id=sub,
        name=_name(claim(claims, settings.jwt_name_claim)),
        email=_email(claim(claims, settings.jwt_email_claim)),
        is_admin=settings.jwt_admin_role in words(claim(claims, settings.jwt_roles_claim)),
        store_ids=words(claim(claims, settings.jwt_stores_claim)),
        expires_at=claims.get("exp", math.inf) + settings.jwt_leeway_seconds,
    )


def claim(claims: Any, path: str) -> Any:
    """The claim with this name, or at this path of names with dots between them; else None.

    Names have dots too (`https://shop.example.com/roles`), so the longest name comes first.
    """
    if not isinstance(claims, Mapping):
        return None
    if path in claims:
        return claims[path]
    end = path.rfind(".")
    while end > 0:
        found = claim(claims.get(path[:end]), path[end + 1 :])
        if found is not None:
            return found
        end = path.rfind(".", 0, end)
    return None


def words(value: Any) -> frozenset[str]:
    """The words of a claim: a list, one text with spaces or commas between them, or an object whose
    names they are (Zitadel). A part that has another form is left out.
    """
    if isinstance(value, str):
        return frozenset(filter(None, _SEPARATORS.split(value)))
    if isinstance(value, Mapping):
        return frozenset(name for name, given in value.items() if given)
    if isinstance(value, list):
        return frozenset(one for one in value if isinstance(one, str))
    return frozenset()


def _name(value: Any) -> str | None:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME:
        return None
    return None if any(unicodedata.category(one) in _CONTROL for one in value) else value


def _email(value: Any) -> str | None:
    if not isinstance(value, str) or len(value) > MAX_EMAIL or not _EMAIL.fullmatch(value):
        return None
    return value
