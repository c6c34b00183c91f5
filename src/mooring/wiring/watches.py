"""What watches a server, and tells people what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Protocol

from mooring.backend.backend import Backend, Ends
from mooring.config.settings import NotifySettings, Settings
from mooring.host.certificates import end_of
from mooring.jobs.watching import sources, troubles
from mooring.jobs.watching.disks import DiskWatch
from mooring.jobs.watching.fencing import HostFencing
from mooring.jobs.watching.held import HeldWatch
from mooring.jobs.watching.sources import Source
from mooring.jobs.watching.telling import Heartbeat, Telling
from mooring.jobs.watching.troubles import TroubleWatch
from mooring.model.errors import NotifyError
from mooring.model.trouble import TroubleKind
from mooring.notify.interface import Channel
from mooring.observe import loop
from mooring.service.credentials.keyring import Keyring


class _Running(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


class Watches:
    """All that watches, started and stopped together."""

    def __init__(
        self, settings: Settings, backend: Backend, fencing: HostFencing | None = None
    ) -> None:
        notify = settings.notify
        disks = DiskWatch(backend)
        own = _own(backend, disks)
        if fencing is not None:
            own["fencing"] = fencing.troubles
        watch = TroubleWatch(
            backend,
            own,
            _shared(settings, backend),
            troubles.RHYTHM,
        )
        repeat_ms = round(notify.repeat_hours * 3_600_000)
        self._running: list[_Running] = [
            disks,
            HeldWatch(backend),
            watch,
            Telling(backend, channels(notify), watch.leads, repeat_ms, troubles.RHYTHM),
        ]
        if fencing is not None:
            self._running.append(fencing)
        beat = heartbeat(notify)
        if beat is not None:
            well = partial(problem, backend)
            self._running.append(Heartbeat(beat, well, notify.heartbeat_seconds))
        self._begun = ExitStack()

    def start(self) -> None:
        for one in self._running:
            self._begun.callback(one.stop)
            one.start()

    def stop(self) -> None:
        """May be called without `start`."""
        self._begun.close()


def problem(backend: Backend) -> str | None:
    """Why nothing can be read or recorded, or goes on; None if all of that is well.

    A thread that fails may be mended from outside, and is told of; one that has ended not.
    """
    return backend.catalog.problem() or loop.ended()


def channels(notify: NotifySettings) -> list[Channel]:
    """The ways that the settings give to tell people. What they need is loaded only for them."""
    found: list[Channel] = []
    if notify.webhook or notify.webhook_file:
        from mooring.notify.webhook import Webhook

        found.append(Webhook(_secret(notify.webhook, notify.webhook_file)))
    if notify.mail_to:
        from mooring.notify.mail import Mail, MailServer

        server = MailServer(
            host=notify.mail_host,
            port=notify.mail_port,
            security=notify.mail_security,
            user=notify.mail_user,
            password=_secret("", notify.mail_password_file),
        )
        found.append(Mail(server, notify.mail_from or notify.mail_to[0], notify.mail_to))
    if notify.command:
        from mooring.notify.command import Command

        found.append(Command(notify.command))
    return found


def heartbeat(notify: NotifySettings) -> Callable[[], None] | None:
    """What says that the server is alive, if the settings say where. It raises NotifyError."""
    if not (notify.heartbeat or notify.heartbeat_file):
        return None
    from mooring.notify.webhook import call

    url = _secret(notify.heartbeat, notify.heartbeat_file)
    return lambda: call(url(), "heartbeat")


def _secret(value: str, file: str) -> Callable[[], str]:
    """Gives the value, or what the file holds now. Raises NotifyError, which names the file."""

    def read() -> str:
        if not file:
            return value
        try:
            return Path(file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise NotifyError(f"{file} cannot be read: {type(error).__name__}") from None

    return read


def ends(settings: Settings, keys: Keyring) -> Ends:
    """When certificates and access keys end that do."""
    return {
        TroubleKind.CERTIFICATE_ENDS: _certificates(settings),
        TroubleKind.KEY_ENDS: keys.ends(),
    }


def _own(backend: Backend, disks: DiskWatch) -> dict[str, Source]:
    return {
        "vaults": partial(sources.vaults, backend),
        "file systems": partial(sources.rooms, backend),
        "disks": disks.troubles,
        "zones": partial(sources.zones, backend),
        "threads": sources.threads,
        "ends": partial(sources.ends, backend),
    }


def _shared(settings: Settings, backend: Backend) -> Mapping[str, Source]:
    minutes = settings.vault.replicate_minutes
    return {
        "automatic snapshots": partial(sources.automatic, backend),
        "snapshots": partial(sources.snapshots, backend),
        "runs of vaults": partial(sources.vault_runs, backend, minutes, backend.clock.monotonic()),
        "servers": partial(sources.servers, backend),
        "hosts": partial(sources.hosts, backend),
    }


def _certificates(settings: Settings) -> dict[str, int]:
    """When the certificates of the settings end; what cannot be read is told elsewhere."""
    named = {
        "listen.certificate": settings.listen.certificate,
        "nbd.certificate": settings.nbd.certificate,
        "nbd_disks.certificate": settings.nbd_disks.certificate,
    }
    found = {}
    for name, file in named.items():
        if file:
            try:
                found[name] = end_of(Path(file).expanduser())
            except (OSError, ValueError):
                continue
    return found
