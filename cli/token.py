"""`cart token`: tokens for development, signed with the shared secret."""

import time
from typing import Annotated, Any

import jwt
import typer

from api.auth.roles import ADMIN, ALL_STORES
from cli.console import CliError, say_whole
from settings import JwtAlgorithm, Settings, load_settings

DEFAULT_TTL_SECONDS = 3600


class TokenError(CliError):
    """Tokens cannot be signed with these settings."""


def token(
    *,
    user: Annotated[str, typer.Option(help="The user's id.")],
    store: Annotated[str | None, typer.Option(help="A store the user may administer.")] = None,
    role: Annotated[str | None, typer.Option(help="A role, such as admin.")] = None,
    name: Annotated[str | None, typer.Option(help="The user's full name.")] = None,
    email: Annotated[str | None, typer.Option(help="The user's email address.")] = None,
    ttl: Annotated[
        int, typer.Option(min=1, help="Seconds until it expires.")
    ] = DEFAULT_TTL_SECONDS,
) -> None:
    """Print a token for development."""
    optional = {"store": store, "role": role, "name": name, "email": email}
    say_whole(mint_token(load_settings(), user=user, ttl_seconds=ttl, **optional))


def mint_token(
    settings: Settings,
    *,
    user: str,
    store: str | None = None,
    role: str | None = None,
    name: str | None = None,
    email: str | None = None,
    ttl_seconds: int = DEFAULT_TTL_SECONDS,
) -> str:
    """A token that the API accepts for `ttl_seconds`. An admin without a store has all stores.

    Raises `TokenError` unless tokens are signed with the shared secret.
    """
    if settings.jwt_algorithm is not JwtAlgorithm.HS256:
        raise TokenError(
            f"cart token needs JWT_ALGORITHM=HS256; with {settings.jwt_algorithm} the issuer "
            "signs the tokens"
        )
    now = int(time.time())
    stores = [store] if store else [ALL_STORES] if role == ADMIN else []
    claims: dict[str, Any] = {
        "sub": user,
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "iat": now,
        "exp": now + ttl_seconds,
        "roles": [role] if role else [],
        "store_ids": stores,
    }
    claims |= {claim: value for claim, value in (("name", name), ("email", email)) if value}
    secret = settings.jwt_secret.get_secret_value()
    return jwt.encode(claims, secret, algorithm=JwtAlgorithm.HS256)
