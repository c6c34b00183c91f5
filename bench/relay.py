"""Compares disks over TCP: QEMU's own TLS, the relay, and the plain socket below it."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mooring.host.processes import lasting_process
from mooring.model.clock import SystemClock
from mooring.relay.process import RelayProcess
from mooring.relay.ways import Way
from tests.e2e.authority import Authority

SIZE = 1 << 30
DISK = f"null-co,node-name=d,size={SIZE}"
EXPORT = "nbd,id=e,node-name=d,name=d,writable=on"


@contextmanager
def daemon(socket: Path | None, port: int, pki: Path) -> Iterator[int]:
    """A plain daemon on a socket, or with QEMU's TLS on a port; yields its pid."""
    server = f"addr.type=unix,addr.path={socket}"
    words = ["qemu-storage-daemon", "--blockdev", DISK]
    if socket is None:
        words += ["--object", f"tls-creds-x509,id=t,dir={pki},endpoint=server,verify-peer=on"]
        server = f"addr.type=inet,addr.host=127.0.0.1,addr.port={port},tls-creds=t"
    process = subprocess.Popen([*words, "--nbd-server", server, "--export", EXPORT])
    time.sleep(1)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def cpu(pids: list[int]) -> float:
    """Seconds of processor time that these have taken, and the children that they waited for."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def throughput(uri: str) -> float:
    """MB/s of reading everything over one connection."""
    began = time.monotonic()
    command = ["nbdcopy", "--no-extents", "--connections=1", "--requests=16", uri, "null:"]
    subprocess.run([*command, "--request-size=1048576"], check=True)
    return SIZE / 1e6 / (time.monotonic() - began)


READS = """
import sys, time, nbd
h = nbd.NBD()
h.set_uri_allow_local_file(True)
h.connect_uri(sys.argv[1])
h.pread(4096, 0)
began = time.monotonic()
count = 0
while time.monotonic() - began < 3:
    h.pread(4096, count * 4096)
    count += 1
print((time.monotonic() - began) * 1e6 / count)
"""


def latency(uri: str) -> float:
    """Microseconds of a read of 4 KiB, one after the other."""
    command = ["/usr/bin/python3", "-c", READS, uri]  # Debian's, which has libnbd
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=18999, help="for QEMU's own TLS")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relay-") as name, ExitStack() as stack:
        folder = Path(name)
        pki = folder / "pki"
        authority = Authority("ours")
        authority.issue(pki, "server")
        authority.issue(pki, "client", "i")
        socket = folder / "nbd.sock"
        plain = stack.enter_context(daemon(socket, 0, pki))
        tls = stack.enter_context(daemon(None, arguments.port, pki))
        relay = _relay(folder, pki)
        stack.callback(relay.end)
        uri = relay.uri(Way("r", "i", "id", str(socket)), "d")
        running = lasting_process.find(relay.folder / "lock", relay.folder)
        assert running is not None
        places = {
            "socket": f"nbd+unix:///d?socket={socket}",
            "QEMU's TLS": f"nbds://localhost:{arguments.port}/d?tls-certificates={pki}",
            "relay": f"{uri}?tls-certificates={pki}",
        }
        rates: dict[str, list[float]] = {one: [] for one in places}
        waits: dict[str, list[float]] = {one: [] for one in places}
        for _ in range(arguments.rounds):
            for one, place in places.items():
                before = cpu([plain, tls]), cpu([running.pid])
                rates[one].append(throughput(place))
                time.sleep(6)  # until the relay has waited for its child
                daemons, relays = cpu([plain, tls]) - before[0], cpu([running.pid]) - before[1]
                print(
                    f"{one}: {rates[one][-1]:.0f} MB/s; processor time of the daemon "
                    f"{daemons:.1f} s, of the relay {relays:.1f} s"
                )
                waits[one].append(latency(place))
        for one in places:
            rate, wait = statistics.median(rates[one]), statistics.median(waits[one])
            print(f"{one:12} {rate:7.0f} MB/s  {wait:6.0f} µs  load {os.getloadavg()[0]:.0f}")


def _relay(folder: Path, pki: Path) -> RelayProcess:
    run = folder / "relay"
    command = [sys.executable, "-m", "mooring.admin.main", "serve-disks", "--run-dir", str(run)]
    command += ["--tcp", "127.0.0.1", "--certificate", str(pki / "server-cert.pem")]
    command += ["--key", str(pki / "server-key.pem")]
    command += ["--client-authority", str(pki / "ca-cert.pem")]
    command += ["--connections", "9", "--connections-per-address", "9"]
    return RelayProcess(run, command, SystemClock(), "localhost")


if __name__ == "__main__":
    main()
