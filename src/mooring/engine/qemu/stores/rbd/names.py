"""The names of layers and texts: keys of one object.

The object `mooring.layers` has a key for each path, and its value says what is there: `F` a folder,
`T` and a text, `L` and the image that a layer is. A second key for each name of a layer, which
begins with the image, tells how many names it has. Images that may be without any have a key, too,
with the host that is making or removing them: so none is forgotten in a crash.
docs/formats/layers.md has the format.

What is read before a change may be another by then: several threads and hosts change names. So a
name is only given in a folder that is there at that instant; and whoever takes a name away marks
the image, though it may have others, and whoever removes it looks first.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mooring.engine.qemu.stores.rbd.client import CephClient, OutdatedError

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
    folder: Path | None = None
    """What has to be a folder for that."""


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
        """The images that this host was making or removing, and that may have no name."""
        return self._unnamed_of(self._host)

    def is_named(self, image: str) -> bool:
        """Whether an image has a name."""
        return bool(self._keys(f"{_LINK}{image}/"))

    # --- changing

    def make_folder(self, folder: Path) -> None:
        """Make a folder and those above it."""
        parts = folder.relative_to(self._root).parts
        above = [self._root.joinpath(*parts[: n + 1]) for n in range(len(parts))]
        self._apply(Change(put={self._key(one): _FOLDER for one in above}))

    def write_text(self, path: Path, content: bytes) -> None:
        """Write a text, whole."""
        change = self._inside(path)
        change.put[self._key(path)] = _TEXT + content.decode("latin-1")
        self._apply(change)

    def announce(self, image: str) -> None:
        """Say that an image without a name is going to be."""
        self._apply(Change(put={_UNNAMED + image: self._host}))

    def forget(self, image: str) -> None:
        """Say that an image is no more, or that it has a name.

        Not if another host has taken its last name away since.
        """
        key = _UNNAMED + image
        expect = {key: self._host}
        with suppress(OutdatedError):
            self._client.ask("apply", table=OBJECT, put={}, drop=[key], expect=expect)

    def give(self, path: Path, image: ImageName) -> list[str]:
        """Give an image a name, in place of one that has it; returns images that lost it."""
        change = self._inside(path)
        gone = self._drop(change, {self._key(path): self._value(path)})
        self._name(change, self._key(path), _value(image))
        change.drop.add(_UNNAMED + image.image)
        self._apply(change)
        return gone

    def link(self, path: Path, other: Path) -> None:
        """Give a layer another name besides. Raises FileNotFoundError."""
        self.give(other, self.layer(path))

    def take(self, path: Path) -> list[str]:
        """Take a name away; returns the image that lost it."""
        change = Change()
        gone = self._drop(change, {self._key(path): self._value(path)})
        self._apply(change)
        return gone

    def take_folder(self, folder: Path) -> list[str]:
        """Take away a folder and all names in it; returns images that lost one."""
        key, gone = self._key(folder), []
        first: dict[str, str | None] = {key: self._value(folder)}
        # What was put in meanwhile is seen then: without the folder nothing more comes.
        while (below := self._keys(key + "/")) or first:
            change = Change()
            gone += self._drop(change, {**below, **first})
            self._apply(change)
            first = {}
        return gone

    def rename(self, old: Path, new: Path) -> list[str]:
        """Rename a layer, a text or a folder with all that is in it; returns as the others."""
        value = self._value(old)
        if value is None:
            raise missing(old)
        change = self._inside(new)
        was, now = self._key(old), self._key(new)
        gone = self._drop(change, {now: self._value(new)})
        below = self._keys(was + "/") if value[0] == _FOLDER else {}
        self._move(change, was, now, {was: value, **below})
        self._apply(change)
        # As when one is taken away.
        while value[0] == _FOLDER and (below := self._keys(was + "/")):
            change = Change()
            self._move(change, was, now, below)
            self._apply(change)
        return gone

    def inherit(self, host: str, folder: Path) -> list[str]:
        """Take over what a lost host was making or removing, in its `folder` or without a name.

        Returns images that may have none.
        """
        gone = self.take_folder(folder)
        left = self._unnamed_of(host)
        self._apply(Change(put={_UNNAMED + image: self._host for image in left}))
        return gone + left

    # ---

    def _inside(self, path: Path) -> Change:
        """A change that needs the folder which the path is in."""
        return Change(folder=None if path.parent == self._root else path.parent)

    def _drop(self, change: Change, keys: Mapping[str, str | None]) -> list[str]:
        """Take keys away; marks and returns the images that may have no name then."""
        gone: list[str] = []
        for key, value in keys.items():
            if value is None:
                continue
            change.drop.add(key)
            if value[0] == _LAYER:
                image = _image(value).image
                change.drop.add(f"{_LINK}{image}{key}")
                change.put[_UNNAMED + image] = self._host
                gone.append(image)
        return list(dict.fromkeys(gone))

    def _move(self, change: Change, was: str, now: str, keys: Mapping[str, str]) -> None:
        """Give what has these keys others, which begin with `now` instead of `was`."""
        for key, content in keys.items():
            change.drop.add(key)
            if content[0] == _LAYER:
                change.drop.add(f"{_LINK}{_image(content).image}{key}")
            self._name(change, now + key[len(was) :], content)

    def _name(self, change: Change, key: str, value: str) -> None:
        change.drop.discard(key)
        change.put[key] = value
        if value[0] == _LAYER:
            image = _image(value).image
            link = f"{_LINK}{image}{key}"
            change.drop.discard(link)
            change.put[link] = ""
            change.put.pop(_UNNAMED + image, None)

    def _unnamed_of(self, host: str) -> list[str]:
        found = self._keys(_UNNAMED)
        return [key[len(_UNNAMED) :] for key, by in found.items() if by == host]

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
        if not (change.put or change.drop):
            return
        removed = sorted(change.drop - set(change.put))
        expect = {} if change.folder is None else {self._key(change.folder): _FOLDER}
        try:
            self._client.ask("apply", table=OBJECT, put=change.put, drop=removed, expect=expect)
        except OutdatedError as error:
            assert change.folder is not None
            raise missing(change.folder) from error


def _value(image: ImageName) -> str:
    return _LAYER + json.dumps({"image": image.image, "id": image.id})


def _image(value: str) -> ImageName:
    fields = json.loads(value[1:])
    return ImageName(fields["image"], fields["id"])


def missing(path: Path) -> FileNotFoundError:
    """That nothing has the name."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
