"""Certificates: of a server's private authority, and of an engine or a cluster's job for as long as that lives.

One authority a server, made at its first start and kept; the client's certificate goes into the line that a person
pastes at the client (`napari_ssl.jobs.place`). Elliptic curve P-256, valid for `VALID_DAYS` from now and at any time
before: a clock that is set back, or that of a node that is behind, is no reason to refuse a connection.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from napari_ssl.errors import EngineError

if TYPE_CHECKING:
    from distributed.security import Security

__all__ = ["FILES", "VALID_DAYS", "ensure_certificates", "temporary_security", "write_private"]

VALID_DAYS = 825
FILES = ("ca.pem", "server.pem", "server-key.pem", "client.pem", "client-key.pem")


def ensure_certificates(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the PEM texts of `FILES`, made where they are absent; all of them for their owner alone.

    Parameters
    ----------
    folder : Path
        Private folder of the server.
    names : sequence of str
        Host names and addresses that clients will use; they stand in the server's certificate.

    Raises
    ------
    EngineError
        The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        if not all((folder / name).is_file() for name in FILES):
            for name, text in _make(names).items():
                write_private(folder / name, text)
        return {name: (folder / name).read_text(encoding="ascii") for name in FILES}
    except OSError as error:
        raise EngineError(
            f"{folder}: the certificates cannot be kept there ({error.strerror}); choose another"
        ) from error


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read at any moment."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


def temporary_security() -> Security:
    """Return dask's settings for mutual TLS with a certificate in memory that is new at each call.

    As `Security.temporary` of distributed, whose certificate is not valid one second before it was made.
    """
    from distributed.security import Security

    key, name = ec.generate_private_key(ec.SECP256R1()), _name("napari-ssl internal")
    text = _pem(_builder(name, name, key).sign(key, hashes.SHA256()))
    texts: dict[str, str] = {}
    for role in ("client", "scheduler", "worker"):
        texts |= {f"tls_{role}_cert": text, f"tls_{role}_key": _key_text(key)}
    return Security(require_encryption=True, tls_ca_file=text, **texts)


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _make(names: Sequence[str]) -> dict[str, str]:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("napari-ssl authority")
    ca = (
        _builder(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )  # its key is not kept: nothing more will be signed
    texts = {"ca.pem": _pem(ca)}
    for role, usage in (("server", ExtendedKeyUsageOID.SERVER_AUTH), ("client", ExtendedKeyUsageOID.CLIENT_AUTH)):
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(f"napari-ssl {role}"), ca_name, key)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if role == "server":
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(n) for n in names]), critical=False)
        texts[f"{role}.pem"] = _pem(builder.sign(ca_key, hashes.SHA256()))
        texts[f"{role}-key.pem"] = _key_text(key)
    return texts


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(1970, 1, 1, tzinfo=UTC))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
