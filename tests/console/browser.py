"""A real browser, a real server's console, and files in snapshots."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.deployment import Deployment

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
REGION = "us-east-2"
PATIENCE_MS = 20_000
MARKUP = b"<img src=x onerror=alert(1)>.txt"
"""The name of a file in a hostile image."""

SECRET_FILE = b"what the file held\n" * 1000
IMAGE_MIB = 64
PIECE, BLOCK = 1 << 20, 4096


def start(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@dataclass(slots=True)
class Seen:
    """What went wrong in pages without anybody looking: errors, and requests to elsewhere."""

    problems: list[str] = field(default_factory=list)
    origins: set[str] = field(default_factory=set)

    def watch(self, context: BrowserContext) -> None:
        context.on("console", lambda one: self._note(one.type, one.text))
        context.on("weberror", lambda one: self.problems.append(str(one.error)))
        context.on("request", lambda one: self.origins.add(_origin(one.url)))

    def _note(self, kind: str, text: str) -> None:
        # What the server refuses on purpose is told as an error, too.
        if kind in ("error", "warning") and "the server responded with a status of 4" not in text:
            self.problems.append(text)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@dataclass(slots=True)
class Site:
    """A server with QEMU's engine, and the browser that looks at it."""

    deployment: Deployment
    browser: Browser
    keys: dict[str, tuple[str, str]]
    seen: Seen = field(default_factory=Seen)

    @property
    def url(self) -> str:
        return self.deployment.server.environment()["AWS_ENDPOINT_URL_LIGHTSAIL"]

    def address(self, page: str = "") -> str:
        return f"{self.url}/console/{REGION}/{page}"

    @contextmanager
    def visit(
        self,
        user: str | None = "default",
        *,
        scripts: bool = True,
        width: int = 1280,
        scheme: str = "light",
    ) -> Iterator[Page]:
        """A page of a browser without a past; signed in as a user, if one is named."""
        context = self.browser.new_context(
            java_script_enabled=scripts,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            accept_downloads=True,
        )
        context.set_default_timeout(PATIENCE_MS)
        self.seen.watch(context)
        try:
            page = context.new_page()
            if user is not None:
                self.sign_in(page, user)
            yield page
        finally:
            context.close()

    def sign_in(self, page: Page, user: str) -> None:
        key, secret = self.keys[user]
        page.goto(f"{self.url}/console/sign-in")
        page.fill("#key", key)
        page.fill("#secret", secret)
        page.click("button")
        page.wait_for_url(self.address())


def write_image(folder: Path) -> Path:
    """An ext4 file system with a file, and names that want to be more than names."""
    tree = folder / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/settings").write_bytes(SECRET_FILE)
    (tree / os.fsdecode(MARKUP)).write_bytes(b"hostile")
    (tree / os.fsdecode(b"caf\xe9 & co")).write_bytes(b"odd")
    (tree / "passwd").symlink_to("/etc/passwd")
    (tree / "above").symlink_to("../../../../../../etc/passwd")
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(IMAGE_MIB << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(image)], check=True)
    return image


def write_partitions(folder: Path) -> Path:
    """Two ext4 file systems on partitions, all of whose names want to be more than names."""
    disk, part = folder / "partitions", folder / "part"
    with disk.open("wb") as file:
        file.truncate(IMAGE_MIB << 20)
    hostile = MARKUP.decode()
    table = f'label: gpt\nstart=2048,size=24M,name="{hostile}"\nsize=24M,name="{hostile}"\n'
    search = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    subprocess.run(["sfdisk", "-q", str(disk)], input=table, text=True, check=True, env=search)
    with part.open("wb") as file:
        file.truncate(24 << 20)
    label = "<b>bold</b>"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", label, str(part)], check=True, env=search)
    with disk.open("r+b") as file:
        for number in range(2):
            file.seek((1 + 24 * number) << 20)
            file.write(part.read_bytes())
    return disk


def copy_to(image: Path, uri: str) -> None:
    """Write the image to the beginning of a disk."""
    command = ["qemu-io", "-f", "raw", "-c", f"write -s {image} 0 {IMAGE_MIB}M", "-c", "flush", uri]
    subprocess.run(command, check=True, capture_output=True)


def content(uri: str, size: int = IMAGE_MIB << 20) -> bytes:
    """What a disk begins with."""
    with BlockingNbdClient(uri) as client:
        return b"".join(client.read(place, PIECE) for place in range(0, size, PIECE))


def write_at(uri: str, offset: int, data: bytes) -> None:
    """Write to a disk, in a whole block."""
    with BlockingNbdClient(uri) as client:
        client.write(offset, data.ljust(BLOCK, b"\0"))
        client.flush()


def mooringd(deployment: Deployment, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mooring.admin.main", *words, "--data", str(deployment.data)],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def keys_of(deployment: Deployment) -> dict[str, tuple[str, str]]:
    """Ids and secrets by user, with one of each role."""
    mooringd(deployment, "keys", "create", "operator", "--role", "operator")
    mooringd(deployment, "keys", "create", "reader", "--role", "read-only")
    mooringd(deployment, "keys", "create", "team", "--role", "operator", "--tag", "team=db")
    return read_keys(deployment)


def read_keys(deployment: Deployment) -> dict[str, tuple[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(deployment.data / "credentials")
    return {
        name: (parser[name]["aws_access_key_id"], parser[name]["aws_secret_access_key"])
        for name in parser.sections()
    }
