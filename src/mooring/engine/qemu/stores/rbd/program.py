"""Speaks to a Ceph cluster: a program for the system's Python.

The libraries of Ceph end their process when they do not like what they find, and their modules for
Python exist only for the system's. So a server starts this file with `/usr/bin/python3`, which
has `rados` and `rbd` (Debian: python3-rados, python3-rbd), and asks it over a Unix socket. It
ends when its standard input does, thus with the server, whatever becomes of that.

A request and a reply are each a length of four bytes, so many bytes of JSON, and as many bytes as
its member `data` says. Each connection has a thread, and one request at a time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import rados  # type: ignore[import-not-found]
import rbd  # type: ignore[import-not-found]

ORDER = 22
"""Images have objects of 4 MiB."""

_OBJECT = 1 << ORDER
_FEATURES = 1 | 4 | 8 | 16
"""layering, exclusive-lock, object-map, fast-diff (librbd.h)."""

_IN_FLIGHT = 128
_KEYS_AT_ONCE = 1000
_BLOCKLIST_SECONDS = 30 * 24 * 3600.0
_MISSING = -2


class Cluster:
    """The requests, one method each; keyword arguments are the members of the request."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._connected: tuple[Any, Any] | None = None
        self._images: dict[int, Any] = {}
        # Others than those of the program before, with which its callers may come.
        self._next = int.from_bytes(os.urandom(6), "big")

    # --- the cluster

    def hello(self) -> dict[str, Any]:
        """Connect. Returns the address by which the cluster knows this process."""
        cluster, _ = self._connect()
        return {"address": cluster.get_addrs(), "fsid": cluster.get_fsid()}

    def look_again(self) -> None:
        """Ask the monitors which OSDs there are."""
        with contextlib.suppress(Exception):
            self._connect()[0].wait_for_latest_osdmap()

    def status(self) -> dict[str, Any]:
        """What the monitors say of the cluster, and of the pool."""
        pool = self._settings["pool"]
        df = self._ask(prefix="df")
        pools = [one["stats"] for one in df.get("pools", []) if one["name"] == pool]
        health = self._ask(prefix="health", detail="detail")
        return {"health": health, "stats": df.get("stats", {}), "pool": pools[0] if pools else {}}

    def blocklist(self, addresses: list[str]) -> dict[str, Any]:
        """Shut clients out. When it returns, what they still send is refused."""

        def shut_out(address: str) -> None:
            self._ask(
                prefix="osd blocklist", blocklistop="add", addr=address, expire=_BLOCKLIST_SECONDS
            )

        # Side by side, because the monitors agree on all that has come in at once.
        with ThreadPoolExecutor(32) as pool:
            list(pool.map(shut_out, addresses))
        self._connect()[0].wait_for_latest_osdmap()
        return {}

    # --- names

    def keys(self, table: str, prefix: str) -> dict[str, Any]:
        """All keys with a prefix, with their values as Latin-1."""
        found: dict[str, str] = {}
        after = ""
        while True:
            with rados.ReadOpCtx() as op:
                iterator, _ = self._io.get_omap_vals(op, after, prefix, _KEYS_AT_ONCE)
                try:
                    self._io.operate_read_op(op, table)
                except rados.ObjectNotFound:
                    return {"found": found}
                part = dict(iterator)
            found.update((key, _text(value)) for key, value in part.items())
            if len(part) < _KEYS_AT_ONCE:
                return {"found": found}
            after = max(part)

    def get(self, table: str, wanted: list[str]) -> dict[str, Any]:
        """The values of those of the keys that are there."""
        with rados.ReadOpCtx() as op:
            iterator, _ = self._io.get_omap_vals_by_keys(op, tuple(wanted))
            try:
                self._io.operate_read_op(op, table)
            except rados.ObjectNotFound:
                return {"found": {}}
            return {"found": {key: _text(value) for key, value in iterator}}

    def apply(
        self, table: str, put: dict[str, str], drop: list[str], expect: dict[str, str]
    ) -> dict[str, Any]:
        """Set and remove keys, all of them at one instant.

        Fails with ECANCELED, and changes none, unless those of `expect` have these values, where an
        empty one is a key that is not there.
        """
        try:
            self._apply(table, put, drop, expect)
        except rados.ObjectNotFound:
            # Without the object no key is there.
            if any(expect.values()):
                raise OSError(errno.ECANCELED, f"there is no {table}") from None
            self._apply(table, put, drop, {})
        return {}

    def _apply(
        self, table: str, put: dict[str, str], drop: list[str], expect: dict[str, str]
    ) -> None:
        with rados.WriteOpCtx() as op:
            for key, value in expect.items():
                op.omap_cmp(key, value)
            if put:
                values = tuple(value.encode("latin-1") for value in put.values())
                self._io.set_omap(op, tuple(put), values)
            if drop:
                self._io.remove_omap_keys(op, tuple(drop))
            self._io.operate_write_op(op, table)

    # --- images

    def create(self, image: str, size: int) -> dict[str, Any]:
        rbd.RBD().create(self._io, image, size, ORDER, old_format=False, features=_FEATURES)
        with self._reading(image) as opened:
            return {"id": opened.id()}

    def remove(self, image: str) -> dict[str, Any]:
        """Remove an image; no such image is well. Fails with EBUSY while a client has it open."""
        try:
            rbd.RBD().remove(self._io, image)
        except rbd.ImageNotFound:
            # Said as well where the library cannot make its list of what is being removed: the
            # first time in a name space, while the cluster is full.
            with contextlib.suppress(rados.ObjectNotFound):
                self._io.stat(f"rbd_id.{image}")
                raise OSError(errno.EBUSY, f"{image} cannot be removed now") from None
        return {}

    def size(self, image_id: str) -> dict[str, Any]:
        """The size of an image, which its header tells without opening it."""
        found = self.get(f"rbd_header.{image_id}", ["size"])["found"]
        if not found:
            raise rados.ObjectNotFound(f"no image has the id {image_id}")
        return {"size": int.from_bytes(found["size"].encode("latin-1"), "little")}

    def read(self, image_id: str, parts: list[list[int]]) -> bytes:
        """The ranges of an image, one after the other, straight from its objects.

        What has no object, or lies after its end, is zeros.
        """
        wanted = list(_pieces(image_id, parts))
        buffer = bytearray(sum(length for _, length in parts))
        failed: list[int] = []
        slots = threading.Semaphore(_IN_FLIGHT)

        def into(place: int) -> Callable[[Any, bytes | None], None]:
            def done(completion: Any, data: bytes | None) -> None:
                result = completion.get_return_value()
                # It may hand out more than it has read.
                if data and result > 0:
                    buffer[place : place + result] = data[:result]
                elif result < 0 and result != _MISSING:
                    failed.append(result)
                slots.release()

            return done

        for name, offset, length, place in wanted:
            slots.acquire()
            self._io.aio_read(name, length, offset, into(place))
        for _ in range(_IN_FLIGHT):
            slots.acquire()
        if failed:
            raise OSError(-failed[0], os.strerror(-failed[0]))
        # Otherwise an image that was removed would be zeros.
        self._io.stat(f"rbd_header.{image_id}")
        return bytes(buffer)

    def extents(self, image: str, offset: int, length: int, whole: bool) -> dict[str, Any]:
        """Where an image has data, by whole objects or exactly."""
        found: list[tuple[int, int]] = []

        def add(at: int, amount: int, exists: bool) -> None:
            if exists:
                found.append((at, amount))

        with self._reading(image) as opened:
            length = min(length, opened.size() - offset)
            if length > 0:
                opened.diff_iterate(offset, length, None, add, True, whole)
        return {"found": sorted(found)}

    def watchers(self, image: str) -> dict[str, Any]:
        """The addresses of the clients that have an image open for writing."""
        with self._reading(image) as opened:
            return {"found": sorted({one["addr"] for one in opened.watchers_list()})}

    def open(self, image: str) -> dict[str, Any]:
        """Open an image for writing."""
        opened = rbd.Image(self._io, image)
        with self._lock:
            self._next += 1
            self._images[self._next] = opened
            return {"handle": self._next}

    def write(self, handle: int, offset: int, data: bytes) -> dict[str, Any]:
        self._image(handle).write(data, offset)
        return {}

    def overwrite(self, image_id: str, offset: int, data: bytes) -> dict[str, Any]:
        """Replace what is within one object, straight there, at one instant.

        Through the library it would take the lock of the image from the storage daemon, whose
        writes wait until it has it back. Fails with ENOENT if there is no such object: the map of
        the image's objects, which only the library keeps, would not have it.
        """
        ((name, within, _, _),) = _pieces(image_id, [[offset, len(data)]])
        self._io.stat(name)
        self._io.write(name, data, within)
        return {}

    def resize(self, handle: int, size: int) -> dict[str, Any]:
        self._image(handle).resize(size)
        return {}

    def flush(self, handle: int) -> dict[str, Any]:
        self._image(handle).flush()
        return {}

    def close(self, handle: int) -> dict[str, Any]:
        with self._lock:
            opened = self._images.pop(handle, None)
        if opened is not None:
            opened.close()
        return {}

    # ---

    def _image(self, handle: int) -> Any:
        opened = self._images.get(handle)
        if opened is None:
            raise OSError(errno.EBADF, "the image was opened by a process that has ended")
        return opened

    @property
    def _io(self) -> Any:
        return self._connect()[1]

    @contextlib.contextmanager
    def _reading(self, image: str) -> Iterator[Any]:
        # Read-only, it leaves no watch, which would keep others from removing it.
        opened = rbd.Image(self._io, image, read_only=True)
        try:
            yield opened
        finally:
            opened.close()

    def _connect(self) -> tuple[Any, Any]:
        with self._lock:
            if self._connected is None:
                self._connected = self._connect_anew()
            return self._connected

    def _connect_anew(self) -> tuple[Any, Any]:
        settings, seconds = self._settings, str(int(self._settings["seconds"]))
        options = {
            # What is written is durable when it is acknowledged.
            "rbd_cache": "false",
            # Whoever waits here holds locks: better an error than no answer.
            "client_mount_timeout": seconds,
            "rados_mon_op_timeout": seconds,
            "rados_osd_op_timeout": seconds,
        }
        user = f"client.{settings['user']}" if settings["user"] else None
        cluster = rados.Rados(conffile=settings["conf"], name=user, conf=options)
        cluster.connect()
        try:
            pool = cluster.open_ioctx(settings["pool"])
        except BaseException:
            cluster.shutdown()
            raise
        pool.set_namespace(settings["namespace"])
        # On a full cluster, too, names are changed and images removed: it is how room is made. What
        # would take some fails at once, where it would wait else.
        (getattr(pool, "set_pool_full_try", None) or pool.set_osdmap_full_try)()
        return cluster, pool

    def _ask(self, **command: object) -> dict[str, Any]:
        asked = json.dumps({**command, "format": "json"})
        code, out, told = self._connect()[0].mon_command(asked, b"")
        if code:
            raise OSError(abs(code), f"{command['prefix']}: {told}")
        answer: dict[str, Any] = json.loads(out) if out.strip() else {}
        return answer


def _text(value: bytes | None) -> str:
    # An empty value is handed out as none.
    return (value or b"").decode("latin-1")


def _pieces(image_id: str, parts: list[list[int]]) -> Iterator[tuple[str, int, int, int]]:
    """The object, offset, length and place in the answer of all that is to be read."""
    place = 0
    for offset, length in parts:
        at, end = offset, offset + length
        while at < end:
            number, within = divmod(at, _OBJECT)
            amount = min(end - at, _OBJECT - within)
            yield f"rbd_data.{image_id}.{number:016x}", within, amount, place
            at, place = at + amount, place + amount


def serve(cluster: Cluster, connection: socket.socket) -> None:
    """Answer the requests of one connection until it ends."""
    with connection, contextlib.suppress(EOFError, OSError), connection.makefile("rb") as stream:
        while True:
            (length,) = struct.unpack(">I", _exactly(stream, 4))
            head = json.loads(_exactly(stream, length))
            payload = _exactly(stream, head.pop("data", 0))
            try:
                wanted = head.pop("do")
                if wanted.startswith("_"):
                    raise ValueError(wanted)
                if payload:
                    head["data"] = payload
                answer = getattr(cluster, wanted)(**head)
            except Exception as error:  # noqa: BLE001 - told to whoever asked
                answer = _told(error)
                if answer["errno"] == errno.ETIMEDOUT:
                    # A request that ends before it counts as late does not ask where an OSD is now.
                    cluster.look_again()
            data = answer if isinstance(answer, bytes) else b""
            fields = {"data": len(data)} if data else answer or {}
            encoded = json.dumps(fields if isinstance(fields, dict) else {}).encode()
            connection.sendall(struct.pack(">I", len(encoded)) + encoded + data)


def _told(error: Exception) -> dict[str, Any]:
    number = getattr(error, "errno", None)
    return {"errno": abs(number) if number else 5, "told": str(error) or type(error).__name__}


def _exactly(stream: Any, length: int) -> bytes:
    data: bytes = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def main() -> None:
    settings = json.loads(sys.argv[1])
    # Standard output is the socket that listens.
    listener = socket.socket(fileno=os.dup(1))
    os.dup2(2, 1)
    cluster = Cluster(settings)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(cluster, connection), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    while os.read(0, 4096):
        pass
    # Without closing anything: requests may be under way that never end.
    os._exit(0)


if __name__ == "__main__":
    main()
