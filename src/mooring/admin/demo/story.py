"""mooringd demo: what Mooring is for, done and proved from start to end."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mooring.admin.demo.files import check_files, files_being_written
from mooring.admin.demo.filesystem import why_not
from mooring.admin.demo.server import DemoError, Ran, ServerProcess, client_program, pause
from mooring.admin.demo.writers import Writers
from mooring.model.counts import counted
from mooring.model.extents import BLOCK_SIZE

MIB = 1024 * 1024
RECORD_BLOCKS = range(32 * 1024)
"""Where the writer writes: the first 128 MiB."""

FILL_OFFSET, FILL_BYTES = 1024 * MIB, 1024 * MIB
"""Where other data lies, so that a snapshot takes long enough to be looked at."""

SHOWN_LINES = 34

PROGRESS_STEP = 20
"""Per cent between two lines of progress."""

RECORDS_PER_SECOND = 2000
"""What the writer does: enough to matter, and the machine has cores left for the rest."""

BOTO3 = """
import boto3, json
answer = boto3.client("lightsail").create_disk_snapshot(
    diskName="my-disk", diskSnapshotName="by-boto3")
print(json.dumps([one["status"] for one in answer["operations"]]))
"""


class Story:
    """The chapters share a server, its disk, and the writer that never stops."""

    def __init__(self, data: Path, config: str | None) -> None:
        self.server = ServerProcess(data, settings=[] if config is None else ["--config", config])
        self.writers = Writers(data)
        self.proofs: list[tuple[bool, str]] = []

    # --- showing

    def title(self, text: str) -> None:
        print(f"\n=== {text}", flush=True)

    def prove(self, holds: bool, text: str) -> None:
        self.proofs.append((holds, text))
        print(f"{'PROVED ' if holds else 'FAILED '} {text}", flush=True)

    def show(self, *words: str, script: str = "", quiet: bool = False) -> Ran:
        """Run a client in front of the audience."""
        print(f"$ {' '.join(words)}", flush=True)
        ran = self.server.run(*words, script=script)
        lines = ran.output.rstrip().splitlines()
        if not quiet:
            print("\n".join(lines[:SHOWN_LINES]), flush=True)
        return ran

    # --- chapters

    def begin(self) -> None:
        self.title("A server on a throw-away data directory")
        self.server.start()
        print(self.server.log.read_text().split("{")[0].rstrip())
        key = self.server.environment()["AWS_ACCESS_KEY_ID"]
        print(f"made access key {key}; its secret is in the file, readable only by its owner")

    def make_disk(self) -> str:
        """A disk in use; returns its NBD URI."""
        self.title("A disk of 8 GB, attached and in use")
        zone = "us-east-2a"
        # Several programs write to it here: the writer, and fio beside it.
        self.show(
            *"mooring create-disk --disk-name my-disk --size-in-gb 8".split(),
            *f"--availability-zone {zone} --tags key=mooring:shared,value=true".split(),
        )
        self.server.available("my-disk")
        words = "create-instances --instance-names my-host --blueprint-id external"
        words += f" --bundle-id external --availability-zone {zone}"
        self.show("mooring", *words.split(), quiet=True)
        self.server.until(
            "running",
            *"get-instance-state --instance-name my-host".split(),
            member="state.name",
        )
        uri = self.attach("my-disk", "/dev/xvdf")
        print(f"the disk is at {uri}")
        self.fill(uri)
        self.writers.start(uri, RECORD_BLOCKS, rate=RECORDS_PER_SECOND)
        pause(1.0)
        written = counted(self.writers.written(), "record")
        print(f"a writer is at work: {written} written and acknowledged")
        return uri

    def attach(self, disk: str, path: str) -> str:
        words = f"attach-disk --disk-name {disk} --instance-name my-host --disk-path {path}"
        self.show("mooring", *words.split(), quiet=True)
        return self.server.attached(disk)

    def fill(self, uri: str) -> None:
        """Half-compressible data from fio, if it is there."""
        if shutil.which("fio") is None:
            return
        words = "fio --name=fill --ioengine=nbd --rw=write --bs=1M --iodepth=8"
        words += f" --offset={FILL_OFFSET} --size={FILL_BYTES}"
        words += " --buffer_compress_percentage=50 --refill_buffers --output-format=terse"
        print(f"$ {words} --uri={uri}", flush=True)
        subprocess.run([*words.split(), f"--uri={uri}"], check=True, stdout=subprocess.DEVNULL)

    def snapshot(self, name: str, *client: str) -> Ran:
        """Take a snapshot with a client, watch it, and check it against what was written."""
        words = f"create-disk-snapshot --disk-name my-disk --disk-snapshot-name {name}"
        ran = self.show(*client, *words.split())
        return self.watch(name, ran)

    def watch(self, name: str, ran: Ran) -> Ran:
        """Show the snapshot's way from pending to completed."""
        shown = -PROGRESS_STEP
        while True:
            found = self.server.ask("snapshot", diskSnapshotName=name)
            if found["state"] == "error":
                raise DemoError(f"the snapshot {name} failed: {self.operations(name)}")
            completed = found["state"] == "completed"
            if completed or found["progress"] >= shown + PROGRESS_STEP:
                shown = found["progress"]
                print(f"{name}: {found['state']} {shown}%", flush=True)
            if completed:
                break
            pause(0.1)
        print(
            f"the reply took {self.answered_in():.0f} ms at the server, "
            f"{ran.seconds * 1000:.0f} ms with the client's process; "
            f"writes were held back for {found['pauseSeconds'] * 1000:.1f} ms"
        )
        self.prove(self.writers.alive, f"{name}: the writer kept going throughout")
        return ran

    def answered_in(self) -> float:
        """Milliseconds from the last such request's arrival to its reply, from the server's log."""
        lines = self.server.log.read_text().splitlines()
        asked = [json.loads(line) for line in lines if '"operation": "CreateDiskSnapshot"' in line]
        return float(asked[-1]["milliseconds"])

    def operations(self, name: str) -> str:
        return self.server.run(
            "mooring", "get-operations-for-resource", "--resource-name", name
        ).output

    def restore(self, name: str, ran: Ran, disk: str, path: str) -> None:
        """Make a disk from the snapshot and compare it, block for block."""
        words = f"create-disk-from-snapshot --disk-name {disk} --disk-snapshot-name {name}"
        words += " --availability-zone us-east-2a --size-in-gb 8"
        self.show("mooring", *words.split(), quiet=True)
        self.server.available(disk)
        uri = self.attach(disk, path)
        verdict = self.writers.compare(uri, ran.began, ran.ended)
        for wrong in verdict.wrong:
            print(f"  {wrong}")
        self.prove(
            verdict.ok and verdict.written > 0,
            f"{disk}: {counted(verdict.written, 'record')} byte for byte: all that were "
            "acknowledged "
            "before the request, none issued after the reply",
        )

    def second(self) -> None:
        self.title("A second snapshot stores what has changed since")
        before = self.server.ask("snapshot", diskSnapshotName="first")
        ran = self.snapshot("second", "mooring")
        found = self.server.ask("snapshot", diskSnapshotName="second")
        print(f"first  {_amounts(before)}\nsecond {_amounts(found)}")
        self.prove(
            found["parentName"] == "first"
            and found["changedBytes"] <= len(RECORD_BLOCKS) * BLOCK_SIZE
            # Without fio there was nothing to fill the disk with, and the first is small.
            and (shutil.which("fio") is None or found["storedBytes"] < before["storedBytes"]),
            "second: only what changed since the first was read and stored",
        )
        self.restore("second", ran, "from-second", "/dev/xvdh")

    def other_clients(self) -> None:
        self.title("The same with aws and boto3, unmodified")
        if not client_program("aws").exists():
            print("they are not installed (scripts/setup does it), so this is skipped")
            return
        print('$ eval "$(mooringd env)"')
        ran = self.snapshot("by-aws", "aws", "lightsail")
        self.restore("by-aws", ran, "from-aws", "/dev/xvdi")
        print(BOTO3.strip())
        ran = self.server.run("python", "-", script=BOTO3)
        self.prove(json.loads(ran.output) == ["Started", "Started"], "boto3 had its operations")
        self.watch("by-boto3", ran)

    def files(self) -> None:
        self.title("A file system in use")
        if reason := why_not():
            print(f"{reason}, so this is skipped")
            return
        words = "create-disk --disk-name files --size-in-gb 8 --availability-zone us-east-2a"
        self.show("mooring", *words.split(), quiet=True)
        self.server.available("files")
        uri = self.attach("files", "/dev/xvdk")
        with files_being_written(uri, self.server.data) as journal:
            print("ext4 is mounted, and files are being written, each followed by fsync")
            words = "create-disk-snapshot --disk-name files --disk-snapshot-name of-files"
            ran = self.watch("of-files", self.show("mooring", *words.split(), quiet=True))
        words = "create-disk-from-snapshot --disk-name files-again --disk-snapshot-name of-files"
        words += " --availability-zone us-east-2a --size-in-gb 8"
        self.show("mooring", *words.split(), quiet=True)
        self.server.available("files-again")
        restored = self.attach("files-again", "/dev/xvdl")
        found = check_files(restored, self.server.data, journal, ran.began, ran.ended)
        self.prove(
            found.ok,
            "files-again: the journal replays, e2fsck finds nothing, all "
            f"{counted(found.whole, 'file')} synchronised before the request are intact, and none "
            "started after the reply is present",
        )

    def crash(self, uri: str) -> None:
        self.title("The server is killed while a snapshot is pending")
        self.fill(uri)
        words = "create-disk-snapshot --disk-name my-disk --disk-snapshot-name survivor"
        ran = self.show("mooring", *words.split(), quiet=True)
        found = self.server.ask("snapshot", diskSnapshotName="survivor")
        self.prove(found["state"] == "pending", "the snapshot is pending when the server dies")
        print(f"$ kill -9 {self.server.pid}")
        self.server.kill()
        before = self.writers.written()
        pause(2.0)
        written = self.writers.written() - before
        self.prove(
            self.writers.alive and written > 0,
            f"without a server, the disk took {counted(written, 'more record')} undisturbed",
        )
        self.server.start()
        print("$ mooringd serve")
        self.watch("survivor", ran)
        self.restore("survivor", ran, "from-survivor", "/dev/xvdj")

    def end(self) -> bool:
        self.title("Cleaning up")
        self.prove(self.writers.stop(), "the writer saw no error from start to end")
        self.server.run("mooring", "delete-instance", "--instance-name", "my-host")
        for disk in self.server.run("mooring", "get-disks").json()["disks"]:
            self.server.available(disk["name"])
            self.server.run("mooring", "delete-disk", "--disk-name", disk["name"])
        self.title("What was proved")
        for holds, text in self.proofs:
            print(f"{'yes' if holds else 'NO '}  {text}")
        return all(holds for holds, _ in self.proofs)

    def tell(self) -> bool:
        """All chapters; True if every proof held."""
        self.begin()
        uri = self.make_disk()
        self.title("A snapshot while the writer keeps going")
        ran = self.snapshot("first", "mooring")
        self.title("A new disk from the snapshot holds that instant")
        self.restore("first", ran, "from-first", "/dev/xvdg")
        self.second()
        self.files()
        self.other_clients()
        self.crash(uri)
        return self.end()


def demo(*, keep: bool = False, config: str | None = None) -> int:
    """Tell the story on a temporary data directory; returns 1 if a proof failed."""
    data = Path(tempfile.mkdtemp(prefix="mooring-"))
    story = Story(data, config)
    try:
        return 0 if story.tell() else 1
    finally:
        story.writers.stop()
        _stop_daemons(story.server)
        story.server.stop()
        if keep:
            print(f"the data directory is {data}")
        else:
            shutil.rmtree(data, ignore_errors=True)


def _stop_daemons(server: ServerProcess) -> None:
    """Storage daemons outlive the server by design; stopping the instance ends them."""
    if not server.answers():
        return
    names = [one["name"] for one in server.run("mooring", "get-instances").json()["instances"]]
    for name in names:
        server.run("mooring", "delete-instance", "--instance-name", name)
    if names:
        pause(1.0)


def _amounts(found: Mapping[str, Any]) -> str:
    return (
        f"{found['changedBytes'] / MIB:8.1f} MiB changed, "
        f"{found['storedBytes'] / MIB:8.1f} MiB stored"
    )
