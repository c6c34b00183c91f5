"""Time and memory of `mooring` beside `aws lightsail`, as whole processes.

Both talk to the same small server in this process, in turns, so that a busy machine is as busy
for the one as for the other.

    .venv/bin/python -m bench.cli --runs 15

`aws` is taken from the environment that MOORING_CLIENTS names, else from `.venv-clients`.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
MOORING = [str(Path(sys.executable).with_name("mooring"))]
AWS = [
    str(Path(os.environ.get("MOORING_CLIENTS") or CHECKOUT / ".venv-clients") / "bin" / "aws"),
    "lightsail",
]
COMMANDS = {
    "get-disks": ["get-disks"],
    "get-disks --output table": ["get-disks", "--output", "table"],
    "get-disks --query": ["get-disks", "--query", "disks[].name"],
    "create-disk-snapshot": [
        "create-disk-snapshot", "--disk-name", "D", "--disk-snapshot-name", "S",
    ],
    "skeleton": ["create-disk-snapshot", "--generate-cli-skeleton"],
}  # fmt: skip
DISK = {
    "name": "my-disk",
    "createdAt": 1569625129.739,
    "location": {"availabilityZone": "us-east-2a", "regionName": "us-east-2"},
    "resourceType": "Disk",
    "tags": [{"key": "team", "value": "storage"}],
    "sizeInGb": 8,
    "state": "available",
}
MOST_TIME = 1 / 4
MOST_MEMORY = 1 / 2


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers everything with ten disks."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"disks": [DISK] * 10, "operations": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def run_once(command: list[str], environment: dict[str, str]) -> tuple[float, int]:
    """Seconds and peak memory in KiB of one process."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    started = time.perf_counter()
    child = os.posix_spawn(
        command[0], command, environment, file_actions=[(os.POSIX_SPAWN_DUP2, nowhere, 1)]
    )
    _, status, usage = os.wait4(child, 0)
    elapsed = time.perf_counter() - started
    os.close(nowhere)
    if status:
        sys.exit(f"{' '.join(command)} ended with status {os.waitstatus_to_exitcode(status)}")
    return elapsed, usage.ru_maxrss


def measure(command: list[str], runs: int, environment: dict[str, str]) -> bool:
    """Print one line of the table; whether the goals are reached."""
    samples: dict[str, list[tuple[float, int]]] = {"mooring": [], "aws": []}
    for _ in range(runs):
        samples["mooring"].append(run_once(MOORING + command, environment))
        samples["aws"].append(run_once(AWS + command, environment))
    times = {name: statistics.median(one[0] for one in found) for name, found in samples.items()}
    sizes = {name: statistics.median(one[1] for one in found) for name, found in samples.items()}
    time_ratio = times["mooring"] / times["aws"]
    size_ratio = sizes["mooring"] / sizes["aws"]
    print(
        f"{times['mooring'] * 1000:9.0f} {times['aws'] * 1000:9.0f} {time_ratio:8.2f}"
        f"{sizes['mooring'] / 1024:9.1f} {sizes['aws'] / 1024:9.1f} {size_ratio:8.2f}"
    )
    return time_ratio <= MOST_TIME and size_ratio <= MOST_MEMORY


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    arguments = parser.parse_args()
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server,
        tempfile.TemporaryDirectory() as home,
    ):
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        environment = {
            "HOME": home,
            "PATH": os.environ["PATH"],
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00",
            "AWS_SECRET_ACCESS_KEY": "example",
            "AWS_DEFAULT_REGION": "us-east-2",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
        }
        print(f"{'median of ' + str(arguments.runs):26}{'ms':>9} {'aws':>9} {'ratio':>8}", end="")
        print(f"{'MiB':>9} {'aws':>9} {'ratio':>8}")
        reached = True
        for name, command in COMMANDS.items():
            print(f"{name:26}", end="", flush=True)
            reached = measure(command, arguments.runs, environment) and reached
        server.shutdown()
        thread.join()
    print(
        f"goals (time ≤ {MOST_TIME}, memory ≤ {MOST_MEMORY}): {'reached' if reached else 'MISSED'}"
    )
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
