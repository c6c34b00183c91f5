"""Commands on snapshots, their files, and blueprints."""

from __future__ import annotations

from mooring.cli.own.command import Command, Option

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

SNAPSHOTS: dict[str, Command] = {
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
}
