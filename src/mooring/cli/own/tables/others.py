"""Commands on facts of any kind, and on the command line itself."""

from __future__ import annotations

from mooring.cli.own.command import Command, Option

OTHERS: dict[str, Command] = {
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
