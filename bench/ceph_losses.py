"""Hosts that are lost and daemons that are killed, with disks in a Ceph cluster."""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import time
from pathlib import Path

from bench.ceph_cluster import Cluster
from bench.ceph_disks import BLOCK, MIB, Disk, Host
from mooring.engine.qemu.daemon.process import find
from mooring.model.errors import NbdError
from mooring.nbd.blocking import BlockingNbdClient


def take_over(cluster: Cluster, folder: Path, arguments: argparse.Namespace) -> None:
    """Print how long it takes until another host has written."""
    parts: dict[str, list[float]] = {"fenced": [], "attached": [], "read": [], "written": []}
    second = Host(cluster, folder / "second")
    for number in range(arguments.rounds):
        first = Host(cluster, folder / f"first{number}")
        disk = first.disk(arguments.size)
        client = BlockingNbdClient(disk.uri)
        for turn in range(8):
            client.write(turn * MIB, random.Random(turn).randbytes(MIB))
            disk.freeze()
        client.flush()
        pids = first.processes(disk)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        began = time.perf_counter()
        second.engine.fence(first.name)
        parts["fenced"].append(time.perf_counter() - began)
        made = second.attach(disk.export)
        parts["attached"].append(time.perf_counter() - began)
        again = BlockingNbdClient(made.uri)
        again.read(0, BLOCK)
        parts["read"].append(time.perf_counter() - began)
        again.write(0, bytes(BLOCK))
        again.flush()
        parts["written"].append(time.perf_counter() - began)
        again.close()
        made.close()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        first.engine.close()
        # Another one may have been started in its place.
        if (left := find(first.run / disk.instance)) is not None:
            with left:
                left.kill()
    told = ", ".join(f"{name} {statistics.median(one):.2f}" for name, one in parts.items())
    print(f"take-over of a host that hangs, a disk of 10 layers, seconds: {told}; "
          f"worst {max(parts['written']):.2f}")  # fmt: skip
    second.engine.close()


def kills(host: Host, arguments: argparse.Namespace) -> None:
    """Kill the daemon in mid-merge again and again, and compare all blocks."""
    size = 64 * MIB
    disk, model, lot = host.disk(size), bytearray(size), random.Random(arguments.seed)
    killed = wrong = 0
    while killed < arguments.kills:
        client = _connected(disk)
        for _ in range(800):
            at = lot.randrange(size // BLOCK) * BLOCK
            data = lot.randbytes(BLOCK)
            client.write(at, data)
            model[at : at + BLOCK] = data
        client.flush()
        disk.freeze()
        disk.release()
        live = host.engine._registry.disk(disk.export.disk_id)
        for _ in range(1000):
            if live.merge is not None:
                break
            time.sleep(0.001)
        time.sleep(lot.random() * 0.05)
        merging = live.merge is not None
        if (daemon := find(host.run / disk.instance)) is not None:
            with daemon:
                daemon.kill()
        killed += merging
        # At another instance: one whose daemon dies often is brought back ever later.
        host.engine.detach(disk.instance, disk.export.disk_id, force=True)
        disk = host.attach(disk.export)
        again = _connected(disk)
        for offset in range(0, size, 4 * MIB):
            wrong += bytes(again.read(offset, 4 * MIB)) != model[offset : offset + 4 * MIB]
        if merging:
            print(f"{killed} killed, {wrong} wrong", flush=True)
    host.engine.settle(120)
    print(f"{killed} daemons killed in mid-merge: {wrong} wrong pieces of 4 MiB")


def _connected(disk: Disk) -> BlockingNbdClient:
    deadline = time.monotonic() + 60
    while True:
        try:
            client = BlockingNbdClient(disk.uri)
            client.read(0, BLOCK)
            return client
        except (NbdError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
