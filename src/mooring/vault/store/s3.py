"""A store in a bucket of any S3-compatible service."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import IO

from mooring.model.clock import Clock, SystemClock
from mooring.model.errors import (
    ConfigurationError,
    ObjectNotFoundError,
    StoreError,
    VaultAwayError,
)
from mooring.model.extents import Buffer
from mooring.vault.store.interface import check_largest
from mooring.vault.store.names import check_name
from mooring.vault.store.retrying import PATIENCE, Patience, Retrying

try:
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError
    from obstore.store import S3Store as Bucket
except ModuleNotFoundError as error:
    raise ConfigurationError(
        "a vault in a bucket needs the Python package obstore: pip install 'mooring-disks[s3]'"
    ) from error

_IN_MEMORY = 8 * 1024 * 1024
"""What is larger waits in an unnamed temporary file until it is sent."""


class S3Store:
    """Objects below `s3://bucket/prefix`.

    Relies on what S3 promises since 2020: whoever reads or lists after a change sees it; and on
    conditional writes (`If-None-Match: *`). Credentials, and what `options` leave out, come from
    the environment (`AWS_ACCESS_KEY_ID` and so on) or the machine's role. Every object is put by
    one request, so that killed uploads leave nothing.
    """

    can_punch = False

    def __init__(
        self,
        url: str,
        options: Mapping[str, str] | None = None,
        *,
        patience: Patience = PATIENCE,
        clock: Clock | None = None,
    ) -> None:
        """`options` as obstore names them: `endpoint`, `region`, `access_key_id` and so on.

        Raises ConfigurationError for an address or options that are none.
        """
        self.url = url.rstrip("/")
        chosen = dict(options or {})
        # What obstore has repeated for long is not tried again.
        answers = (FileNotFoundError, AlreadyExistsError)
        self._insist = Retrying(clock or SystemClock(), patience, BaseError, answers)
        self._held: tuple[str, bytes] | None = None
        plain = chosen.get("endpoint", "").startswith("http://")

        def bucket(request_seconds: float) -> Bucket:
            return Bucket.from_url(
                self.url,
                config=chosen,  # type: ignore[arg-type]
                client_options={
                    "allow_http": plain,
                    "timeout": timedelta(seconds=request_seconds),
                },
                retry_config={"retry_timeout": timedelta(seconds=patience.retry_seconds)},
            )

        try:
            self._bucket = bucket(patience.request_seconds)
            self._bucket_for_uploads = bucket(patience.upload_seconds)
        except (BaseError, ValueError) as error:
            raise ConfigurationError(f"the vault {url} cannot be opened: {error}") from error

    @property
    def description(self) -> str:
        return self.url

    def hold_to(self, name: str, content: bytes) -> None:
        self._held = check_name(name), content

    def check(self, *, writes: bool = False) -> None:
        """Whether it can be written to, only writing tells."""
        del writes
        if self._held is None:
            return
        name, content = self._held
        try:
            same = self.get(name) == content
        except ObjectNotFoundError:
            raise VaultAwayError(f"the vault {self.url} is away: put it back") from None
        if not same:
            raise VaultAwayError(
                f"{self.url} no longer holds the same vault: put the right one back"
            )

    def upload(self) -> S3Upload:
        return S3Upload(self)

    def put(self, name: str, data: Buffer, *, replace: bool = True) -> bool:
        path = check_name(name)
        content = bytes(data)
        with self._errors("write", name):
            try:
                self._insist(
                    lambda: obstore.put(
                        self._bucket,
                        path,
                        content,
                        mode="overwrite" if replace else "create",
                        use_multipart=False,
                    )
                )
            except AlreadyExistsError:
                # After a reply that was lost, the repeated request meets what the first wrote.
                return self.get(name) == content
        return True

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        path = check_name(name)
        with self._errors("read", name):
            if offset == 0 and length is None:
                return self._insist(lambda: self._whole(path))
            # A range beyond the end is an error to S3, and the size is needed to tell.
            if length is None or length == 0:
                return self._clamped(path, offset, length)
            try:
                return bytes(obstore.get_range(self._bucket, path, start=offset, length=length))
            except BaseError:
                return self._clamped(path, offset, length)

    def _whole(self, path: str) -> bytes:
        found = obstore.get(self._bucket, path)
        check_largest(found.meta["size"], path, self.description)
        return bytes(found.bytes())

    def tail(self, name: str, length: int) -> tuple[bytes, int]:
        path = check_name(name)
        with self._errors("read", name):
            if length == 0:
                return b"", self._size(path)
            return self._insist(lambda: self._tail(path, length))

    def names(self, prefix: str) -> Iterator[str]:
        return (name for name, _ in self.marked(prefix))

    def begins(self, folder: str, name: str) -> bool:
        path = check_name(folder.rstrip("/"))
        with self._errors("list", folder):
            # In the order of names, so the first behind that is one of them, or there is none.
            batch = self._insist(lambda: self._batch(path, folder + name))
        return bool(batch) and batch[0][0].startswith(folder + name)

    def marked(self, prefix: str) -> Iterator[tuple[str, str]]:
        folder = check_name(prefix.rstrip("/")) if prefix else None
        with self._errors("list", prefix):
            # In the order of names: what was interrupted continues behind the last one.
            last: str | None = None
            while batch := self._insist(lambda after=last: self._batch(folder, after)):  # type: ignore[misc]
                yield from batch
                last = batch[-1][0]

    def rename(self, old: str, new: str) -> None:
        path, target = check_name(old), check_name(new)
        with self._errors("rename", old):
            self._insist(lambda: obstore.copy(self._bucket, path, target, overwrite=True))
            self._insist(lambda: obstore.delete(self._bucket, path))

    def delete(self, name: str) -> None:
        path = check_name(name)
        with self._errors("delete", name), suppress(FileNotFoundError):
            self._insist(lambda: obstore.delete(self._bucket, path))

    def barrier(self, names: Iterable[str]) -> None:
        """What the service has acknowledged is durable."""
        for name in names:
            check_name(name)

    def allocated(self, name: str) -> int:
        path = check_name(name)
        with self._errors("read", name):
            return self._size(path)

    def punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> None:
        raise StoreError(f"the vault {self.url} cannot reclaim parts of an object: {name}")

    def sweep(self, before_ms: int) -> int:
        """There is nothing to find: what is not whole has no name in a bucket."""
        return 0

    def close(self) -> None:
        """Connections are closed with the object."""

    def _size(self, path: str) -> int:
        return self._insist(lambda: int(obstore.head(self._bucket, path)["size"]))

    def _tail(self, path: str, length: int) -> tuple[bytes, int]:
        found = obstore.get(self._bucket, path, options={"range": {"suffix": length}})
        return bytes(found.bytes()), int(found.meta["size"])

    def _batch(self, folder: str | None, after: str | None) -> list[tuple[str, str]]:
        """The next names behind one, with their ETags; empty at the end."""
        for batch in obstore.list(self._bucket, prefix=folder, offset=after, chunk_size=1000):
            if batch:
                return [(item["path"], item["e_tag"] or "") for item in batch]
        return []

    def _clamped(self, path: str, offset: int, length: int | None) -> bytes:
        size = self._size(path)
        end = size if length is None else min(size, offset + length)
        if end <= offset:
            return b""
        return self._insist(
            lambda: bytes(obstore.get_range(self._bucket, path, start=offset, end=end))
        )

    @contextmanager
    def _errors(self, action: str, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ObjectNotFoundError(f"the vault {self.url} has no object {name}") from error
        except (BaseError, OSError) as error:
            raise StoreError(
                f"could not {action} {name} in the vault {self.url}: {_first_line(error)}"
            ) from error


class S3Upload:
    """An object of an S3Store in the making: its name is known only at its end."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._file: IO[bytes] | None = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - see abort
            max_size=_IN_MEMORY
        )

    def write(self, data: Buffer) -> None:
        if self._file is None:
            raise StoreError("the upload is over")
        try:
            self._file.write(data)
        except OSError as error:
            raise StoreError(
                f"no space in {tempfile.gettempdir()} for what goes to the vault "
                f"{self._store.url}: {error.strerror}; set TMPDIR to a larger file system"
            ) from error

    def commit(self, name: str) -> None:
        if self._file is None:
            raise StoreError("the upload is over")
        try:
            path = check_name(name)
            with self._store._errors("write", name):
                content = _content(self._file)
                self._store._insist(lambda: self._put(path, content))
        finally:
            self.abort()

    def _put(self, path: str, content: Buffer) -> None:
        """In one request: parts cost as much as objects do, and stay behind when we are killed."""
        obstore.put(self._store._bucket_for_uploads, path, content, use_multipart=False)

    def abort(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _content(file: IO[bytes]) -> Buffer:
    """What was written, in memory for as long as it is being sent. Raises OSError."""
    size = file.tell()
    if size <= _IN_MEMORY:
        file.seek(0)
        return file.read()
    file.flush()
    # Not the file itself is mapped: where its disk cannot be read, the kernel would end the server.
    content = memoryview(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    done = 0
    while done < size:
        read = os.preadv(file.fileno(), [content[done:]], done)
        if not read:
            raise OSError(errno.EIO, f"{tempfile.gettempdir()} has lost a part of what it held")
        done += read
    # It is given back with the last reference: a request that failed may hold one a little longer.
    return content


def _first_line(error: BaseException) -> str:
    """What obstore says; the rest of it is its own state."""
    return str(error).partition("\n")[0]
