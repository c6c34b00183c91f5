"""When certificates end."""

from __future__ import annotations

from pathlib import Path


def end_of(certificate: Path) -> int:
    """When the first certificate of a PEM file ends, in milliseconds.

    Raises OSError; ValueError if there is none in it.
    """
    from cryptography import x509

    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    return round(found.not_valid_after_utc.timestamp() * 1000)
