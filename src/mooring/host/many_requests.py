"""Reads and writes of files, many in flight at once, told in arrays.

By Linux AIO (io_submit), which needs no thread for each request, and nothing of Python for each,
either. Containers that refuse io_uring allow it. Where there is none, one request follows the
other. Requests are in flight at once only past the page cache (O_DIRECT).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

READ, WRITE = 0, 1

# Setup, destroy, get events, submit: include/uapi/asm-generic/unistd.h and x86's own table.
_CALLS = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2), "riscv64": (0, 1, 4, 2)}

# struct iocb and struct io_event of include/uapi/linux/aio_abi.h, on little-endian machines.
_REQUEST = np.dtype(
    [("data", "<u8"), ("key", "<u4"), ("flags", "<i4"), ("kind", "<u2"), ("priority", "<i2"),
     ("file", "<u4"), ("memory", "<u8"), ("length", "<u8"), ("offset", "<i8"),
     ("reserved", "<u8"), ("more_flags", "<u4"), ("event_file", "<u4")]
)  # fmt: skip
_EVENT = np.dtype([("data", "<u8"), ("request", "<u8"), ("done", "<i8"), ("more", "<i8")])

Requests = NDArray[np.void]
"""Requests to be done together, in any order."""

_libc = ctypes.CDLL(None, use_errno=True)


def requests(
    kind: int,
    files: NDArray[np.int64] | int,
    memory: NDArray[np.int64],
    lengths: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> Requests:
    """Requests of one kind, READ or WRITE: file descriptors, addresses in memory, bytes, places."""
    made = np.zeros(len(offsets), dtype=_REQUEST)
    made["kind"], made["file"], made["memory"] = kind, files, memory
    made["length"], made["offset"] = lengths, offsets
    return made


class RequestError(OSError):
    """A request that failed; `kind` and `file` are the request's."""

    def __init__(self, code: int, kind: int, file: int) -> None:
        super().__init__(code, os.strerror(code))
        self.kind, self.file = kind, file


class ManyRequests:
    """Does requests, up to `depth` at once. For one thread."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._context = ctypes.c_ulong(0)
        self._calls = _CALLS.get(platform.machine())
        if self._calls is not None:
            made = _libc.syscall(self._calls[0], depth, ctypes.byref(self._context))
            if made < 0:  # Refused here, or the system has no more of them.
                self._calls = None
        self._events = np.zeros(depth, dtype=_EVENT)

    def close(self) -> None:
        """Give back what the kernel keeps; further calls do nothing."""
        if self._calls is not None:
            _libc.syscall(self._calls[1], self._context)
            self._calls = None

    def run(self, wanted: Sequence[Requests]) -> None:
        """Do all of the requests. Raises RequestError for one that failed.

        None is under way any more when this returns or raises. A file that ends before what is
        to be read of it counts as failed with ENODATA.
        """
        several = np.concatenate(wanted) if wanted else np.zeros(0, dtype=_REQUEST)
        if self._calls is None:
            for request in several:
                _finish(request, 0)
            return
        done = self._submit(several, self._calls[3], self._calls[2])
        for place in np.flatnonzero(done != several["length"].astype(np.int64)).tolist():
            request, result = several[place], int(done[place])
            if result < 0:
                raise RequestError(-result, int(request["kind"]), int(request["file"]))
            _finish(request, result)

    def _submit(self, several: Requests, submit: int, get_events: int) -> NDArray[np.int64]:
        """Results in the order of the requests; once one has failed, others are left at ECANCELED.

        Those come after the one that failed, which is thus the one that is found.
        """
        count = len(several)
        several["data"] = np.arange(count)
        places = several.ctypes.data + _REQUEST.itemsize * np.arange(count, dtype=np.uint64)
        done = np.full(count, -errno.ECANCELED, dtype=np.int64)
        begun = ended = 0
        failed = False
        while ended < begun or (begun < count and not failed):
            room = 0 if failed else min(self._depth - (begun - ended), count - begun)
            if room:
                here = ctypes.c_void_p(places.ctypes.data + places.itemsize * begun)
                taken = _libc.syscall(submit, self._context, ctypes.c_long(room), here)
                if taken > 0:
                    begun += taken
                elif (code := ctypes.get_errno()) != errno.EAGAIN or begun == ended:
                    done[begun] = -code
                    failed = True
                    continue
            # Waiting for half of them at a time, the device has always something to do.
            under_way = begun - ended
            least = under_way if begun == count or failed else max(1, under_way // 2)
            got = self._wait(least, get_events)
            results = self._events[:got]
            done[results["data"].astype(np.int64)] = results["done"]
            failed = failed or bool((results["done"] < 0).any())
            ended += got
        return done

    def _wait(self, least: int, get_events: int) -> int:
        if not least:
            return 0
        there = ctypes.c_void_p(self._events.ctypes.data)
        while True:
            numbers = ctypes.c_long(least), ctypes.c_long(self._depth)
            got: int = _libc.syscall(get_events, self._context, *numbers, there, None)
            if got >= 0:
                return got
            if (code := ctypes.get_errno()) != errno.EINTR:
                raise OSError(code, os.strerror(code))


def _finish(request: np.void, done: int) -> None:
    """Do the rest of a request, of which so many bytes are done. Raises RequestError."""
    kind, file, length = int(request["kind"]), int(request["file"]), int(request["length"])
    memory = (ctypes.c_char * length).from_address(int(request["memory"]))
    view = memoryview(memory).cast("B")
    move = os.preadv if kind == READ else os.pwritev
    try:
        while done < length:
            moved = move(file, [view[done:]], int(request["offset"]) + done)
            if not moved:
                raise RequestError(errno.ENODATA, kind, file)
            done += moved
    except RequestError:
        raise
    except OSError as error:
        raise RequestError(error.errno or errno.EIO, kind, file) from error
