"""A Ceph cluster of one machine for benchmarks, thrown away at the end."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import uuid
from collections import Counter
from pathlib import Path

POOL, SPACE, USER = "mooring", "home", "mooring"
ZONE = "us-east-2a"
SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "ceph"


class Cluster:
    """A cluster that is thrown away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([SCRIPT, "start", folder], check=True)
        told = subprocess.run([SCRIPT, "env", folder], check=True, capture_output=True, text=True)
        for line in told.stdout.splitlines():
            name, value = shlex.split(line)[1].split("=", 1)
            os.environ[name] = value
        self.conf = str(folder / "ceph.conf")

    def admin(self, *command: str) -> None:
        """Run a command of Ceph's as the administrator."""
        conf = str(self.folder / "admin.conf")
        environment = {**os.environ, "CEPH_CONF": conf}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)

    def image(self, size: int) -> str:
        """An image of the pool, outside of our name space."""
        name = uuid.uuid4().hex
        self.admin("rbd", "create", "--size", f"{size}B", f"{POOL}/{name}")
        return name

    def settings(self) -> Path:
        """A file with the settings of a server that has a zone's disks there."""
        file = self.folder / "mooring.toml"
        file.write_text(
            f'[ceph.{ZONE}]\npool = "{POOL}"\nnamespace = "{SPACE}"\nuser = "{USER}"\n'
            f'conf = "{self.conf}"\n'
        )
        return file

    def layer_counts(self) -> Counter[str]:
        """How many layers each disk has."""
        listed = subprocess.run(
            ["rbd", "ls", f"{POOL}/{SPACE}", "--format", "json"],
            env={**os.environ, "CEPH_CONF": str(self.folder / "admin.conf")},
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return Counter(name.partition(".")[0] for name in json.loads(listed.stdout))

    def stop(self) -> None:
        """End it."""
        subprocess.run([SCRIPT, "stop", self.folder], check=False)
