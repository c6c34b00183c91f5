"""mooringd collect: reclaim the space of deleted snapshots now."""

from __future__ import annotations

from mooring.admin.vaults.chosen import opened
from mooring.admin.vaults.roots import expected
from mooring.config.settings import Settings
from mooring.host.rooms import of_vault
from mooring.model.amounts import amount
from mooring.model.counts import counted
from mooring.model.paths import Paths
from mooring.wiring.data_directory import run_place
from mooring.wiring.file_systems import file_systems


def collect(settings: Settings, *, region: str | None = None, dry_run: bool = False) -> int:
    """Print what was freed, or would be. Raises DamageError, RootsMissingError: then nothing
    more is freed."""
    would = "would be " if dry_run else ""
    data = settings.data_directory.absolute()
    # Asked for below only when the vault was found to be the right one.
    rooms = file_systems(settings, Paths(data, run_place(settings, data)), lambda _: not dry_run)
    with opened(settings, region) as vaults:
        for place, vault in vaults:
            known = expected(settings, place, vault)
            rooms.make_way(of_vault(place))
            done = vault.collect(dry_run=dry_run, expected=known)
            if done.postponed:
                print(
                    f"{place}: somebody is copying into it; nothing was collected, try again later"
                )
                continue
            thinned = done.segments_punched + done.segments_rewritten
            print(
                f"{place}: {amount(done.bytes_freed)} {would}freed "
                f"({counted(done.segments_deleted, 'segment')} {would}deleted, "
                f"{thinned} thinned out, {done.segments_kept} kept)"
            )
            if done.claims_expired:
                print(
                    f"  {counted(done.claims_expired, 'claim')} of ended processes {would}removed"
                )
            if done.files_swept:
                print(f"  {counted(done.files_swept, 'unfinished file')} of dead processes removed")
    return 0
