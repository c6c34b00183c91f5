"""An authority that makes certificates for tests."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    """Makes certificates, and directories as libnbd and QEMU want them."""

    def __init__(self, name: str) -> None:
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._serial = 1
        self.own = self._certificate(self._name, self._key, authority=True)

    def issue(self, folder: Path, role: str, *names: str) -> None:
        """A certificate for `server` or `client`, its key, and that of the authority.

        `names` stand for those of this host.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        folder.mkdir(exist_ok=True)
        certificate = self._certificate(subject, key, *names, authority=False)
        (folder / f"{role}-cert.pem").write_bytes(pem(certificate))
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (folder / f"{role}-key.pem").write_bytes(private)
        (folder / "ca-cert.pem").write_bytes(pem(self.own))

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *names: str, authority: bool
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        self._serial += 1
        here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        told = [x509.DNSName(name) for name in names] or here
        usage = {
            "digital_signature": True,
            "content_commitment": False,
            "key_encipherment": False,
            "data_encipherment": False,
            "key_agreement": False,
            "key_cert_sign": authority,
            "crl_sign": False,
            "encipher_only": False,
            "decipher_only": False,
        }
        by = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(self._serial)
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectAlternativeName(told), critical=False)
            # Python 3.13 refuses certificates without these.
            .add_extension(by, critical=False)
            .add_extension(own, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
