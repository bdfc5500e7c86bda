"""Certificates of an authority of their own, for servers and clients on this machine."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

LOCALHOST = ipaddress.ip_address("127.0.0.1")


@dataclass(frozen=True)
class Certificates:
    """PEM files: a certificate authority, and a server and a client with certificates of it."""

    authority: Path
    server: Path
    client: Path
    client_key: Path

    def server_tls(self, *, asks_for_client: bool = False) -> ssl.SSLContext:
        """TLS of a server with its certificate, which may require one of the client, too."""
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.authority))
        tls.load_cert_chain(self.server)
        tls.verify_mode = ssl.CERT_REQUIRED if asks_for_client else ssl.CERT_NONE
        return tls


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else None
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )


def certificates_in(folder: Path) -> Certificates:
    """Makes the files in this folder; also `locked.key` (with a password) and `other.key`."""
    now = dt.datetime.now(dt.UTC)
    root = ec.generate_private_key(ec.SECP256R1())

    def issued(name: str, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> bytes:
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(LOCALHOST), x509.DNSName("localhost")]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(root, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    server, client = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    files = {
        "authority.pem": issued("authority", root, ca=True),
        "server.pem": issued("server", server, ca=False) + _pem(server),
        "client.pem": issued("client", client, ca=False),
        "client.key": _pem(client),
        "locked.key": _pem(client, b"a password"),
        "other.key": _pem(server),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return Certificates(*(folder / name for name in [*files][:4]))
