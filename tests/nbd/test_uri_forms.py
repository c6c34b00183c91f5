"""What `mooring uri --as` prints: read as those read it who are told."""

from __future__ import annotations

import re
import shlex
import subprocess
from argparse import Namespace
from pathlib import Path
from typing import cast
from xml.etree import ElementTree as ET

import pytest

from mooring.cli.own.invocation import Invocation
from mooring.cli.own.uri import run_uri
from mooring.model.errors import CommandError
from mooring.nbd.uri import NbdUri
from mooring.nbd.uri_forms import FORMS
from tests.conftest import CHECKOUT

PLAIN = NbdUri("data", socket="/run/mooring/us-east-2a/7f1c/nbd.sock")
ODD = NbdUri("0-an,odd one<&%\"'", socket="/run/m,o o/nbd.sock")
AWAY = NbdUri("us-east-2/web-1/data", host="::1", port=10808, tls=True)

DOMAIN = """\
<domain type='kvm'>
  <name>vm1</name>
  <memory unit='MiB'>256</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
{disk}
  </devices>
</domain>
"""


SCHEMA = Path("/usr/share/libvirt/schemas/storagecommon.rng")


def _words(text: str) -> list[str]:
    """The words of a command as a shell reads it."""
    return shlex.split(text.replace("\\\n", ""))


def _options(text: str) -> dict[str, str]:
    """A list of options as QEMU reads it: a comma is written twice."""
    parts = re.split(r"(?<!,),(?!,)", text)
    return dict(part.replace(",,", ",").split("=", 1) for part in parts)


@pytest.mark.parametrize("uri", [PLAIN, ODD, AWAY])
def test_arguments_of_qemu(uri: NbdUri) -> None:
    words = _words(FORMS["qemu"](uri))
    options = _options(words[words.index("-blockdev") + 1])
    assert options["export"] == uri.export
    assert options["reconnect-delay"] == "300"
    if uri.socket is not None:
        assert options["server.path"] == uri.socket
    else:
        assert (options["server.host"], options["tls-creds"]) == ("::1", "mooring-tls")
    device = words[words.index("-device") + 1]
    assert device == f"virtio-blk-pci,drive={options['node-name']}"
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,30}", options["node-name"])


def test_long_names_stay_apart() -> None:
    names = {
        _options(_words(FORMS["qemu"](NbdUri("x" * 200 + end, socket="/s")))[1])["node-name"]
        for end in "ab"
    }
    assert len(names) == 2


@pytest.mark.parametrize("uri", [PLAIN, ODD, AWAY])
def test_the_element_of_libvirt(uri: NbdUri) -> None:
    disk = ET.fromstring(FORMS["libvirt"](uri))
    source = disk.find("source")
    assert source is not None
    assert source.get("name") == uri.export
    reconnect, host = source.find("reconnect"), source.find("host")
    assert reconnect is not None
    assert host is not None
    assert reconnect.get("delay") == "300"
    assert host.get("socket") == uri.socket


@pytest.mark.requires("virt-xml-validate", "xmllint")
@pytest.mark.parametrize("uri", [PLAIN, ODD, AWAY])
def test_libvirt_takes_the_element(uri: NbdUri, tmp_path: Path) -> None:
    disk = FORMS["libvirt"](uri)
    if "delay" not in SCHEMA.read_text():
        # Debian 12's does not know it yet.
        disk = disk.replace("    <reconnect delay='300'/>\n", "")
    _validate(DOMAIN.format(disk=disk), tmp_path)


@pytest.mark.requires("virt-xml-validate", "xmllint")
def test_libvirt_takes_the_domain_of_the_page(tmp_path: Path) -> None:
    page = (CHECKOUT / "docs" / "libvirt.md").read_text(encoding="utf-8")
    (domain,) = re.findall(r"(?s)```xml\n(<domain.*?)```", page)
    _validate(domain, tmp_path)
    words = re.findall(r"<qemu:arg value='(.*?)'/>", domain)
    printed = _words(FORMS["qemu"](NbdUri("data", socket="/run/mooring/us-east-2a/7f1c/nbd.sock")))
    assert words == printed


def _validate(domain: str, folder: Path) -> None:
    file = folder / "domain.xml"
    file.write_text(domain)
    command = ["virt-xml-validate", str(file), "domain"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("uri", [PLAIN, ODD])
def test_the_unit_runs_what_the_command_does(uri: NbdUri) -> None:
    command = shlex.split(FORMS["nbd-client"](uri).splitlines()[-1])
    (line,) = re.findall(r"(?m)^ExecStart=(.*)$", FORMS["systemd"](uri))
    words = [one.replace("%%", "%").replace("$$", "$") for one in shlex.split(line)]
    assert words == [*command, "-nofork"]
    assert command[command.index("-unix") + 1] == uri.socket
    assert command[command.index("-name") + 1] == uri.export


@pytest.mark.requires("systemd-analyze")
@pytest.mark.parametrize("uri", [PLAIN, ODD])
def test_systemd_takes_the_unit(uri: NbdUri, tmp_path: Path) -> None:
    unit = tmp_path / "mooring-disk-test.service"
    # The programs of the unit need not be here.
    text = re.sub(r"(?<==)(-?)(modprobe|nbd-client)", r"\1/bin/true", FORMS["systemd"](uri))
    unit.write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "mooring-disk-test" not in done.stderr, done.stderr


def test_the_line_of_fstab_needs_the_unit() -> None:
    line = FORMS["fstab"](NbdUri("my data", socket="/s")).splitlines()[-1]
    device, place, kind, options, *passes = line.split()
    assert (device, place, kind, passes) == ("/dev/nbd0", "/mnt/my\\040data", "auto", ["0", "2"])
    unit = "mooring-disk-my_data.service"
    assert f"x-systemd.requires={unit}" in options.split(",")
    assert f"/{unit}" in FORMS["systemd"](NbdUri("my data", socket="/s"))
    assert "nofail" in options


@pytest.mark.parametrize("form", ["nbd-client", "systemd", "fstab"])
def test_the_kernel_does_not_reconnect_with_tls(form: str) -> None:
    with pytest.raises(CommandError, match="QEMU or libvirt"):
        FORMS[form](AWAY)


def test_a_form_that_there_is_not() -> None:
    parsed = Namespace(disk_name="data", instance_name=None, tcp=False, close=False, as_="vmware")
    with pytest.raises(CommandError, match="qemu, libvirt, nbd-client, systemd, fstab, not 'vmw"):
        run_uri(cast(Invocation, None), parsed)  # told before anybody is asked
