"""Keys of the service: encrypt personal data, and sign what is kept in Redis.

All keys are derived from the secrets in `DATA_SECRETS`. The first secret is used to write, all of
them to read. So a secret is changed without a gap: add the new one at the end, then move it to the
front, then remove the old one (docs/privacy.md).
"""

import hashlib
import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAC_CHARACTERS = 43
"""The length of a signature: SHA-256 in base64url without padding."""

_NONCE_BYTES = 12
_SALT = b"cart-service"


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys of one secret. `id` is in each sealed text, and says nothing about the secret."""

    id: str
    signing: bytes
    sealing: "AESGCM"

    @classmethod
    def of(cls, secret: str) -> "_Keys":
        # Imported here: it takes 40 ms, and most commands of the CLI need no keys.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

        def derived(use: bytes) -> bytes:
            return HKDF(SHA256(), length=32, salt=_SALT, info=use).derive(secret.encode())

        return cls(
            id=derived(b"id")[:4].hex(),
            signing=derived(b"sign"),
            sealing=AESGCM(derived(b"seal")),
        )


class Keyring:
    """Seals (AES-256-GCM) and signs (HMAC-SHA256) data.

    `about` is what the data is about, such as its kind, store and user. Sealed or signed data is
    only accepted with the same `about`: it cannot be passed off as another's.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._all = [_Keys.of(secret) for secret in secrets]
        self._newest = self._all[0]

    def seal(self, text: str, *about: str) -> str:
        """The encrypted text, as `{key id}.{base64url}`."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._newest.sealing.encrypt(nonce, text.encode(), _framed(about))
        return f"{self._newest.id}.{_to_text(nonce + sealed)}"

    def open(self, sealed: str, *about: str) -> str | None:
        """The text; None if it was sealed with a key that is not known, or not by this service."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        key_id, _, text = sealed.partition(".")
        for keys in self._all:
            if keys.id != key_id:
                continue
            try:
                data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
                nonce, rest = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
                return keys.sealing.decrypt(nonce, rest, _framed(about)).decode()
            except (InvalidTag, ValueError):
                continue
        return None

    def sign(self, data: bytes, *about: str) -> bytes:
        """The signature of data, `MAC_CHARACTERS` long."""
        return _mac(self._newest, data, about)

    def is_signed(self, data: bytes, mac: bytes, *about: str) -> bool:
        """Whether the signature is one of this service for this data."""
        return any(hmac.compare_digest(_mac(keys, data, about), mac) for keys in self._all)


def _mac(keys: _Keys, data: bytes, about: Sequence[str]) -> bytes:
    return _to_text(hmac.digest(keys.signing, _framed(about) + data, hashlib.sha256)).encode()


def _framed(about: Sequence[str]) -> bytes:
    """The parts with their number and lengths, so that no others have the same bytes."""
    parts = [part.encode() for part in about]
    return bytes([len(parts)]) + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _to_text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
