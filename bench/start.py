"""`mooringd serve --development` from its start to its first answer, beside moto's server.

In turns, so that a busy machine is as busy for the one as for the other. Each is started anew, on
a free port, and asked for a list of an API of its own until it answers: GetDisks of Lightsail, and
DescribeVolumes of EC2, since moto has no Lightsail. Then the same as tests see it: in a new
process of Python, from nothing to the answer to the first call of boto3, by the plugin's fixtures
and by `mock_aws`, which starts no server.

    .venv/bin/python -m bench.start --runs 15

The imports of one start: .venv/bin/python -X importtime -m mooring.admin.main serve --development
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.002
MOST_SECONDS = 0.5

SIGNED = (
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, "
    "SignedHeaders=host, Signature=0"
)

FIXTURES = """
import time
began = time.perf_counter()
import os
from mooring.testing import plugin
from mooring.testing.server import MooringServer
with MooringServer() as server:
    session = plugin._boto3_session()
    os.environ.update(server.environment)
    client = plugin._client(session, server.url)
    client.create_disk(diskName="data", sizeInGb=8, availabilityZone="us-east-1a")
    print(time.perf_counter() - began)
"""

MOCK_AWS = """
import time
began = time.perf_counter()
import os
os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
import boto3
from moto import mock_aws
with mock_aws():
    client = boto3.client("ec2", region_name="us-east-1")
    client.create_volume(Size=8, AvailabilityZone="us-east-1a")
    print(time.perf_counter() - began)
"""


@dataclass(frozen=True)
class Peer:
    """A server: its command, without the port, and a request that it answers with 200."""

    name: str
    command: list[str]
    headers: dict[str, str]
    body: str


PEERS = [
    Peer(
        "mooringd serve --development",
        [sys.executable, "-m", "mooring.admin.main", "serve", "--development", "--port"],
        {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "Lightsail_20161128.GetDisks",
            "Authorization": SIGNED.format(service="lightsail"),
        },
        "{}",
    ),
    Peer(
        "moto_server",
        [sys.executable, "-m", "moto.server", "--port"],
        {
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": SIGNED.format(service="ec2"),
        },
        "Action=DescribeVolumes&Version=2016-11-15",
    ),
]


@dataclass(frozen=True)
class Start:
    """Seconds to the first answer, of the processor until then, and the largest memory in MiB."""

    seconds: float
    processor: float
    mebibytes: float


def start(peer: Peer) -> Start:
    """Start it, ask until it answers, and end it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    began = time.perf_counter()
    process = subprocess.Popen(
        [*peer.command, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not answers(peer, port):
            if process.poll() is not None or time.perf_counter() - began > PATIENCE_SECONDS:
                sys.exit(f"{peer.name} does not answer")
            time.sleep(PAUSE_SECONDS)
        seconds = time.perf_counter() - began
        with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:  # noqa: PTH123
            fields = file.read().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
    finally:
        process.terminate()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return Start(seconds, ticks / os.sysconf("SC_CLK_TCK"), usage.ru_maxrss / 1024)


def answers(peer: Peer, port: int) -> bool:
    """Whether it answers the request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("POST", "/", peer.body, peer.headers)
        answer = connection.getresponse()
        answer.read()
    except OSError:
        return False
    finally:
        connection.close()
    if answer.status != 200:
        sys.exit(f"{peer.name} answers with {answer.status}")
    return True


def first_call(program: str) -> float:
    """Seconds from nothing to the answer to the first call, in a new process."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def told(name: str, seconds: list[float], rest: str = "") -> str:
    """A line about some runs."""
    middle, best = statistics.median(seconds), min(seconds)
    return f"{name:34} median {middle:6.3f} s   best {best:6.3f} s   {rest}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    options = parser.parse_args()
    starts: dict[str, list[Start]] = {peer.name: [] for peer in PEERS}
    calls: dict[str, list[float]] = {"fixtures, first call": [], "mock_aws, first call": []}
    for _ in range(options.runs):
        for peer in PEERS:
            starts[peer.name].append(start(peer))
        for name, program in zip(calls, (FIXTURES, MOCK_AWS), strict=True):
            calls[name].append(first_call(program))
    if options.json:
        figures = {name: [one.seconds for one in found] for name, found in starts.items()}
        print(json.dumps({**figures, **calls}))
        return 0
    for name, found in starts.items():
        processor = statistics.median(one.processor for one in found)
        memory = statistics.median(one.mebibytes for one in found)
        rest = f"processor {processor:.2f} s   {memory:.0f} MiB"
        print(told(name, [one.seconds for one in found], rest))
    for name, seconds in calls.items():
        print(told(name, seconds))
    ours = [statistics.median(one.seconds for one in starts[PEERS[0].name])]
    ours.append(statistics.median(calls["fixtures, first call"]))
    good = max(ours) <= MOST_SECONDS
    print(f"{'reached' if good else 'not reached'}: at most {MOST_SECONDS} s, start and fixtures")
    load = os.getloadavg()[0]
    print(f"load {load:.1f}, {os.cpu_count()} cores")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
