"""Layers as images of a pool in a Ceph cluster."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from mooring.engine.qemu.stores.rbd.client import CephClient
from mooring.engine.qemu.stores.rbd.fence_watch import FenceWatch
from mooring.engine.qemu.stores.rbd.image_layer import OBJECT_BYTES, ImageLayer, Reading
from mooring.engine.qemu.stores.rbd.names import ImageName, Names
from mooring.engine.qemu.stores.rbd.owners import Owners
from mooring.engine.qemu.stores.rbd.place import RbdPlace
from mooring.engine.qemu.stores.rbd.removing import Removing
from mooring.engine.qemu.stores.rbd.state import ClusterState
from mooring.engine.qemu.stores.store import LayerFile
from mooring.host.pace import Rests
from mooring.model.clock import Clock
from mooring.model.errors import MooringError

_TABLES_PART = 4096
"""An overlay's tables take less than this part of the disk."""
_TABLES_BYTES = 64 * 1024 * 1024


class RbdStore:
    """Layers in a pool, or a name space of it. Paths begin with `root`, and mean nothing here."""

    shared = True
    merges_here = False

    def __init__(self, place: RbdPlace, host: str, clock: Clock, name: str = "") -> None:
        """`host` is the id of this host, which no other has; `name` is what people call it."""
        self.place = place
        self.root = Path(str(place))
        self.client = CephClient(place)
        self.names_in = Names(self.client, self.root, host)
        self._reading = Reading()
        self.owners = Owners(self.client, host, name or host)
        self._state = ClusterState(self.client, clock)
        self._host = host
        self._removing: Removing | None = None
        self._watch: FenceWatch | None = None

    def start(self, root: Path, run_dir: Path) -> tuple[Path, Path]:
        del root
        self.client.run_dir = run_dir
        self.owners.was_fenced()
        self._removing = Removing(self.client, self.names_in, self._reading, self.owners.gone)
        # What a crash has left.
        self._removing.take(self.names_in.unnamed())
        return self.root / "disks", self._own(self._host)

    # --- names

    def names(self, folder: Path) -> list[str]:
        return self.names_in.inside(folder)

    def exists(self, path: Path) -> bool:
        return self.names_in.exists(path)

    def links(self, path: Path) -> int:
        return self.names_in.links(self.names_in.layer(path))

    def taken(self, folder: Path) -> int | None:
        return None  # each image would have to be gone through

    def make_folder(self, folder: Path) -> None:
        self.names_in.make_folder(folder)

    def remove_folder(self, folder: Path) -> None:
        self._remove(self.names_in.take_folder(folder))

    def rename(self, old: Path, new: Path) -> None:
        self._remove(self.names_in.rename(old, new))

    def link(self, path: Path, other: Path) -> None:
        self.names_in.link(path, other)

    def clone(self, path: Path, other: Path) -> bool:
        # An image can be cloned from a snapshot, for which the monitors take up to a second.
        return False

    def remove(self, path: Path) -> None:
        self._remove(self.names_in.take(path))

    def remove_later(self, path: Path) -> ExitStack:
        self.names_in.layer(path)
        left = ExitStack()
        left.callback(self._remove, self.names_in.take(path))
        return left

    def sync(self, path: Path) -> None:
        """What is acknowledged is durable."""

    def sync_content(self, path: Path) -> None:
        """What daemons have written is durable, too: they do not let the library cache."""

    # --- texts

    def read_text(self, path: Path) -> bytes:
        return self.names_in.text(path)

    def write_text(
        self,
        path: Path,
        content: str | bytes,
        *,
        durable: bool = True,
        writing: Path | None = None,
    ) -> None:
        del durable, writing  # it is replaced at one instant, durably
        encoded = content.encode() if isinstance(content, str) else content
        self.names_in.write_text(path, encoded)

    # --- layers

    def create(self, path: Path, size: int) -> ImageLayer:
        image = self._make(path, size)
        self._remove(self.names_in.give(path, image))
        return self._opened(path, image)

    @contextmanager
    def appearing(self, path: Path, room: int = 0) -> Iterator[LayerFile]:
        # Images take only what is written to them, and get larger slowly: so rather too large.
        size = room + room // _TABLES_PART + _TABLES_BYTES
        image = self._make(path, -(-size // OBJECT_BYTES) * OBJECT_BYTES)
        layer = self._opened(path, image)
        try:
            yield layer
            layer.close()
            self._remove(self.names_in.give(path, image))
        except BaseException:
            with suppress(OSError, MooringError):
                layer.close()
            self._remove([image.image])
            raise

    def open(self, path: Path, *, write: bool = False) -> ImageLayer:
        del write  # opened for writing when something is written
        return self._opened(path, self.names_in.layer(path))

    def size(self, path: Path) -> int:
        with closing(self.open(path)) as layer:
            return layer.size()

    def allocated(self, path: Path) -> int:
        with suppress(OSError, MooringError):
            image = self.names_in.layer(path)
            found = self.client.ask(
                "extents", image=image.image, offset=0, length=self.size(path), whole=True
            )["found"]
            return sum(length for _, length in found)
        return 0

    def copy(
        self, path: Path, target: LayerFile, tell: Callable[[int], None], rests: Rests
    ) -> None:
        assert isinstance(target, ImageLayer)
        with closing(self.open(path)) as source:
            target.resize_exactly(source.size())
            done = at = 0
            while (found := source.data_from(at)) is not None:
                begin, end = found
                at = min(end, begin - begin % OBJECT_BYTES + OBJECT_BYTES)
                with rests.piece():
                    target.write(begin, source.read(begin, at - begin))
                done += at - begin
                tell(done)

    def check_possible(self, folder: Path, size: int) -> None:
        """Images may be as large as any disk."""

    # --- daemons, and others

    def node(self, path: Path, *, aio: str, direct: bool) -> dict[str, object]:
        del aio, direct  # those of a file
        place = self.place
        return {
            "driver": "rbd",
            "pool": place.pool,
            "image": self.names_in.layer(path).image,
            "conf": place.conf,
            # Without the library's cache all that is acknowledged is durable.
            "cache": {"direct": True},
            **({"namespace": place.namespace} if place.namespace else {}),
            **({"user": place.user} if place.user else {}),
        }

    def writer(self, path: Path) -> str | None:
        image = self.names_in.layer(path)
        others = self.owners.strangers(path, image.image)
        if not others:
            return None
        return f": the Ceph client {', '.join(others)} has the image {image.image} open"

    def in_use_by(self, path: Path) -> str:
        return self.writer(path) or ""

    # --- who uses a disk

    def begin_use(self, disk_id: str) -> None:
        self.owners.begin(disk_id)

    def opening(self, path: Path) -> Collection[str]:
        image = self.names_in.layer(path)
        # Only a layer with several names can be another disk's, too.
        return self.owners.users(image.image) if self.names_in.links(image) > 1 else ()

    def opened(self, disk_id: str, path: Path, besides: Collection[str] = ()) -> None:
        self.owners.opened(disk_id, self.names_in.layer(path).image, besides)

    def end_use(self, disk_id: str) -> None:
        self.owners.end(disk_id)

    def let_go(self, kept: Collection[str]) -> None:
        self.owners.let_go(kept)

    def owner(self, disk_id: str) -> str | None:
        found = self.owners.owner(disk_id)
        return None if found is None else found.name

    def fence(self, host: str) -> Sequence[str]:
        host = self.owners.id_of(host)
        disks = self.owners.fence(host)
        # What it was putting together, or removing: also names that keep others from merging.
        self._remove(self.names_in.inherit(host, self._own(host)))
        return disks

    def is_shut_out(self, host: str) -> bool:
        return self.owners.is_fenced(host)

    def was_fenced(self) -> bool:
        return self.owners.was_fenced()

    def come_back(self) -> None:
        self.owners.come_back()

    def watch(self, fenced: Callable[[], None]) -> None:
        def tell() -> None:
            self.client.shut_out = True
            fenced()

        self._watch = FenceWatch(self.owners, tell)

    # --- room

    def check_room(self, folder: Path, margin: int) -> None:
        del folder
        self._state.check_room(margin)

    def settle(self, seconds: float = 30.0) -> bool:
        return self._removing is None or self._removing.settle(seconds)

    def close(self) -> None:
        threads = [one for one in (self._watch, self._removing) if one is not None]
        for thread in threads:
            thread.signal()
        # What a cluster that is away owes them would hold up the end.
        self.client.close()
        for thread in threads:
            thread.close()

    # ---

    def _own(self, host: str) -> Path:
        """The folder of what a host alone puts together or removes."""
        return self.root / "hosts" / host

    def _opened(self, path: Path, image: ImageName) -> ImageLayer:
        return ImageLayer(self.client, self.names_in, self._reading, path, image)

    def _make(self, path: Path, size: int) -> ImageName:
        """An image of zeros that nothing names yet."""
        # It would wait, and only end when the cluster's time is up.
        self._state.check_room(1)
        disk = next((part for part in reversed(path.parts) if len(part) == 36), path.parent.name)
        name = f"{disk}.{path.name}.{uuid.uuid4().hex[:8]}"
        self.names_in.announce(name)
        try:
            return ImageName(name, str(self.client.ask("create", image=name, size=size)["id"]))
        except BaseException:
            self._remove([name])
            raise

    def _remove(self, images: list[str]) -> None:
        if self._removing is not None and images:
            self._removing.take(images)
