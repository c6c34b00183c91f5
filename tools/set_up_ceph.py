"""Sets up the cluster that `scripts/ceph start` has started."""

import base64
import email.utils
import hmac
import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import rados  # type: ignore[import-not-found]
import rbd  # type: ignore[import-not-found]

POOL, SPACE, USER = "mooring", "home", "mooring"


def main() -> None:
    folder, what, *rest = sys.argv[1:]
    if what == "bucket":
        make_bucket(*rest)
        return
    with rados.Rados(conffile=f"{folder}/admin.conf", name="client.admin") as cluster:
        if what == "osd":
            add_osd(cluster, Path(folder), *rest)
        else:
            make_pool(cluster, Path(folder))


def add_osd(cluster: "rados.Rados", folder: Path, uuid: str) -> None:
    found = ask(cluster, prefix="auth get-or-create", entity="osd.0", caps=[
        "mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *",
    ])  # fmt: skip
    key = found[0]["key"]
    (folder / "osd" / "keyring").write_text(f"[osd.0]\n\tkey = {key}\n")
    secrets = json.dumps({"cephx_secret": key}).encode()
    ask(cluster, secrets, prefix="osd new", uuid=uuid)


def make_pool(cluster: "rados.Rados", folder: Path) -> None:
    while not ask(cluster, prefix="osd stat").get("num_up_osds"):
        time.sleep(0.05)
    ask(cluster, prefix="osd pool create", pool=POOL, pg_num=8, pgp_num=8)
    ask(cluster, prefix="osd pool application enable", pool=POOL, app="rbd")
    found = ask(cluster, prefix="auth get-or-create", entity=f"client.{USER}", caps=[
        "mon", "profile rbd", "osd", f"profile rbd pool={POOL} namespace={SPACE}",
    ])  # fmt: skip
    (folder / f"{USER}.keyring").write_text(f"[client.{USER}]\n\tkey = {found[0]['key']}\n")
    with cluster.open_ioctx(POOL) as pool:
        rbd.RBD().pool_init(pool, force=True)
        rbd.RBD().namespace_create(pool, SPACE)


def make_bucket(url: str, key: str, secret: str) -> None:
    """With the old signature, which takes a line instead of a library."""
    now = email.utils.formatdate(usegmt=True)
    signed = hmac.new(secret.encode(), f"PUT\n\n\n{now}\n/vault".encode(), "sha1").digest()
    headers = {"Date": now, "Authorization": f"AWS {key}:{base64.b64encode(signed).decode()}"}
    request = urllib.request.Request(f"{url}/vault", method="PUT", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


def ask(cluster: "rados.Rados", data: bytes = b"", **command: object) -> Any:
    code, out, told = cluster.mon_command(json.dumps({**command, "format": "json"}), data)
    if code:
        raise SystemExit(f"scripts/ceph: {command['prefix']}: {told or code}")
    return json.loads(out) if out.strip() else {}


if __name__ == "__main__":
    main()
