"""A command of the operator's that decides whether a silent host is fenced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.hosts import (
    Cluster,
    attach,
    create_disk,
    create_instance,
    disk,
    host_of,
    instance,
    snapshot_state,
)
from tests.e2e.processes import until

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]


@pytest.fixture
def asked(run_dir: Path) -> Path:
    """Where the command writes who asks about whom; it says no as long as there is no `dead`."""
    script = run_dir / "is dead"
    script.write_text(
        f'#!/bin/sh\necho "$MOORING_SERVER $MOORING_HOST $1" >> {run_dir}/asked\n'
        f"echo the power is on\n[ -e {run_dir}/dead ]\n"
    )
    script.chmod(0o755)
    return run_dir / "asked"


@pytest.fixture
def of_hosts(asked: Path) -> str:
    command = json.dumps([str(asked.parent / "is dead"), "$(reboot); x"])
    return f"[hosts]\nfence_command = {command}\n"


def test_a_host_that_the_command_calls_dead_is_fenced_and_restored(
    cluster: Cluster, asked: Path
) -> None:
    alpha = cluster.start("alpha")
    beta = cluster.start("beta")
    cluster.start("gamma")
    create_disk(alpha, "data", host="alpha")
    create_instance(alpha, "vm", host="alpha")
    attach(alpha, "data", "vm")
    alpha.call("CreateDiskSnapshot", diskName="data", diskSnapshotName="first")
    until(lambda: snapshot_state(alpha, "first") == "completed", "the snapshot")
    assert not asked.exists(), "nobody is silent"
    cluster.kill("alpha")

    # It says no: nothing is done, and that is told.
    until(lambda: asked.exists() and len(asked.read_text().splitlines()) >= 2, "the command")
    whole = {tuple(line.split(" ", 2)) for line in asked.read_text().splitlines()}
    assert {one[1:] for one in whole} == {("alpha", "$(reboot); x")}
    (asker,) = {one[0] for one in whole}
    assert disk(beta, "data")["state"] == "error"
    assert host_of(disk(beta, "data")) == "alpha"
    log = cluster.servers[asker].log
    told = "not fenced: of hosts.fence_command, it ended with 1: the power is on"
    until(lambda: told in log.read_text(), "that to be told")
    assert "fenced" not in cluster.operator("beta", "hosts")[1]
    assert '"fence"' not in cluster.operator("beta", "audit")[1]
    until(lambda: "host-not-fenced" in log.read_text(), "the trouble")

    (asked.parent / "dead").touch()

    until(lambda: host_of(disk(beta, "data")) != "alpha", "the disk to be placed elsewhere")
    until(lambda: disk(beta, "data")["state"] == "in-use", "the disk to be served")
    until(lambda: instance(beta, "vm")["state"]["name"] == "running", "the instance to run")
    assert "fenced" in cluster.operator("beta", "hosts")[1]
    lines = [json.loads(one) for one in cluster.operator("beta", "audit")[1].splitlines()]
    done = [one for one in lines if one["user"] == "hosts.fence_command"]
    assert [(one["operation"], one["resources"], one["result"]) for one in done] == [
        ("fence", ["alpha"], "Succeeded"),
        ("restore-host", ["alpha"], "Succeeded"),
    ]

    # It is a host as any other when it is back, without what was restored.
    cluster.start("alpha")
    until(lambda: "fenced" not in cluster.operator("beta", "hosts")[1], "it to be up")
    assert host_of(disk(beta, "data")) != "alpha"
