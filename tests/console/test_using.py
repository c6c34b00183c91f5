"""A disk's page on its use: what to paste, and its layers."""

from __future__ import annotations

from html import unescape

from mooring.nbd.uri import parse_uri
from mooring.nbd.uri_forms import FORMS
from tests.console.site import Site

DISK = "/console/us-east-2/disk?name=data"


def used(site: Site) -> None:
    site.world.disk()
    site.world.instance()
    site.world.attach()


def test_every_form_is_what_the_command_prints(site: Site) -> None:
    used(site)
    uri = parse_uri(site.world.act("uri", diskName="data")["uri"])
    page = unescape(site.visitor("operator").get(f"{DISK}&use=1").text)

    assert set(FORMS) == {"qemu", "libvirt", "nbd-client", "systemd", "fstab"}
    for name, form in FORMS.items():
        assert form(uri).strip() in page, name
        assert name in page


def test_who_may_only_look_is_told_no_place(site: Site) -> None:
    used(site)
    page = site.visitor("reader").see(f"{DISK}&use=1")

    assert "nbd" not in page
    assert "To use it" not in page


def test_layers_are_told_with_the_snapshots_that_need_them(site: Site) -> None:
    used(site)
    site.world.call("CreateDiskSnapshot", diskName="data", diskSnapshotName="held")

    page = site.visitor("reader").see(DISK)
    health = site.world.engine.health(site.world.disk_id("data"))
    assert f"Layers {health.layers} layers" in page
    assert "with the moment of held" in page
