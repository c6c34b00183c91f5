"""A process that serves snapshots and does not start is no fault without a name."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.config.settings import EngineSettings
from mooring.model.errors import OperationFailureException
from mooring.service.context import Context
from mooring.service.own.table import own_handlers
from tests.admin.servers import REGION, ZONE, running, settings_at


@pytest.mark.full
def test_an_export_says_so(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    settings = replace(settings_at(run_dir / "data", tmp_path / "vault"), engine=EngineSettings())
    with running(settings) as server:
        server.call("CreateDisk", diskName="data", availabilityZone=ZONE, sizeInGb=8)
        server.settle()
        server.call("CreateDiskSnapshot", diskName="data", diskSnapshotName="snap")
        server.settle()
        ask = own_handlers(server.mooring.backend)["grant"]
        context = Context(
            region=REGION, caller="AKIATEST", request_id="r", invocation_id=None, received_ms=0
        )

        with pytest.raises(OperationFailureException, match="does not start: the server's log"):
            ask(context, {"diskSnapshotName": "snap"})
