"""Commands on disks."""

from __future__ import annotations

from mooring.cli.own.command import Command, Option

DISKS: dict[str, Command] = {
    "uri": Command(
        ("uri", "run_uri"),
        "Print the NBD URI of an attached disk.",
        "Prints the NBD URI of a disk that is attached to a running instance. Anything that speaks "
        'NBD can use it: nbdinfo "$(mooring uri --disk-name my-disk)", nbdcopy, nbdfuse.',
        "With --as it prints what QEMU, libvirt and others are told of the disk, so that a storage "
        "daemon that is restarted is a pause for a machine, and no error.",
        "With --tcp the URI is for a machine on another host: over TCP with TLS, where the server "
        "is set up for that. This opens the way to all disks of the instance, until --close; the "
        "machine needs a certificate with the instance's name.",
        options=(
            Option("--disk-name", "<string>", "The name of the disk."),
            Option("--instance-name", "<string>", "The name of the instance: its system disk."),
            Option(
                "--as",
                "<form>",
                "Print what to paste instead: qemu (arguments), libvirt (an element of the "
                "domain), nbd-client (a command), systemd (a unit), fstab (a line).",
                stored="as_",
            ),
            Option("--tcp", help="For a machine on another host: over TCP with TLS."),
            Option(
                "--close",
                help="With --tcp: end the way to the instance's disks. Machines on other hosts "
                "are cut off from them.",
            ),
        ),
        forms=(
            "--disk-name <string> [--as <form>] [--tcp [--close]]",
            "--instance-name <string> [--as <form>] [--tcp [--close]]",
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
        ("changing", "run_grow"),
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
    "move-instance": Command(
        ("changing", "run_move_instance"),
        "Move a stopped instance with its disks to another host.",
        "Where several hosts serve a zone, moves an instance to one of them: takes a snapshot of "
        "its disks, makes them anew from that on the other host, and removes them where they were. "
        "The instance must be stopped, and stays so; nothing else can be done with it until it "
        "has moved. Then its disks can be used, while the rest of the snapshot is still copied "
        "into them (mooring wait disk-filled). The snapshot is kept, so that the next one is "
        "incremental; delete it when you like. Disks in a Ceph cluster that both hosts reach stay "
        "as they are, and no snapshot is taken.",
        "If anything fails, everything is as it was. `mooringd hosts` lists the hosts.",
        options=(
            Option("--instance-name", "<string>", "The name of the instance.", required=True),
            Option("--host", "<string>", "The name of the host.", required=True),
            Option("--wait", help="Return when it has moved, with progress until then."),
        ),
    ),
    "move-disk": Command(
        ("changing", "run_move_disk"),
        "Move a disk that is attached to nothing to another host.",
        "As move-instance does with all disks of an instance.",
        options=(
            Option("--disk-name", "<string>", "The name of the disk.", required=True),
            Option("--host", "<string>", "The name of the host.", required=True),
            Option("--wait", help="Return when it has moved, with progress until then."),
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
        "stored snapshot of the disks that it comes from. If that has been deleted since, all of "
        "the disk is read, and what differs from another of their snapshots is stored. Users of "
        "the disk are brought to rest as for a snapshot.",
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
        ("changing", "run_revert"),
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
}
