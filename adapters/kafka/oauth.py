"""Kafka: tokens for SASL OAUTHBEARER, by OAuth's client credentials grant (RFC 6749, 4.4)."""

import time
from functools import lru_cache

import httpx
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError
from pydantic import SecretStr

from settings import Settings
from settings.proxies import proxy_for

TOKEN_SECONDS = 2.0
"""How long the issuer may take."""
USUAL_SECONDS = 300.0
"""How long a token is valid whose answer does not say so (`expires_in` is only recommended)."""
EARLIER = 0.2
"""The part of a token's time that is left when the next one is fetched: connections begin with it,
and a broker that limits sessions ends them with the token."""
DETAIL_CHARACTERS = 200


class ClientCredentials(AbstractTokenProvider):
    """Tokens of one client, each used until it is nearly over."""

    def __init__(self, url: str, client_id: str, secret: SecretStr, scope: str | None) -> None:
        self._url = url
        self._login = httpx.BasicAuth(client_id, secret.get_secret_value())
        self._form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
        self._token = ""
        self._good_until = 0.0

    async def token(self) -> str:
        """A token. Raises `KafkaConnectionError` when the issuer gives none."""
        if time.monotonic() >= self._good_until:
            self._token, seconds = await self._fetched()
            self._good_until = time.monotonic() + seconds * (1 - EARLIER)
        return self._token

    async def _fetched(self) -> tuple[str, float]:
        """A new token, and for how many seconds it is valid."""
        try:
            # Its own TLS context reads SSL_CERT_FILE. Tokens are rare, so nothing is kept open.
            async with httpx.AsyncClient(
                timeout=TOKEN_SECONDS, trust_env=False, proxy=proxy_for(self._url)
            ) as http:
                answer = await http.post(self._url, data=self._form, auth=self._login)
        except httpx.HTTPError as error:
            raise _no_token(repr(error)) from error
        if not answer.is_success:
            # As in RFC 6749, 5.2: {"error": "invalid_client", …}. It has no secret of ours.
            raise _no_token(f"{answer.status_code}: {answer.text[:DETAIL_CHARACTERS]}")
        try:
            fields = answer.json()
            token, seconds = fields["access_token"], float(fields.get("expires_in", USUAL_SECONDS))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _no_token("its answer has no access_token") from None
        if not isinstance(token, str) or not token:
            raise _no_token("its answer has no access_token")
        return token, seconds


def _no_token(why: str) -> KafkaConnectionError:
    return KafkaConnectionError(f"no token from KAFKA_OAUTH_TOKEN_URL: {why}")


def tokens_of(settings: Settings) -> ClientCredentials:
    """The tokens of the configured client, shared by all clients of this process."""
    return _tokens(
        str(settings.kafka_oauth_token_url),
        settings.kafka_oauth_client_id or "",
        settings.kafka_oauth_client_secret or SecretStr(""),
        settings.kafka_oauth_scope,
    )


@lru_cache(maxsize=8)
def _tokens(url: str, client_id: str, secret: SecretStr, scope: str | None) -> ClientCredentials:
    return ClientCredentials(url, client_id, secret, scope)
