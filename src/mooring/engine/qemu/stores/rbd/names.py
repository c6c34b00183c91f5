"""The names of layers and texts: keys of one object.

The object `mooring.layers` has a key for each path, and its value says what is there: `F` a folder,
`T` and a text, `L` and the image that a layer is. A second key for each name of a layer, which
begins with the image, tells how many names it has. Images without any have a key, too, with the
host that is making or removing them: so none is forgotten in a crash. docs/formats/layers.md has
the format.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mooring.engine.qemu.stores.rbd.client import CephClient

OBJECT = "mooring.layers"
_FOLDER, _TEXT, _LAYER = "F", "T", "L"
_LINK, _UNNAMED = "=", "!"


@dataclass(frozen=True, slots=True)
class ImageName:
    """An image: its name, and its id, which its objects are named after."""

    image: str
    id: str


@dataclass
class Change:
    """Keys to set and to remove, all at once."""

    put: dict[str, str] = field(default_factory=dict)
    drop: set[str] = field(default_factory=set)


class Names:
    """The names below `root`, as the cluster has them now."""

    def __init__(self, client: CephClient, root: Path, host: str) -> None:
        self._client = client
        self._root = root
        self._host = host

    # --- asking

    def inside(self, folder: Path) -> list[str]:
        """What is in a folder."""
        prefix = self._key(folder) + "/"
        return [key[len(prefix) :] for key in self._keys(prefix) if "/" not in key[len(prefix) :]]

    def exists(self, path: Path) -> bool:
        """Whether something has the name."""
        return self._value(path) is not None

    def layer(self, path: Path) -> ImageName:
        """The image that has the name. Raises FileNotFoundError."""
        value = self._value(path)
        if value is None or value[0] != _LAYER:
            raise missing(path)
        return _image(value)

    def text(self, path: Path) -> bytes:
        """A text. Raises FileNotFoundError."""
        value = self._value(path)
        if value is None or value[0] != _TEXT:
            raise missing(path)
        return value[1:].encode("latin-1")

    def links(self, image: ImageName) -> int:
        """How many names an image has."""
        return len(self._keys(f"{_LINK}{image.image}/"))

    def unnamed(self) -> list[str]:
        """The images without a name that this host was making or removing."""
        found = self._keys(_UNNAMED)
        return [key[len(_UNNAMED) :] for key, host in found.items() if host == self._host]

    # --- changing

    def make_folder(self, folder: Path) -> None:
        """Make a folder and those above it."""
        parts = folder.relative_to(self._root).parts
        above = [self._root.joinpath(*parts[: n + 1]) for n in range(len(parts))]
        self._apply(Change(put={self._key(one): _FOLDER for one in above}))

    def write_text(self, path: Path, content: bytes) -> None:
        """Write a text, whole."""
        self._check_folder(path)
        self._apply(Change(put={self._key(path): _TEXT + content.decode("latin-1")}))

    def announce(self, image: str) -> None:
        """Say that an image without a name is going to be."""
        self._apply(Change(put={_UNNAMED + image: self._host}))

    def forget(self, image: str) -> None:
        """Say that an image without a name is no more."""
        self._apply(Change(drop={_UNNAMED + image}))

    def give(self, path: Path, image: ImageName) -> list[str]:
        """Give an image a name, in place of one that has it; returns images without a name now."""
        self._check_folder(path)
        change = Change()
        gone = self._drop(change, {self._key(path): self._value(path)})
        self._name(change, self._key(path), _value(image))
        change.drop.add(_UNNAMED + image.image)
        self._apply(change)
        return gone

    def link(self, path: Path, other: Path) -> None:
        """Give a layer another name besides. Raises FileNotFoundError."""
        self.give(other, self.layer(path))

    def take(self, path: Path) -> list[str]:
        """Take a name away; returns images without a name now."""
        change = Change()
        gone = self._drop(change, {self._key(path): self._value(path)})
        self._apply(change)
        return gone

    def take_folder(self, folder: Path) -> list[str]:
        """Take away a folder and all names in it; returns images without a name now."""
        change = Change()
        key = self._key(folder)
        gone = self._drop(change, {**self._keys(key + "/"), key: self._value(folder)})
        self._apply(change)
        return gone

    def rename(self, old: Path, new: Path) -> list[str]:
        """Rename a layer, a text or a folder with all that is in it; returns as the others."""
        value = self._value(old)
        if value is None:
            raise missing(old)
        self._check_folder(new)
        was, now = self._key(old), self._key(new)
        below = self._keys(was + "/") if value[0] == _FOLDER else {}
        change = Change()
        gone = self._drop(change, {now: self._value(new)})
        for key, content in {was: value, **below}.items():
            change.drop.add(key)
            if content[0] == _LAYER:
                change.drop.add(f"{_LINK}{_image(content).image}{key}")
            self._name(change, now + key[len(was) :], content)
        self._apply(change)
        return gone

    # ---

    def _drop(self, change: Change, keys: Mapping[str, str | None]) -> list[str]:
        """Take keys away, and mark the images of which these are the last names."""
        gone: dict[str, set[str]] = {}
        for key, value in keys.items():
            if value is None:
                continue
            change.drop.add(key)
            if value[0] == _LAYER:
                image = _image(value).image
                change.drop.add(f"{_LINK}{image}{key}")
                gone.setdefault(image, set()).add(f"{_LINK}{image}{key}")
        last = [
            image for image, own in gone.items() if not set(self._keys(f"{_LINK}{image}/")) - own
        ]
        for image in last:
            change.put[_UNNAMED + image] = self._host
        return last

    def _name(self, change: Change, key: str, value: str) -> None:
        change.drop.discard(key)
        change.put[key] = value
        if value[0] == _LAYER:
            link = f"{_LINK}{_image(value).image}{key}"
            change.drop.discard(link)
            change.put[link] = ""

    def _check_folder(self, path: Path) -> None:
        if path.parent != self._root and self._value(path.parent) != _FOLDER:
            raise missing(path.parent)

    def _key(self, path: Path) -> str:
        return "/" + path.relative_to(self._root).as_posix()

    def _value(self, path: Path) -> str | None:
        key = self._key(path)
        found: dict[str, str] = self._client.ask("get", table=OBJECT, wanted=[key])["found"]
        return found.get(key)

    def _keys(self, prefix: str) -> dict[str, str]:
        found: dict[str, str] = self._client.ask("keys", table=OBJECT, prefix=prefix)["found"]
        return found

    def _apply(self, change: Change) -> None:
        if change.put or change.drop:
            removed = sorted(change.drop - set(change.put))
            self._client.ask("apply", table=OBJECT, put=change.put, drop=removed)


def _value(image: ImageName) -> str:
    return _LAYER + json.dumps({"image": image.image, "id": image.id})


def _image(value: str) -> ImageName:
    fields = json.loads(value[1:])
    return ImageName(fields["image"], fields["id"])


def missing(path: Path) -> FileNotFoundError:
    """That nothing has the name."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
