"""Which certificates a connection trusts: a bundle's, the system's, or any."""

from __future__ import annotations

import os
import ssl


def context(verify: bool | str) -> ssl.SSLContext:
    """For a connection that checks as `verify` says: True, False, or a file of certificates.

    Raises OSError if the file cannot be read, and its kind SSLError if it holds no certificates.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if verify is False:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    elif isinstance(verify, str):
        made.load_verify_locations(cafile=verify)
    else:
        _load_system(made)
    return made


def _load_system(made: ssl.SSLContext) -> None:
    """Trust the system's store, whatever SSL_CERT_FILE says: aws does not look at it either."""
    paths = ssl.get_default_verify_paths()
    file = paths.openssl_cafile if os.path.isfile(paths.openssl_cafile) else None  # noqa: PTH113
    folder = paths.openssl_capath if os.path.isdir(paths.openssl_capath) else None  # noqa: PTH112
    if file is None and folder is None:
        # A Python that was built for another system: it depends on the variables.
        made.load_default_certs()
    else:
        made.load_verify_locations(cafile=file, capath=folder)
