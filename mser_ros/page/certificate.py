"""A certificate of this machine's own, so that a page is sent encrypted and a phone lends it its microphone.

Nobody vouches for it: browsers warn once, and who wants to be sure compares its fingerprint.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import socket
import ssl
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ..errors import SettingsError, not_installed

#: Browsers take no certificate that lasts longer; one that ends so soon is replaced [days].
_LASTS, _LEFT = 397, 7


def own_certificate(folder: Path, names: Iterable[str]) -> tuple[Path, Path]:
    """The files of a certificate for these names and addresses, and of its key, which only this user can read.

    It is made anew where there is none yet, or it is of other names or about to end. Raises `DependencyError`, or
    `SettingsError` where the folder cannot be written."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise not_installed("cryptography") from None
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    wanted = x509.SubjectAlternativeName([_named(name) for name in sorted({"localhost", "127.0.0.1", "::1", *names})])
    now = datetime.now(timezone.utc)
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        check(certificate, key)
        named = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if named == wanted and _end_of(found) - now > timedelta(days=_LEFT):
            return certificate, key
    except (OSError, ValueError, SettingsError, x509.ExtensionNotFound):
        pass  # it is made anew
    secret = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"mser_ros on {socket.gethostname()}"[:64])])
    made = (
        x509.CertificateBuilder(subject, subject, secret.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # a phone's clock may be behind
        .not_valid_after(now + timedelta(days=_LASTS - 1))
        .add_extension(wanted, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    coding = serialization.Encoding.PEM
    private = secret.private_bytes(coding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in ((key, private), (certificate, made.public_bytes(coding))):
            path.unlink(missing_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
    except OSError as error:
        raise SettingsError(f"no certificate can be kept in {folder} ({error}): give one by --certificate") from None
    return certificate, key


def check(certificate: Path, key: Path) -> None:
    """Raises `SettingsError` where they cannot be used."""
    try:
        # Without a password, lest somebody be asked for one where nobody sees it.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # of ssl as well
        raise SettingsError(
            f"the page cannot be encrypted by {certificate} and {key} ({error}): name a certificate and its key, "
            "both as PEM, the key without a password"
        ) from None


def fingerprint(certificate: Path) -> str:
    """SHA-256 of a certificate, as browsers show it."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(_first(certificate.read_text()))).digest().hex(":").upper()


def _first(text: str) -> str:
    """The first certificate of a chain, whose others follow it."""
    end = "-----END CERTIFICATE-----"
    return text[text.index("-----BEGIN CERTIFICATE") : text.index(end) + len(end)]


def _end_of(certificate: Any) -> datetime:
    """Until when a certificate is valid; of cryptography before 42 without its time zone, which is UTC."""
    if hasattr(certificate, "not_valid_after_utc"):
        end: datetime = certificate.not_valid_after_utc
        return end
    end = certificate.not_valid_after
    return end.replace(tzinfo=timezone.utc)


def _named(name: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
