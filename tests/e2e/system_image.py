"""The image of a small system that boots from its own disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import find_tool

_INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin 2>/dev/null
mount -t proc proc /proc
mount -t sysfs sys /sys
echo booted >> /boots && sync
exec 3< /dev/ttyS1 > /dev/ttyS1
stty raw -echo <&3
echo {ready}
while read -r line <&3; do eval "$line" < /dev/null; done
"""

_MIB = 64

# What the kernel starts first: it finds the disk, and hands over to the system on it.
ENTRY = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod $module; done
mkdir -p /system
until mount -t ext4 /dev/vda /system; do sleep 1; done
mount --move /dev /system/dev
exec switch_root /system /sbin/init
"""


def make_system_image(folder: Path, ready: str) -> Path:
    """A qcow2 image of an ext4 file system; its system says `ready` on the second serial line."""
    tree, raw, image = folder / "tree", folder / "system.raw", folder / "system.qcow2"
    for name in ("bin", "sbin", "dev", "proc", "sys", "tmp", "mnt"):
        (tree / name).mkdir(parents=True)
    (tree / "bin/busybox").write_bytes(Path(find_tool("busybox")).read_bytes())
    (tree / "sbin/init").write_text(_INIT.format(ready=ready))
    for program in ("bin/busybox", "sbin/init"):
        (tree / program).chmod(0o755)
    with raw.open("wb") as file:
        file.truncate(_MIB << 20)
    mkfs = [find_tool("mkfs.ext4"), "-q", "-d", str(tree), str(raw)]
    subprocess.run(mkfs, check=True)
    convert = [find_tool("qemu-img"), "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)]
    subprocess.run(convert, check=True)
    return image
