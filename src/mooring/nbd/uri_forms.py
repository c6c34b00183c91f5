"""An attached disk as QEMU, libvirt, nbd-client, systemd and fstab are told of it."""

from __future__ import annotations

import hashlib
import re
import shlex
from xml.sax.saxutils import quoteattr

from mooring.model.errors import CommandError
from mooring.nbd.uri import NbdUri

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Form = Callable[[NbdUri], str]

RECONNECT_SECONDS = 300
"""How long requests wait for a storage daemon that is restarted, before they fail."""

NODE_NAME = 31
"""Bytes that QEMU allows in the name of a node."""

DEVICE = "/dev/nbd0"

_KERNEL = """\
# The kernel's driver connects again, but answers requests with errors until then: a file system
# becomes read-only when a storage daemon is restarted. On the server's own host attach the disk to
# an instance of the blueprint host instead (`mooring device`); that waits.
"""


def qemu(uri: NbdUri) -> str:
    """Arguments of QEMU, for a shell."""
    name = _node_name(uri.export)
    if uri.socket is not None:
        server = f"server.type=unix,server.path={_comma(uri.socket)}"
    else:
        server = f"server.type=inet,server.host={_comma(uri.host)},server.port={uri.port}"
    blockdev = f"driver=nbd,node-name={name},{server},export={_comma(uri.export)}"
    blockdev += f",reconnect-delay={RECONNECT_SECONDS},discard=unmap"
    lines = []
    if uri.tls:
        lines.append("-object tls-creds-x509,id=mooring-tls,endpoint=client,dir=/etc/pki/qemu")
        blockdev += ",tls-creds=mooring-tls"
    lines += [
        f"-blockdev {shlex.quote(blockdev)}",
        f"-device virtio-blk-pci,drive={name}",
    ]
    return " \\\n".join(lines) + "\n"


def libvirt(uri: NbdUri) -> str:
    """The element of a disk for `virsh edit` or `virsh attach-device`."""
    if uri.socket is not None:
        host = f"<host transport='unix' socket={quoteattr(uri.socket)}/>"
    else:
        host = f"<host name={quoteattr(uri.host)} port='{uri.port}'/>"
    tls = " tls='yes'" if uri.tls else ""
    return (
        "<!-- libvirt 9.0 and older do not know <reconnect>: docs/libvirt.md has a way out -->\n"
        "<disk type='network' device='disk'>\n"
        "  <driver name='qemu' type='raw' discard='unmap'/>\n"
        f"  <source protocol='nbd' name={quoteattr(uri.export)}{tls}>\n"
        f"    {host}\n"
        f"    <reconnect delay='{RECONNECT_SECONDS}'/>\n"
        "  </source>\n"
        "  <target dev='vda' bus='virtio'/>\n"
        "</disk>\n"
    )


def nbd_client(uri: NbdUri) -> str:
    """The command, for a shell."""
    return _KERNEL + shlex.join(["nbd-client", *_nbd_options(uri)]) + "\n"


def systemd(uri: NbdUri) -> str:
    """A unit that keeps the disk connected as `DEVICE`."""
    command = " ".join(_unit_word(one) for one in [*_nbd_options(uri), "-nofork"])
    return (
        f"{_KERNEL}# As /etc/systemd/system/{_unit(uri)}\n"
        "[Unit]\n"
        f"Description=Mooring's disk {_unit_text(uri.export)} as {DEVICE}\n"
        "After=mooring-server.service network-online.target\n"
        "Wants=network-online.target\n"
        "Before=remote-fs-pre.target\n"
        "\n"
        "[Service]\n"
        "ExecStartPre=-modprobe nbd\n"
        f"ExecStart=nbd-client {command}\n"
        f"ExecStop=nbd-client -d {DEVICE}\n"
        "Restart=always\n"
        "RestartSec=1\n"
        "\n"
        "[Install]\n"
        "WantedBy=multi-user.target\n"
    )


def fstab(uri: NbdUri) -> str:
    """A line for the file system on the disk, which the unit of `systemd` connects."""
    _ = _nbd_options(uri)  # or there would be no such unit
    place = f"/mnt/{uri.export.rpartition('/')[2]}"
    options = f"nofail,_netdev,x-systemd.requires={_unit(uri)}"
    return (
        f"{_KERNEL}# Needs the unit that --as systemd prints.\n"
        f"{DEVICE} {_octal(place)} auto {options} 0 2\n"
    )


FORMS: dict[str, Form] = {
    "qemu": qemu,
    "libvirt": libvirt,
    "nbd-client": nbd_client,
    "systemd": systemd,
    "fstab": fstab,
}


def _nbd_options(uri: NbdUri) -> list[str]:
    if uri.tls:
        raise CommandError(
            "nbd-client carries TLS through a process of its own, which does not connect again. "
            "Use QEMU or libvirt for disks of another host.",
            "usage",
        )
    place = [uri.host, str(uri.port)] if uri.socket is None else ["-unix", uri.socket]
    # By netlink it would not connect again.
    how = ["-nonetlink", "-persist", "-block-size", "4096"]
    return [*place, DEVICE, "-name", uri.export, *how]


def _node_name(export: str) -> str:
    """A name for QEMU that is the disk's where QEMU allows that."""
    name = export.rpartition("/")[2]
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", name) and len(name) <= NODE_NAME:
        return name
    digest = hashlib.sha256(export.encode()).hexdigest()[:8]
    kept = re.sub(r"[^A-Za-z0-9._-]", "-", name)[: NODE_NAME - 14]
    return f"disk-{kept}-{digest}"


def _comma(value: str) -> str:
    """A value in QEMU's lists of options."""
    return value.replace(",", ",,")


def _unit(uri: NbdUri) -> str:
    name = uri.export.rpartition("/")[2]
    return f"mooring-disk-{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.service"


def _unit_word(word: str) -> str:
    """A word of a command in a unit."""
    word = _unit_text(word).replace("$", "$$")
    if re.search(r"[\s\"'\\;]", word) or not word:
        escaped = word.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return word


def _unit_text(text: str) -> str:
    return text.replace("%", "%%")


def _octal(text: str) -> str:
    """A field of fstab: blanks and backslashes as octal numbers."""
    return "".join(f"\\{ord(one):03o}" if one in " \t\n\\" else one for one in text)
