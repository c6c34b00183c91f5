"""Commands that show how everything is, or wait for it."""

from __future__ import annotations

from mooring.cli.own.command import Command, Option

WAIT_SECONDS = 3600
"""How long `mooring wait` waits unless it is told otherwise."""

_WATCH = Option("--watch", help="Show it again every two seconds, until Ctrl-C.")


def _named(option: str) -> tuple[Option]:
    """The option that names what is waited for."""
    return (Option(option, "<string>", required=True, stored="name"),)


LOOKING: dict[str, Command] = {
    "status": Command(
        ("screens.status", "run"),
        "Show on one screen how everything is.",
        "Shows the servers; the regions with their vaults, and how much room there is; the newest "
        "automatic snapshots against their rhythms, those that are late first; what runs, how fast "
        "and how long it will take; and what failed in the last day. Dates are local, of all "
        "regions whichever is set.",
        "With --output or --query it prints the answer itself, with times in seconds since 1970 "
        "and sizes in bytes. For monitoring systems there is `mooringd check`.",
        options=(_WATCH,),
    ),
    "list": Command(
        ("screens.lists", "run"),
        "List disks, snapshots or instances, one line each.",
        "disks: size, what a disk takes on its file system, where it is attached, the age of its "
        "newest stored snapshot, how often automatic ones are wanted; LATE says that they are not "
        "there. What forks share counts for each of them.",
        "snapshots: newest first, automatic ones among them, which DISK@MOMENT names; when they "
        "were taken, in local time, how much had changed and how much of it is stored.",
        "instances: their state, blueprint, and what their disks add up to.",
        "Lines are cut to the terminal's width. With --output or --query it prints the answer "
        "itself, with times in seconds since 1970 and sizes in bytes.",
        options=(_WATCH,),
        choices={
            "disks": (),
            "snapshots": (
                Option("--disk-name", "<string>", "Those of this disk only, which may be gone."),
            ),
            "instances": (),
        },
        helps_alone=True,
    ),
    "wait": Command(
        ("wait", "run"),
        "Return when a snapshot, a disk or an operation is ready.",
        "Polls the server, at first often, then every two seconds. On a terminal the progress of "
        "a snapshot, or of filling a disk, is shown. The exit code is 0 when it is ready, 255 if "
        "it failed, does not exist, or is not ready in time. A disk made from a snapshot can be "
        "used as soon as it is available; once it is filled it no longer needs the snapshot.",
        "Users of `aws`, which has no waiters for Lightsail, can poll in a loop: until [ "
        '"$(aws lightsail get-disk-snapshot --disk-snapshot-name NAME --query diskSnapshot.state '
        '--output text)" = completed ]; do sleep 1; done',
        options=(
            Option(
                "--timeout",
                "<seconds>",
                f"How long to wait at most. Default: {WAIT_SECONDS}.",
                default=WAIT_SECONDS,
            ),
        ),
        choices={
            "disk-snapshot-completed": _named("--disk-snapshot-name"),
            "disk-available": _named("--disk-name"),
            "disk-in-use": _named("--disk-name"),
            "disk-filled": _named("--disk-name"),
            "instance-snapshot-available": _named("--instance-snapshot-name"),
            "operation-succeeded": _named("--operation-id"),
        },
        helps_alone=True,
    ),
}
