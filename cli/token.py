"""`cart token`: tokens for development, signed with the shared secret."""

import time
from typing import Annotated, Any

import jwt
import typer

from api.auth.roles import ALL_STORES
from cli.console import CliError, say_whole
from models.guests import is_guest_id
from models.user_id import USER_ID_RULE, is_user_id
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

    Raises `TokenError` for a user that cannot be, and unless tokens are signed with the shared
    secret.
    """
    if not is_user_id(user):
        raise TokenError(f"--user {USER_ID_RULE}")
    if is_guest_id(user):
        raise TokenError("--user is a guest's id; POST /api/v1/guests makes guests")
    if settings.jwt_algorithm is not JwtAlgorithm.HS256:
        raise TokenError(
            f"cart token needs JWT_ALGORITHM=HS256; with {settings.jwt_algorithm} the issuer "
            "signs the tokens"
        )
    now = int(time.time())
    stores = [store] if store else [ALL_STORES] if role == settings.jwt_admin_role else []
    claims: dict[str, Any] = {
        "sub": user,
        "iat": now,
        "exp": now + ttl_seconds,
        settings.jwt_roles_claim: [role] if role else [],
        settings.jwt_stores_claim: stores,
    }
    optional = {
        "iss": next(iter(settings.jwt_issuers), None),
        settings.jwt_audience_claim: next(iter(settings.jwt_audiences), None),
        settings.jwt_name_claim: name,
        settings.jwt_email_claim: email,
    }
    claims |= {claim: value for claim, value in optional.items() if value}
    secret = settings.jwt_secret.get_secret_value()
    return jwt.encode(claims, secret, algorithm=JwtAlgorithm.HS256)
