"""Disks that are made together with the instance that they are attached to."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.model.resources.disk import Attachment, Disk
from mooring.model.resources.instance import Instance
from mooring.model.tags import Tags


def disk_made_with(
    backend: Backend,
    instance: Instance,
    name: str,
    *,
    size_gb: int,
    path: str | None,
    origin_id: str | None,
    ancestors: tuple[str, ...] = (),
    is_system: bool,
    tags: Tags,
) -> Disk:
    """A new disk at the path of the instance; a system disk has the instance's tags instead.

    `tags` are those that bind the caller's key, because the request has none for disks: whoever
    makes them can reach them.
    """
    return Disk(
        id=backend.ids.new_id(),
        region=instance.region,
        zone=instance.zone,
        name=name,
        created_ms=instance.created_ms,
        support_code=backend.support_code("vol"),
        size_gb=size_gb,
        attachment=Attachment.ATTACHING,
        instance_id=instance.id,
        path=path,
        origin_id=origin_id,
        ancestors=ancestors,
        is_system=is_system,
        host=instance.host,
        tags=_tags_of_system_disk(instance) if is_system else dict(tags),
    )


def _tags_of_system_disk(instance: Instance) -> Tags:
    """Those of the instance, so that the same keys reach both; not those that mean something."""
    return {key: value for key, value in instance.tags.items() if not key.startswith("mooring:")}
