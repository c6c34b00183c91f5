"""The own requests of those who look after disks, keys and a server."""

from __future__ import annotations

from mooring.service.entry import administers, reads
from mooring.service.own.access_keys import create_key, delete_key, keys, rotate
from mooring.service.own.audit import audit
from mooring.service.own.own_request import NUMBER, TAGS, TEXT, OwnRequest, acts, asks
from mooring.service.own.reports.activity import jobs, pulse
from mooring.service.own.reports.disk_list import disk_list
from mooring.service.own.reports.ends import ends
from mooring.service.own.reports.lineage import lineage
from mooring.service.own.reports.overview import overview
from mooring.service.own.reports.space import space, space_by_disk
from mooring.service.own.reports.timeline import timeline

LOOKING_AFTER: dict[str, OwnRequest] = {
    "overview": asks(reads(overview)),
    "disk-list": asks(reads(disk_list), "text", "show", "pageToken"),
    "timeline": asks(reads(timeline, on=["diskName"]), "diskName", "pageToken"),
    "jobs": asks(reads(jobs)),
    "pulse": asks(reads(pulse)),
    "lineage": asks(reads(lineage, on=["diskName"]), "diskName"),
    "space": asks(reads(space)),
    "space-by-disk": asks(reads(space_by_disk)),
    "ends": asks(administers(ends)),
    "audit": asks(administers(audit), "text", "pageToken"),
    "keys": asks(administers(keys)),
    "create-key": acts(administers(create_key, notes=["user"]), user=TEXT, role=TEXT, tags=TAGS),
    "rotate-key": acts(administers(rotate, notes=["user"]), user=TEXT, overlapHours=NUMBER),
    "delete-key": acts(administers(delete_key, notes=["user", "keyId"]), user=TEXT, keyId=TEXT),
}
"""What the console shows, for other programs as well."""
