"""Questions about everything at once: how it is, and short lists."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.overview.lists import disks_listed, instances_listed, snapshots_listed
from mooring.service.overview.overview import overview
from mooring.service.own.own_request import Answer


def status(backend: Backend, context: Context, params: Params) -> Answer:
    """How the server and all its regions are: room, newest snapshots, what runs, what failed."""
    del context, params
    return overview(backend)


def list_disks(backend: Backend, context: Context, params: Params) -> Answer:
    """Disks of the region, with what they take and their newest snapshot; from `pageToken` on."""
    found, token = disks_listed(backend, context.access, context.region, params.get("pageToken"))
    return {"disks": found, "nextPageToken": token}


def list_instances(backend: Backend, context: Context, params: Params) -> Answer:
    """Instances of the region, with what their disks add up to; from `pageToken` on."""
    found, token = instances_listed(
        backend, context.access, context.region, params.get("pageToken")
    )
    return {"instances": found, "nextPageToken": token}


def list_snapshots(backend: Backend, context: Context, params: Params) -> Answer:
    """Snapshots of the region, automatic ones among them, newest first; from `pageToken` on.

    With `diskName` only those of that disk, which may be gone.
    """
    found, token = snapshots_listed(
        backend,
        context.access,
        context.region,
        params.get("pageToken"),
        params.get("diskName"),
    )
    return {"snapshots": found, "nextPageToken": token}
