"""Ansible's modules for Lightsail, of the collection community.aws, as playbooks use them.

The collection comes from PyPI only within the package `ansible`, of 57 MB, which takes 600 MB
when installed: too much for every checkout and every CI run. These tests run where
`.venv-ansible` was made by hand (`pip install "ansible<12" boto3`), or MOORING_ANSIBLE names one.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.site import REGION, ZONE, Site

VENV = Path(os.environ.get("MOORING_ANSIBLE", Path(__file__).parents[2] / ".venv-ansible"))

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(
        not (VENV / "bin" / "ansible").exists(), reason="no .venv-ansible: its 600 MB are optional"
    ),
]


def module(site: Site, tmp_path: Path, module_name: str, **arguments: Any) -> Any:
    """Run a module on this host; returns what it told."""
    common = {"region": REGION, "endpoint_url": site.url}
    environment = {
        **site.environment,
        "HOME": str(tmp_path),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.json",
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true",
    }
    command = [str(VENV / "bin" / "ansible"), "localhost", "-c", "local"]
    command += ["-m", f"community.aws.{module_name}", "-a", json.dumps({**common, **arguments})]
    done = subprocess.run(
        [*command, "-e", f"ansible_python_interpreter={VENV / 'bin' / 'python'}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]


def test_an_instance_comes_rests_and_goes(site: Site, tmp_path: Path) -> None:
    web = site.fresh("ansible")
    new = {"zone": ZONE, "blueprint_id": "external", "bundle_id": "external"}

    made = module(site, tmp_path, "lightsail", name=web, state="present", **new)
    assert made["changed"], made
    assert made["instance"]["name"] == web
    again = module(site, tmp_path, "lightsail", name=web, state="present", **new)
    assert again["changed"] is False
    stopped = module(site, tmp_path, "lightsail", name=web, state="stopped")
    assert stopped["changed"], stopped
    site.instance_is(web, "stopped")
    gone = module(site, tmp_path, "lightsail", name=web, state="absent")
    assert gone["changed"], gone
    assert web not in site.call("GetActiveNames")["activeNames"]


def test_a_snapshot_of_an_instance(site: Site, tmp_path: Path) -> None:
    _, web = site.attached()
    name = site.fresh("ansible-snap")

    made = module(
        site, tmp_path, "lightsail_snapshot", snapshot_name=name, instance_name=web, wait=True
    )
    assert made["changed"], made
    shown = site.call("GetInstanceSnapshot", instanceSnapshotName=name)["instanceSnapshot"]
    assert shown["state"] == "available"
    again = module(site, tmp_path, "lightsail_snapshot", snapshot_name=name, instance_name=web)
    assert again["changed"] is False
    gone = module(site, tmp_path, "lightsail_snapshot", snapshot_name=name, state="absent")
    assert gone["changed"], gone
