"""Whether attached disks are served to other hosts as the settings say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.counts import counted
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.wiring.data_directory import run_place
from mooring.wiring.relay import check_certificates, relay_process

SOON = timedelta(days=14)


def outside_findings(settings: Settings) -> Iterator[tuple[bool, str]]:
    """What is right or wrong, in words; nothing if disks do not leave this host."""
    if not settings.nbd_disks.host:
        return
    data = settings.data_directory.absolute()
    clock = SystemClock()
    relay = relay_process(settings, Paths(data, run_place(settings, data)), clock)
    try:
        check_certificates(settings)
    except ConfigurationError as error:
        yield False, f"disks for other hosts: {error}"
        return
    ends = _end_of(Path(settings.nbd_disks.certificate).expanduser())
    if ends - datetime.fromtimestamp(clock.now_ms() / 1000, UTC) < SOON:
        yield (
            False,
            f"disks for other hosts: nbd_disks.certificate is good until {ends:%Y-%m-%d %H:%M} "
            "UTC: renew the file; new connections use it at once",
        )
    ways = relay.ways()
    if not ways:
        yield True, "disks for other hosts: no way is open (mooring uri --tcp)"
    elif not relay.alive():
        yield False, "disks for other hosts: nobody serves them; `mooringd serve` starts it"
    elif not relay.answers():
        yield False, "disks for other hosts: what serves them hangs; `mooringd serve` replaces it"
    else:
        host, port = relay.place()
        names = ", ".join(f"{way.instance} in {way.region}" for way in ways)
        yield (
            True,
            f"disks for other hosts: those of {names} on {host}:{port}, "
            f"{counted(relay.used(), 'disk')} in use",
        )


def _end_of(certificate: Path) -> datetime:
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
