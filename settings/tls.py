"""TLS towards other servers: whose certificates are trusted.

Each server has a setting for an authority of its own. Without it, the authorities are those of
OpenSSL: the system's, or those in the file that `SSL_CERT_FILE` names.
"""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from settings.base import SettingsGroup


def _authorities(file: Path) -> Path:
    trusting(file)
    return file


def trusting(file: Path | None) -> ssl.SSLContext:
    """TLS that trusts the authorities in a PEM file; None: the usual ones.

    Raises `ValueError` for a file that cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:  # ssl.SSLError is one
        why = error.strerror or error
        raise ValueError(f"must be a PEM file of certificates ({why})") from None


def add_certificate(
    context: ssl.SSLContext, certificate: Path, key: Path | None, *, names: str
) -> None:
    """Adds a client's certificate; without `key`, its key is in the same file.

    Raises `ValueError` for files that cannot be used; it begins with the `names` of the settings.
    """
    try:
        # With an empty password a key that has one is an error. By default it would be asked for.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ValueError(
            f"{names}: must be PEM files of a certificate and its key, which has no password "
            f"({error})"
        ) from None


CaFile = Annotated[Path, AfterValidator(_authorities)]
"""A PEM file of the authorities that are trusted."""


class TlsSettings(SettingsGroup):
    """OpenSSL reads the variable by itself, and ignores a file that is not there."""

    ssl_cert_file: Path | None = None

    def broken_rules(self) -> Iterator[str]:
        if self.ssl_cert_file is not None and not self.ssl_cert_file.is_file():
            yield f"SSL_CERT_FILE={str(self.ssl_cert_file)!r}: there is no such file"
        yield from super().broken_rules()
