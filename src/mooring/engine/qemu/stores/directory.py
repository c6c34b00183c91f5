"""Layers as files, in folders of this host."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mooring.engine.qemu.holders import in_use_by, locked_by_qemu, outlasting
from mooring.engine.qemu.stores.store import LayerFile, Reached
from mooring.files import appearing, sync, sync_data, write_at, write_whole
from mooring.host.allocation import taken_below
from mooring.host.pace import Rests
from mooring.host.room import check_room
from mooring.host.rooms import DISKS
from mooring.images.fill import fill
from mooring.images.whole_file import copy_whole
from mooring.model.clock import Clock, SystemClock
from mooring.model.errors import EngineError, LayerDamagedError
from mooring.model.extents import Image

_FICLONE = 0x40049409
_NO_REFLINKS = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


class FileLayer:
    """A layer's file, open."""

    def __init__(self, path: Path, fd: int) -> None:
        """The descriptor is this one's from now on."""
        self._path = path
        self.fd = fd

    @property
    def path(self) -> Path:
        return self._path

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self.fd, length, offset)

    def read_parts(self, parts: Sequence[tuple[memoryview, int]]) -> None:
        for part, offset in parts:
            done = 0
            while done < len(part):
                try:
                    got = os.preadv(self.fd, [part[done:]], offset + done)
                except OSError as error:
                    raise EngineError(
                        f"layer {self._path} cannot be read at {offset + done}: {error.strerror}; "
                        "the kernel's log says what is wrong with the underlying disk"
                    ) from error
                if got == 0:
                    raise LayerDamagedError(f"layer {self._path} is truncated at {offset + done}")
                done += got

    def seek(self, offset: int, whence: int) -> int:
        return os.lseek(self.fd, offset, whence)

    def will_need(self, offset: int, length: int) -> None:
        os.posix_fadvise(self.fd, offset, length, os.POSIX_FADV_WILLNEED)

    def was_read(self) -> None:
        # Layers are read once, past the page cache of everybody else.
        if self.fd >= 0:
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        write_at(self.fd, offset, data)

    def overwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        if offset + len(data) > self.size():
            raise LayerDamagedError(f"layer {self._path} is truncated at {self.size()}")
        self.write(offset, data)
        self.sync()

    def fill(
        self,
        source: Image,
        progress: Callable[[int], None],
        *,
        start: int = 0,
        reached: Reached = lambda position, durable: None,
    ) -> None:
        fill(self.fd, source, progress, start=start, reached=reached)

    def resize(self, size: int) -> None:
        os.ftruncate(self.fd, size)

    def sync(self) -> None:
        os.fdatasync(self.fd)

    def has_name(self, path: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(self.fd), path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class DirectoryStore:
    """Any file system of this host; paths are paths there."""

    shared = False
    merges_here = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def start(self, root: Path, run_dir: Path) -> tuple[Path, Path]:
        del run_dir
        return root / "disks", root

    # --- names

    def names(self, folder: Path) -> list[str]:
        try:
            return [path.name for path in folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def exists(self, path: Path) -> bool:
        return path.exists()

    def links(self, path: Path) -> int:
        return path.stat().st_nlink

    def taken(self, folder: Path) -> int | None:
        return taken_below(folder)

    def make_folder(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def remove_folder(self, folder: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def link(self, path: Path, other: Path) -> None:
        try:
            os.link(path, other)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise EngineError(
                f"{path.parent} is on a file system with neither reflinks nor hard links, so "
                "disks there cannot be forked: take a snapshot, and make a disk of that"
            ) from error

    def clone(self, path: Path, other: Path) -> bool:
        with path.open("rb") as read:
            fd = os.open(other, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.ioctl(fd, _FICLONE, read.fileno())
            except OSError as error:
                if error.errno not in _NO_REFLINKS:
                    raise
                if os.fstat(fd).st_size == 0:
                    other.unlink()
                return False
            finally:
                os.close(fd)
        return True

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def remove_later(self, path: Path) -> ExitStack:
        # A file that is open keeps its room when it has lost its name.
        with ExitStack() as files:
            files.enter_context(path.open("rb"))
            path.unlink()
            return files.pop_all()

    def sync(self, path: Path) -> None:
        sync(path)

    def sync_content(self, path: Path) -> None:
        sync_data(path)

    # --- texts

    def read_text(self, path: Path) -> bytes:
        return path.read_bytes()

    def write_text(
        self,
        path: Path,
        content: str | bytes,
        *,
        durable: bool = True,
        writing: Path | None = None,
    ) -> None:
        write_whole(path, content, durable=durable, writing=writing)

    # --- layers

    def create(self, path: Path, size: int) -> FileLayer:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, size)
        except BaseException:
            os.close(fd)
            raise
        return FileLayer(path, fd)

    @contextmanager
    def appearing(self, path: Path, room: int = 0) -> Iterator[LayerFile]:
        del room  # a file takes what it needs
        with appearing(path) as file:
            layer = FileLayer(path, os.dup(file.fileno()))
            try:
                yield layer
            finally:
                layer.close()

    def open(self, path: Path, *, write: bool = False) -> FileLayer:
        return FileLayer(path, os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC))

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def allocated(self, path: Path) -> int:
        with contextlib.suppress(OSError):
            return path.stat().st_blocks * 512
        return 0

    def copy(
        self, path: Path, target: LayerFile, tell: Callable[[int], None], rests: Rests
    ) -> None:
        assert isinstance(target, FileLayer)
        with path.open("rb") as source:
            copy_whole(source.fileno(), target.fd, tell, rests)

    def check_possible(self, folder: Path, size: int) -> None:
        probe = folder / "size.new"
        with probe.open("wb") as file:
            probe.unlink()
            file.truncate(size)

    # --- daemons, and others

    def node(self, path: Path, *, aio: str, direct: bool) -> dict[str, object]:
        cache = {"direct": direct}
        return {"driver": "file", "filename": str(path), "aio": aio, "cache": cache}

    def writer(self, path: Path) -> str | None:
        holder = outlasting(self._clock, lambda: in_use_by(path) if locked_by_qemu(path) else None)
        return f": find out who has {path} open" if holder == "" else holder

    def in_use_by(self, path: Path) -> str:
        return in_use_by(path)

    # --- who uses a disk: QEMU's locks on the files tell

    def begin_use(self, disk_id: str) -> None:
        """Nothing is left of a process that has ended."""

    def opening(self, path: Path) -> Collection[str]:
        del path
        return ()

    def opened(self, disk_id: str, path: Path, besides: Collection[str] = ()) -> None:
        """QEMU has locked the file."""

    def end_use(self, disk_id: str) -> None:
        """QEMU has unlocked the files."""

    def let_go(self, kept: Collection[str]) -> None:
        """Nothing is left of a process that has ended."""

    def owner(self, disk_id: str) -> str | None:
        del disk_id
        return None

    def fence(self, host: str) -> Sequence[str]:
        raise EngineError(
            f"the host {host} cannot be fenced for disks that are files of one host: what it had "
            "can be restored elsewhere from snapshots"
        )

    def is_shut_out(self, host: str) -> bool:
        del host
        return False

    def was_fenced(self) -> bool:
        return False

    def come_back(self) -> None:
        """No host can be shut out of its own files."""

    def watch(self, fenced: Callable[[], None]) -> None:
        """No host can be shut out of its own files."""

    # --- room

    def check_room(self, folder: Path, margin: int) -> None:
        check_room(folder, DISKS, margin)

    def settle(self, seconds: float = 30.0) -> bool:
        del seconds
        return True

    def close(self) -> None:
        """Nothing is open."""


DIRECTORY = DirectoryStore(SystemClock())
"""Folders hold nothing of their own: one store serves all."""
