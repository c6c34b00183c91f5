"""A real S3 service on this machine: moto's server, and buckets in it."""

from __future__ import annotations

import itertools
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from mooring.vault.store.s3 import S3Store

URL = "MOORING_TEST_S3_URL"
"""Names a bucket of any service, `s3://bucket/prefix`, for the conformance suite to qualify it."""

_numbers = itertools.count()


def given_store() -> S3Store:
    """A store below a fresh prefix of the bucket that the environment names.

    The service and the credentials are those of AWS's variables: AWS_ENDPOINT_URL, AWS_REGION,
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.
    """
    names = {"endpoint": "AWS_ENDPOINT_URL", "region": "AWS_REGION"}
    options = {name: os.environ[key] for name, key in names.items() if key in os.environ}
    return S3Store(f"{os.environ[URL].rstrip('/')}/{uuid.uuid4()}", options)


class Service:
    """Makes stores; each has a bucket of its own."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def bucket(self) -> str:
        name = f"bucket-{next(_numbers)}"
        with urlopen(Request(f"{self.endpoint}/{name}", method="PUT")):
            return name

    def options(self) -> dict[str, str]:
        return {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": "test",
            "secret_access_key": "test",
        }

    def store(self) -> S3Store:
        return S3Store(f"s3://{self.bucket()}/some/prefix", self.options())


@contextmanager
def service() -> Iterator[Service]:
    """Run it on a free port of loopback, in this process."""
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Service(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
