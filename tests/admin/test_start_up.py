"""What a server imports before it answers: each library costs time at every start."""

import subprocess
import sys

LATER = (
    "numpy",
    "cryptography",
    "mooring.engine.qemu.engine",
    "mooring.nbd.client",
    "mooring.quiesce.process",
    "mooring.relay.process",
    "mooring.vault.vault",
)


def test_a_server_does_not_import_what_is_needed_later_or_by_another_engine() -> None:
    program = (
        "import sys, mooring.admin.serving.serve\n"
        f"print([name for name in {LATER!r} if name in sys.modules])"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
