"""The keys in an issuer's JWKS document (RFC 7517) that can verify signatures of one algorithm.

Issuers leave out `alg`, `use` and even `kid`, and publish keys for other purposes beside. A key
that cannot be used never affects the others.
"""

import base64
from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt
import orjson
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import OKPAlgorithm, get_default_algorithms

MAX_KEYS = 100
MIN_RSA_BITS = 2048  # RFC 7518, 3.3 and 3.5
MAX_RSA_BITS = 16384
_RSA, _EC, _OKP = "RSA", "EC", "OKP"
_KEY_TYPES = {"RS": _RSA, "PS": _RSA, "ES": _EC, "Ed": _OKP}
_CURVES = {
    "ES256": ("P-256", "secp256r1"),
    "ES384": ("P-384", "secp384r1"),
    "ES512": ("P-521", "secp521r1"),
}
# Only these are read, so that a private key is never loaded.
_PUBLIC = ("kty", "n", "e", "crv", "x", "y")
# EdDSA says no curve, and newer keys and tokens have a name that does (RFC 9864, 2.2).
_SPECIFIC = {"EdDSA": ("Ed25519", "Ed448")}
for _name in _SPECIFIC["EdDSA"]:
    jwt.register_algorithm(_name, OKPAlgorithm())


class UnusableKeyError(ValueError):
    """A key cannot verify signatures of the algorithm; the text says why."""


# Raised for entries that do not have the form that the libraries expect.
_BROKEN = (ValueError, TypeError, LookupError, AttributeError, OverflowError, jwt.PyJWTError)


def names_of(algorithm: str) -> tuple[str, ...]:
    """The names of an algorithm in the `alg` of keys and of tokens."""
    return (algorithm, *_SPECIFIC.get(algorithm, ()))


@dataclass(frozen=True)
class KeySet:
    """Keys by id; several can have one id, or none. `skipped` says why others are not used."""

    by_id: dict[str | None, list[Any]] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()

    def candidates(self, kid: str | None) -> Sequence[Any]:
        """The keys that may have signed a token: those with its key id, or all without one."""
        if kid is None:
            return [key for keys in self.by_id.values() for key in keys]
        return self.by_id.get(kid, ())

    @property
    def without_id(self) -> Sequence[Any]:
        """The keys without an id, any of which may have signed a token whose id is unknown."""
        return self.by_id.get(None, ())


def read_keys(document: bytes, algorithm: str) -> KeySet:
    """The usable keys of a document. Raises `ValueError` if it has none, or is no JWKS document."""
    content = orjson.loads(document.removeprefix(BOM_UTF8))
    entries = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(  # noqa: TRY004 (of the document, not of our caller)
            "the document is no JSON object with a list of `keys`"
        )
    by_id: dict[str | None, list[Any]] = {}
    skipped: list[str] = []
    for entry in entries[:MAX_KEYS]:
        try:
            key = _usable(entry, algorithm)
        except _BROKEN as error:
            kid = entry.get("kid") if isinstance(entry, dict) else None
            skipped.append(f"{kid!r:.64}: {str(error) or type(error).__name__:.200}")
        else:
            kid = entry.get("kid")
            by_id.setdefault(kid if isinstance(kid, str) else None, []).append(key)
    if not by_id:
        why = f": {'; '.join(skipped[:3])}" if skipped else ""
        raise ValueError(f"the document has no key for {algorithm}{why}")
    return KeySet(by_id, tuple(skipped))


def _usable(entry: Any, algorithm: str) -> Any:
    """The public key of an entry. Raises one of `_BROKEN`."""
    if not isinstance(entry, dict):
        raise UnusableKeyError("not an object")
    key_type = _KEY_TYPES[algorithm[:2]]
    if entry.get("kty") != key_type:
        raise UnusableKeyError(f"kty is {entry.get('kty')!r:.20}, not {key_type}")
    if entry.get("alg") not in (None, *names_of(algorithm)):
        raise UnusableKeyError(f"alg is {entry['alg']!r:.20}, not {algorithm}")
    if entry.get("use") not in (None, "sig"):
        raise UnusableKeyError("use is not sig")
    operations = entry.get("key_ops")
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        raise UnusableKeyError("key_ops has no verify")
    key = _public_key(entry, algorithm)
    _check_strength(key, algorithm)
    return key


def _public_key(entry: dict[str, Any], algorithm: str) -> Any:
    """The key from its own parameters, or without any from its certificate."""
    parameters = {name: entry[name] for name in _PUBLIC if name in entry}
    if parameters.keys() == {"kty"} and entry.get("x5c"):
        certificate = base64.b64decode(entry["x5c"][0], validate=True)
        return x509.load_der_x509_certificate(certificate).public_key()
    return get_default_algorithms()[algorithm].from_jwk(parameters)


def _check_strength(key: Any, algorithm: str) -> None:
    """Raises `UnusableKeyError` for a key of the wrong type, length or curve."""
    match _KEY_TYPES[algorithm[:2]]:
        case "RSA":
            if not isinstance(key, RSAPublicKey):
                raise UnusableKeyError("the certificate has another type of key")
            if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
                raise UnusableKeyError(
                    f"{key.key_size} bits; RSA keys have {MIN_RSA_BITS} to {MAX_RSA_BITS}"
                )
        case "EC":
            name, curve = _CURVES[algorithm]
            if not isinstance(key, EllipticCurvePublicKey) or key.curve.name != curve:
                raise UnusableKeyError(f"crv is not {name}")
