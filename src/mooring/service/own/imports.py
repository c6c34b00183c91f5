"""Snapshots made from images that the caller serves over NBD."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.backend.import_places import EXPORT, SOCKET
from mooring.model.errors import InvalidInputException, NbdError
from mooring.model.names import check_name, name_taken, shown
from mooring.model.operation import ResourceType
from mooring.model.resources.consistency import read_given_tags
from mooring.model.resources.job_arguments import ImportSnapshot
from mooring.model.resources.own_blueprint import check_blueprint_id, read_platform
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.model.sizes import check_disk_size, size_in_bytes
from mooring.nbd.uri import NbdUri
from mooring.service.answers import operations
from mooring.service.call import Call, Params
from mooring.service.context import Context
from mooring.service.own.own_request import Answer, member

OPERATION = "ImportDiskSnapshot"
"""The type of the operation that an import has in the lists of operations."""


CONNECT_SECONDS = 5.0
"""How long the image's server has to answer."""


def import_place(backend: Backend, context: Context, params: Params) -> Answer:
    """Offer the directory `folder` to serve an image in; the import calls it `place`.

    Only the server's own user can put a socket there; it is to be named `socket`, and the image
    is its export `export`. `hostName` is where the folder is, if there are several servers.
    """
    token, folder = backend.imports.offer(context.access.user)
    host = backend.server_name
    return {
        "place": token if host is None else f"{token}@{host}",
        "folder": str(folder),
        "socket": SOCKET,
        "export": EXPORT,
        "hostName": host,
    }


def import_snapshot(backend: Backend, context: Context, params: Params) -> Answer:
    """Make the snapshot `diskSnapshotName` of `sizeInGb`, with `tags`, from what `place` serves.

    With `blueprintPlatform`, linux or windows, it is a blueprint with that name as its id.
    A process of the server's own user serves the image there, see `import_place`; it goes on until
    the operation, which is the answer, has ended.
    """
    call = Call(context, OPERATION, dict(params))
    if (known := call.recall(backend)) is not None:
        return known
    name = check_name(member(params, "diskSnapshotName"))
    blueprint = None
    if (platform := params.get("blueprintPlatform")) is not None:
        blueprint = read_platform(platform)
        check_blueprint_id(name)
    place, _, offered_by = member(params, "place").partition("@")
    if offered_by and offered_by != backend.server_name:
        raise InvalidInputException(
            f"The folder is on the host of the server {shown(offered_by)}, which offered it: send "
            "the import to that one."
        )
    tags = read_given_tags(ResourceType.DISK_SNAPSHOT, params.get("tags") or [])
    size_gb = check_disk_size(_size(params))
    socket = str(backend.imports.socket(context.access.user, place))
    _check_served(socket, size_gb)
    snapshot_id = backend.ids.new_id()
    snapshot = DiskSnapshot(
        id=snapshot_id,
        region=call.region,
        name=name,
        created_ms=backend.clock.now_ms(),
        support_code=backend.support_code("snap"),
        size_gb=size_gb,
        disk_id=snapshot_id,
        disk_name="",
        disk_zone="",
        frozen=True,
        blueprint=blueprint,
        tags=tags,
    )
    with backend.catalog.write() as transaction:
        if taken := transaction.names.taken(call.region, [name]):
            raise name_taken(taken)
        transaction.snapshots.add(snapshot)
        started = operations.enqueue(
            backend,
            transaction,
            ImportSnapshot(snapshot=snapshot.id, socket=socket, export=EXPORT),
            snapshot.id,
            snapshot.region,
            [operations.begin(backend, call, snapshot)],
            job_id=snapshot.id,
        )
        answer = operations.reply(backend, transaction, call, started)
    backend.imports.taken(place)
    return answer


def _check_served(socket: str, size_gb: int) -> None:
    """Raise InvalidInputException unless the image can be read from there, and fits."""
    from mooring.nbd.blocking import BlockingNbdClient

    uri = NbdUri(EXPORT, socket=socket)
    try:
        with BlockingNbdClient(uri, timeout=CONNECT_SECONDS, same_user=True) as image:
            size = image.info.size
    except NbdError as error:
        raise InvalidInputException(f"The image cannot be read: {error}.") from error
    if size > size_in_bytes(size_gb):
        raise InvalidInputException(
            f"The image has {size} bytes, which is more than {size_gb} GB: give a larger size."
        )


def _size(params: Params) -> int:
    size = params.get("sizeInGb")
    if not isinstance(size, int):
        raise InvalidInputException("sizeInGb is required.")
    return size
