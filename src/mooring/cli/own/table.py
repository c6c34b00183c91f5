"""The one table of commands that `aws lightsail` does not have."""

from __future__ import annotations

from mooring.cli.own.command import Command, Option

WAIT_SECONDS = 3600
"""How long `mooring wait` waits unless it is told otherwise."""

_FILES = (
    Option(
        "--disk-snapshot-name",
        "<string>",
        "The snapshot, instead of the first word. Automatic ones: DISK@latest, DISK@yesterday, "
        "DISK@2026-11-26, or more of the moment, as `mooring usage` shows it; a disk of an "
        "instance's snapshot: NAME/DISK.",
    ),
    Option("--path", "<string>", "The path, instead of what follows the colon. Default: /."),
    Option(
        "--partition",
        "<integer>",
        "The partition, as Linux numbers them, if there are several.",
    ),
)
_FILE_SYSTEMS = (
    "Reads ext2, ext3, ext4, XFS, btrfs and FAT, on the whole disk or on a partition (MBR, GPT), "
    "without a disk, without mounting, without special rights. btrfs and FAT need the packages of "
    "dissect: pip install '.[files]' in Mooring's checkout. Symbolic links are followed within the "
    "snapshot only.",
    "Of a disk that was in use, the journal of ext3 and ext4 is taken into account, in memory. XFS "
    "and btrfs are read without their logs; if those hold anything, standard error says so.",
)


def _named(option: str) -> tuple[Option]:
    """The option that names what is waited for."""
    return (Option(option, "<string>", required=True, stored="name"),)


OWN_COMMANDS: dict[str, Command] = {
    "wait": Command(
        ("wait", "run"),
        "Return when a snapshot, a disk or an operation is ready.",
        "Asks the server again and again, at first often, then every two seconds. On a terminal "
        "the progress of a snapshot is shown, or how far a disk is filled. The exit code is 0 when "
        "it is ready, 255 if it failed, is not there, or is not ready in time. A disk made from a "
        "snapshot can be used as soon as it is available; from when it is filled it does not need "
        "the snapshot any more.",
        "Users of `aws`, which has no waiters for Lightsail, can ask in a loop: until [ "
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
    "uri": Command(
        ("uri", "run_uri"),
        "Print the NBD URI of an attached disk.",
        "Prints the NBD URI of a disk that is attached to a running instance. Whatever speaks NBD "
        'takes it: nbdinfo "$(mooring uri --disk-name my-disk)", nbdcopy, QEMU\'s -drive file=..., '
        "nbdfuse.",
        options=(Option("--disk-name", "<string>", "The name of the disk.", required=True),),
    ),
    "device": Command(
        ("uri", "run_device"),
        "Print which block device of this host a disk is.",
        "Prints the path of the block device that a disk is while it is attached to a running "
        "instance of the blueprint host, which stands for the host of the server itself: "
        'mount "$(mooring device --disk-name my-disk)" /mnt.',
        "The path may be another one after the host was started again.",
        options=(Option("--disk-name", "<string>", "The name of the disk.", required=True),),
    ),
    "export": Command(
        ("export", "run"),
        "Serve a snapshot read-only for a while, and print the NBD URI.",
        "Serves a completed snapshot read-only over NBD, on the server's host, for its user only, "
        "and prints the URI. Whatever speaks NBD takes it: nbdcopy, nbdfuse, qemu-img convert -f "
        'raw "$(mooring export --disk-snapshot-name S)" ...',
        "Who is connected can read to the end of the time, even if the snapshot is deleted "
        "meanwhile. After that reads fail.",
        "With --output, writes the snapshot into a new image file instead: sparse, with progress "
        "on a terminal, and compared with the snapshot before it gets its name. Nothing is ever "
        "overwritten. The format is that of the file's name, such as .qcow2, unless --format names "
        "another. Until then it is FILE.part; when it was interrupted, the same command continues "
        "a raw image and begins others anew. qcow2 and vmdk are written by qemu-img.",
        options=(
            Option(
                "--disk-snapshot-name",
                "<string>",
                "The name of the snapshot; of an automatic one DISK@latest, DISK@yesterday, or "
                "DISK@ and its moment or the beginning of that.",
                required=True,
            ),
            Option(
                "--seconds",
                "<integer>",
                "How long to serve it, up to a day. Default: 3600, and a day with --output.",
            ),
            Option(
                "--tcp",
                help="For other hosts: over TCP with TLS, where the server is set up for that.",
            ),
            # To all other commands it says how answers look.
            Option("--output", "<file>", "The image file to write.", spelled="--output-file"),
            Option(
                "--format",
                "<string>",
                "raw, qcow2 or vmdk. Default: what the name of the file ends in, else raw.",
            ),
        ),
        forms=(
            "--disk-snapshot-name <string> [--seconds <integer>] [--tcp]",
            "--disk-snapshot-name <string> --output <file> [--format raw|qcow2|vmdk]",
        ),
    ),
    "import": Command(
        ("import_image", "run"),
        "Make a snapshot from an image file.",
        "Reads an image file into the vault as a snapshot, from which disks can be made. It is "
        "read with your rights, not the server's: qemu-storage-daemon, started by this command, "
        "serves the file read-only on a Unix socket in a folder that the server offers for this "
        "import and that only its own user can write to; the server reads from there and from "
        "nowhere else. So the command runs on the server's host, as the server's user, until all "
        "is read.",
        "The format is named, never guessed. Images that refer to other files (a backing file, a "
        "parent, an external data file, extents), that have snapshots inside or are encrypted are "
        "refused, and so is what is no regular file.",
        "On a terminal the progress is shown. Ctrl-C cancels, and nothing is left. The size is "
        "rounded up to whole GB, and is 8 GB at least.",
        options=(
            Option("file", "<file>", "The image file.", required=True),
            Option(
                "--disk-snapshot-name", "<string>", "The name of the new snapshot.", required=True
            ),
            Option("--format", "<string>", "raw, qcow2, vmdk, vdi, vhdx or vhd.", required=True),
            Option(
                "--disk-size-in-gb",
                "<integer>",
                "A larger size than the image's; zeros come behind it.",
            ),
            Option("--tags", "<list>", "Tags for the snapshot, as key=...,value=..."),
        ),
    ),
    "ls": Command(
        ("file_commands", "run_ls"),
        "List files in a snapshot.",
        "Lists a directory in a snapshot, or tells about a file; times are in UTC. An automatic "
        "snapshot is named by its disk and moment: mooring ls data@yesterday:/etc",
        *_FILE_SYSTEMS,
        options=(Option("place", count="?"), *_FILES),
        forms=(
            "<snapshot>[:<path>] [--partition <integer>]",
            "--disk-snapshot-name <string> [--path <string>] [--partition <integer>]",
        ),
        helps_alone=True,
    ),
    "cp": Command(
        ("file_commands", "run_cp"),
        "Copy files out of a snapshot.",
        "Copies a file or a directory with all in it to a new place. If that is a directory, the "
        "copy comes into it. Nothing that exists is written to. Times and modes are kept, holes "
        "stay holes; owners, and set-user-id bits, only for root. Devices, FIFOs and sockets are "
        "left out. What could not be copied is told, and the exit code is 1.",
        *_FILE_SYSTEMS,
        options=(
            Option("places", "<local>", "Where to copy to on this machine.", count="+"),
            *_FILES,
        ),
        forms=(
            "<snapshot>:<path> <local> [--partition <integer>]",
            "--disk-snapshot-name <string> --path <string> <local> [--partition <integer>]",
        ),
        helps_alone=True,
    ),
    "diff": Command(
        ("vault_commands", "run_diff"),
        "Tell what changed between two snapshots, as JSON.",
        "Prints one JSON object with the ranges of the disk, in bytes, that the newer snapshot has "
        "otherwise than the first; `zero` says that a range reads as zeros now. It takes a time "
        "that follows from the number of changes, not from the size of the disk.",
        "Automatic snapshots are DISK@latest, DISK@yesterday, or DISK@ and the moment, as `mooring "
        "usage` shows it.",
        "What was written again with the content that it had may be among the ranges. --query and "
        "--output do not apply.",
        options=(
            Option(
                "--from", "<string>", "The older snapshot. Default: a disk of zeros.", stored="old"
            ),
            Option("--to", "<string>", "The newer snapshot.", required=True, stored="new"),
        ),
    ),
    "stat": Command(
        ("facts", "run"),
        "Tell what a snapshot cost, or how far a disk is filled.",
        "Of a snapshot: for how long writes were held back for it, whether the disk's users were "
        "at rest and if not why, since which snapshot it stores what changed, and how much. Of a "
        "disk: which processes use it; of one that was made from a snapshot, how much of it is "
        "there already; of one with automatic snapshots, the newest, what is wanted, and why one "
        "failed.",
        "What is not known yet is left out; --json has it as null. --query and --output do not "
        "apply.",
        options=(
            Option(
                "--disk-snapshot-name",
                "<string>",
                "The name of a snapshot of a disk; of an automatic one DISK@latest, "
                "DISK@yesterday, or DISK@ and the moment.",
            ),
            Option(
                "--instance-snapshot-name",
                "<string>",
                "The name of a snapshot of an instance, likewise.",
            ),
            Option("--disk-name", "<string>", "The name of a disk."),
            Option("--json", help="Print the server's answer as JSON, in bytes and seconds."),
        ),
        forms=(
            "--disk-snapshot-name <string> [--json]",
            "--instance-snapshot-name <string> [--json]",
            "--disk-name <string> [--json]",
        ),
    ),
    "usage": Command(
        ("vault_commands", "run_usage"),
        "Tell what each snapshot takes, and what it shares.",
        "Lists the completed snapshots of the region. ALONE is what deleting this one would free, "
        "SHARED what other snapshots need too, FULL COPY what it would take without Mooring: all "
        "of the disk that is not zeros. Stored sizes are after compression.",
        "What two snapshots share is freed only when both are gone.",
        options=(Option("--json", help="Print JSON, in bytes."),),
    ),
    "completion": Command(
        ("completion", "show_script"),
        "Print what makes bash, zsh or fish complete mooring's commands.",
        "Prints a script for the shell. It completes commands, options, and names of disks, "
        "snapshots and instances, which it asks the server for.",
        'bash: eval "$(mooring completion bash)" in ~/.bashrc',
        'zsh: eval "$(mooring completion zsh)" in ~/.zshrc, after compinit',
        "fish: mooring completion fish | source, in ~/.config/fish/config.fish",
        choices={"bash": (), "zsh": (), "fish": ()},
        helps_alone=True,
    ),
    "help": Command(
        ("overview", "show"),
        "Show this page.",
        options=(Option("words", count="*"),),
        forms=("",),
    ),
}
