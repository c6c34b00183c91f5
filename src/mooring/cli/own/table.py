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
        "DISK@2026-11-26, or more of the moment, as `mooring usage` shows it; a disk in an "
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
    "dissect: pip install 'dissect.btrfs>=1.10' 'dissect.fat>=3.13'. Symbolic links are followed "
    "within the snapshot only.",
    "For a disk that was in use, the journal of ext3 and ext4 is taken into account, in memory. "
    "XFS and btrfs are read without their logs; if those hold anything, standard error says so.",
)


_WATCH = Option("--watch", help="Show it again every two seconds, until Ctrl-C.")


def _named(option: str) -> tuple[Option]:
    """The option that names what is waited for."""
    return (Option(option, "<string>", required=True, stored="name"),)


OWN_COMMANDS: dict[str, Command] = {
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
    "uri": Command(
        ("uri", "run_uri"),
        "Print the NBD URI of an attached disk.",
        "Prints the NBD URI of a disk that is attached to a running instance. Anything that speaks "
        'NBD can use it: nbdinfo "$(mooring uri --disk-name my-disk)", nbdcopy, nbdfuse, '
        "QEMU's -drive file=...",
        "With --tcp the URI is for a machine on another host: over TCP with TLS, where the server "
        "is set up for that. This opens the way to all disks of the instance, until --close; the "
        "machine needs a certificate with the instance's name.",
        options=(
            Option("--disk-name", "<string>", "The name of the disk."),
            Option("--instance-name", "<string>", "The name of the instance: its system disk."),
            Option("--tcp", help="For a machine on another host: over TCP with TLS."),
            Option(
                "--close",
                help="With --tcp: end the way to the instance's disks. Machines on other hosts "
                "are cut off from them.",
            ),
        ),
        forms=(
            "--disk-name <string> [--tcp [--close]]",
            "--instance-name <string> [--tcp [--close]]",
        ),
    ),
    "device": Command(
        ("uri", "run_device"),
        "Print the path of a disk's block device on this host.",
        "Prints the path of a disk's block device while the disk is attached to a running instance "
        "of the blueprint host, which stands for the server's own host: "
        'mount "$(mooring device --disk-name my-disk)" /mnt.',
        "The path may change when the host is rebooted.",
        options=(Option("--disk-name", "<string>", "The name of the disk.", required=True),),
    ),
    "grow": Command(
        ("in_place", "run_grow"),
        "Make a disk larger, in use or not.",
        "Makes a disk larger; what is added reads as zeros. Snapshots keep the size that the disk "
        "had. Disks do not shrink.",
        "NBD clients learn of a size only when they connect, so those of the disk are cut off and "
        "find the new size when they connect again. QEMU does that by itself, and no request is "
        "lost, if its drive has a reconnect-delay; then tell it the size: block_resize in its "
        "monitor, after a read or a write. Clients that do not connect again get an error: end "
        "them first. The command tells which clients it cuts off. A block device of this host "
        "grows while it is in use.",
        "A file system does not grow by itself: resize2fs, xfs_growfs.",
        options=(
            Option("--disk-name", "<string>", "The name of the disk.", required=True),
            Option("--size-in-gb", "<integer>", "The new size, up to 16384.", required=True),
            Option("--wait", help="Return when the disk has its new size."),
        ),
    ),
    "fork": Command(
        ("fork", "run"),
        "Make a new disk of a disk that may be in use, or of all of an instance, at once.",
        "Makes a disk with what another disk holds at this moment, which may be attached and "
        "written to. The new disk can be used when the command returns, whatever the size and "
        "however much has changed since the last snapshot: nothing goes through the vault. From "
        "then on the two are independent; either may be deleted.",
        "Where the data directory is on a file system with reflinks (XFS, btrfs), the new disk "
        "stands by itself at once. Elsewhere it reads what it has not copied yet from layers that "
        "both disks share, and layers of the first are not merged until the copy is done. --wait "
        "waits for that; so does mooring wait disk-filled.",
        "The first snapshot of the new disk reads and stores only what differs from the newest "
        "stored snapshot of the disks that it comes from. Users of the disk are brought to rest "
        "as for a snapshot.",
        "With --instance-name, makes a new instance with forks of all disks of another one, as all "
        "of them are at one instant. It is of the same blueprint, bundle and zone, runs, and has "
        "the disks attached under the same paths. Each is called after the new instance and the "
        "old disk: NEW-DISK; of a disk that is called OLD-DISK, after the old instance, NEW-DISK, "
        "too. The answer lists them under `disks`. Tags of the old disks are not taken over.",
        options=(
            Option("--disk-name", "<string>", "The disk to fork."),
            Option("--new-disk-name", "<string>", "The name of the new disk."),
            Option("--instance-name", "<string>", "The instance to fork, with all its disks."),
            Option("--new-instance-name", "<string>", "The name of the new instance."),
            Option(
                "--size-in-gb",
                "<integer>",
                "A larger size of the new disk; what is added reads as zeros.",
            ),
            Option(
                "--availability-zone",
                "<string>",
                "The zone of the new disk: that of the disk, which is the default.",
            ),
            Option(
                "--disk-snapshot-name",
                "<string>",
                "Keep the same instant as a snapshot of the disk with this name, too.",
            ),
            Option(
                "--instance-snapshot-name",
                "<string>",
                "Keep the same instant as a snapshot of the instance with this name, too.",
            ),
            Option("--tags", "<list>", "Tags of the new disk or instance, as for create-disk."),
            Option("--wait", help="Return when what is new shares nothing any more."),
        ),
        forms=(
            "--disk-name <string> --new-disk-name <string> [--size-in-gb <integer>] "
            "[--availability-zone <string>] [--disk-snapshot-name <string>] [--tags <list>] "
            "[--wait]",
            "--instance-name <string> --new-instance-name <string> "
            "[--instance-snapshot-name <string>] [--tags <list>] [--wait]",
        ),
    ),
    "revert": Command(
        ("in_place", "run_revert"),
        "Set a disk back to one of its snapshots, in place, at once.",
        "The disk holds what the snapshot holds when the command returns, whatever its size. It "
        "stays the same disk: name, tags, attachment and URI do not change. Blocks that have not "
        "been copied yet are read from the vault, as in a disk made from a snapshot; --wait waits "
        "until all are copied, and what the disk held before is stored.",
        "The disk must not be in use: detached, or attached to an instance that is stopped, or "
        "without connected clients; on this host it must not be mounted. Otherwise the command "
        "fails and tells who uses it.",
        "What the disk held before is kept as a snapshot, whose name is printed: reverting to that "
        "one undoes the revert. --discard gives it up. The next snapshot of the disk stores only "
        "what differs from the snapshot reverted to. A disk that has grown since then keeps its "
        "size, and reads as zeros after the snapshot's end.",
        options=(
            Option("--disk-name", "<string>", "The disk to set back.", required=True),
            Option(
                "--disk-snapshot-name",
                "<string>",
                "One of its snapshots, one that it was made from, or for a fork one of the disk "
                "that it is a fork of. Automatic ones: DISK@latest, DISK@yesterday, "
                "DISK@2026-11-26, or more of the moment, as `mooring usage` shows it; a disk in "
                "an instance's snapshot: NAME/DISK.",
                required=True,
            ),
            Option(
                "--kept-snapshot-name",
                "<string>",
                "The name of the snapshot that keeps what the disk held before.",
            ),
            Option("--discard", help="Keep nothing of what the disk held before."),
            Option("--wait", help="Return when the disk is filled and the kept snapshot stored."),
        ),
    ),
    "export": Command(
        ("export", "run"),
        "Serve a snapshot read-only for a while, and print the NBD URI.",
        "Serves a completed snapshot read-only over NBD, on the server's host, for its user only, "
        "and prints the URI. Anything that speaks NBD can use it: nbdcopy, nbdfuse, qemu-img "
        'convert -f raw "$(mooring export --disk-snapshot-name S)" ...',
        "Whoever is connected can read until the time is up, even if the snapshot is deleted "
        "meanwhile. After that reads fail.",
        "With --output, writes the snapshot into a new image file instead: sparse, with progress "
        "on a terminal, and compared with the snapshot before it gets its name. Nothing is ever "
        "overwritten. Until then it is FILE.part. The format is that of the file's name, such as "
        ".qcow2, unless --format names another. After an interruption, the same command resumes a "
        "raw image and restarts others. qcow2 and vmdk are written by qemu-img.",
        options=(
            Option(
                "--disk-snapshot-name",
                "<string>",
                "The name of the snapshot; for an automatic one DISK@latest, DISK@yesterday, or "
                "DISK@ and its moment or the start of that.",
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
                "raw, qcow2 or vmdk. Default: by the ending of the file's name, else raw.",
            ),
        ),
        forms=(
            "--disk-snapshot-name <string> [--seconds <integer>] [--tcp]",
            "--disk-snapshot-name <string> --output <file> [--format raw|qcow2|vmdk]",
        ),
    ),
    "import": Command(
        ("import_image", "run"),
        "Make a snapshot or a blueprint from an image file.",
        "Reads an image file into the vault as a snapshot, from which disks can be made. It is "
        "read with your rights, not the server's: qemu-storage-daemon, started by this command, "
        "serves the file read-only on a Unix socket in a folder that the server offers for this "
        "import and that only its own user can write to; the server reads from there and from "
        "nowhere else. So the command runs on the server's host, as the server's user, until "
        "everything is read.",
        "The format is named, never guessed. Images that refer to other files (a backing file, a "
        "parent, an external data file, extents), contain snapshots or are encrypted are refused, "
        "and so is anything but a regular file.",
        "On a terminal the progress is shown. Ctrl-C cancels it and leaves nothing behind. The "
        "size is rounded up to whole GB, at least 8.",
        "With --blueprint-id it becomes a blueprint of your own, which get-blueprints lists: "
        "instances that create-instances makes of it have a system disk with this content. "
        "Without an image file, a blueprint is made of the snapshot that --disk-snapshot-name "
        "names, which it then no longer needs.",
        options=(
            Option("file", "<file>", "The image file.", count="?"),
            Option(
                "--disk-snapshot-name",
                "<string>",
                "The name of the new snapshot; without an image file, the snapshot to make a "
                "blueprint of.",
            ),
            Option("--blueprint-id", "<string>", "The id of the new blueprint, like debian-13."),
            Option("--platform", "<string>", "Of the blueprint: linux (default) or windows."),
            Option(
                "--format",
                "<string>",
                "raw, qcow2, vmdk, vdi, vhdx or vhd; needed for an image file.",
            ),
            Option(
                "--disk-size-in-gb",
                "<integer>",
                "A larger size than the image's; zeros fill the rest.",
            ),
            Option("--tags", "<list>", "Tags for the snapshot, as key=...,value=..."),
        ),
        forms=(
            "<file> --disk-snapshot-name <string> --format <string> [--disk-size-in-gb <integer>] "
            "[--tags <list>]",
            "<file> --blueprint-id <string> --format <string> [--platform <string>] "
            "[--disk-size-in-gb <integer>] [--tags <list>]",
            "--disk-snapshot-name <string> --blueprint-id <string> [--platform <string>] "
            "[--tags <list>]",
        ),
    ),
    "delete-blueprint": Command(
        ("blueprints", "run_delete"),
        "Delete a blueprint of your own.",
        "Deletes a blueprint that mooring import made, with its snapshot. Instances made of it "
        "stay as they are, and so do snapshots of them. It is refused while system disks are still "
        "being filled from the blueprint, or while it is being copied.",
        options=(Option("--blueprint-id", "<string>", "The id of the blueprint.", required=True),),
    ),
    "ls": Command(
        ("file_commands", "run_ls"),
        "List files in a snapshot.",
        "Lists a directory or a file in a snapshot; times are in UTC. An automatic "
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
        "Copies a file, or a directory recursively, to a new place. If that is a directory, the "
        "copy is put into it. Nothing that exists is overwritten. Times and modes are preserved, "
        "and holes stay holes; owners and set-user-id bits are preserved only for root. Devices, "
        "FIFOs and sockets are skipped. Whatever could not be copied is reported, and the exit "
        "code is 1.",
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
        "List what changed between two snapshots, as JSON.",
        "Prints one JSON object with the ranges of the disk, in bytes, in which the newer snapshot "
        "differs from the older one; `zero` says that a range now reads as zeros. The time it "
        "takes depends on the number of changes, not on the size of the disk.",
        "Automatic snapshots are DISK@latest, DISK@yesterday, or DISK@ and the moment, as `mooring "
        "usage` shows it.",
        "Blocks rewritten with the same content may be among the ranges. --query and --output do "
        "not apply.",
        options=(
            Option(
                "--from", "<string>", "The older snapshot. Default: a disk of zeros.", stored="old"
            ),
            Option("--to", "<string>", "The newer snapshot.", required=True, stored="new"),
        ),
    ),
    "stat": Command(
        ("facts", "run"),
        "Show what a snapshot cost, or how far a disk is filled.",
        "For a snapshot: for how long writes were held back for it, whether the disk's users were "
        "at rest and if not why, since which snapshot it stores what changed, and how much. For a "
        "disk: which processes use it; if it was made from a snapshot, how much of it is filled; "
        "if it has automatic snapshots, the newest, what is wanted, and why one failed.",
        "What is not known yet is omitted; --json has it as null. --query and --output do not "
        "apply.",
        options=(
            Option(
                "--disk-snapshot-name",
                "<string>",
                "The name of a disk's snapshot; for an automatic one DISK@latest, DISK@yesterday, "
                "or DISK@ and the moment.",
            ),
            Option(
                "--instance-snapshot-name",
                "<string>",
                "The name of an instance's snapshot, likewise.",
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
        "Show what each snapshot takes, and what it shares.",
        "Lists the completed snapshots of the region. ALONE is what deleting this one would free, "
        "SHARED what other snapshots need, too, FULL COPY what it would take without Mooring: the "
        "part of the disk that is not zeros. Stored sizes are after compression.",
        "What two snapshots share is freed only when both are gone.",
        options=(Option("--json", help="Print JSON, in bytes."),),
    ),
    "completion": Command(
        ("completion", "show_script"),
        "Print a script that makes bash, zsh or fish complete mooring's commands.",
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
