"""Make a bill of materials of what a lock file pins (SBOM, CycloneDX 1.6).

Run `python -m tools.bill_of_materials --lock LOCK [--wheels FOLDER] FILE`. With the folder of the
wheels that were used, it lists these, with digests and licenses; without, all that the lock names.
Needs the standard library alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

VERSION_FILE = Path(__file__).parent.parent / "src/mooring/version.py"
NAME = "mooring-disks"


@dataclass(frozen=True, slots=True)
class Pinned:
    """A line of the lock file: one version of one package, and the digests of its files."""

    name: str
    version: str
    marker: str
    digests: frozenset[str]


def pinned(lock: str) -> Iterator[Pinned]:
    """What the text of a lock file pins."""
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        head, *rest = entry.splitlines()
        requirement, _, marker = head.removesuffix("\\").strip().partition(" ; ")
        name, _, version = requirement.partition("==")
        digests = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", "\n".join(rest)))
        yield Pinned(name, version, marker.strip(), digests)


def component(one: Pinned, wheel: Path | None) -> dict[str, Any]:
    """Raises ValueError if the wheel is none of the lock's files."""
    told: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"pkg:pypi/{one.name}@{one.version}",
        "name": one.name,
        "version": one.version,
        "purl": f"pkg:pypi/{one.name}@{one.version}",
    }
    if one.marker:
        told["properties"] = [{"name": "python:marker", "value": one.marker}]
    if wheel is not None:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if digest not in one.digests:
            raise ValueError(f"{wheel} is not what the lock file pins")
        told["hashes"] = [{"alg": "SHA-256", "content": digest}]
        told["licenses"] = licenses(metadata(wheel))
    return told


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if re.fullmatch(r"[^/]+/METADATA", one))
        return Parser().parsestr(archive.read(name).decode("utf-8"))


def licenses(fields: Message) -> list[dict[str, Any]]:
    """What the package itself says: an expression of SPDX, or whatever it calls its license."""
    if fields["License-Expression"]:
        return [{"expression": str(fields["License-Expression"])}]
    classifiers = [str(one) for one in fields.get_all("Classifier", [])]
    names = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License ::")]
    names = names or [str(fields["License"] or "not stated").splitlines()[0]]
    return [{"license": {"name": name}} for name in names]


def bill(lock: str, wheels: Path | None) -> dict[str, Any]:
    """The whole document; the same input gives the same bytes."""
    files = {}
    for wheel in sorted(wheels.glob("*.whl")) if wheels else ():
        name, version = wheel.name.split("-")[:2]
        files[re.sub(r"[-_.]+", "-", name).lower(), version] = wheel
    found = [one for one in pinned(lock) if not wheels or (one.name, one.version) in files]
    if wheels and len(found) != len(files):
        raise ValueError("there are wheels that the lock file does not name")
    components = [component(one, files.get((one.name, one.version))) for one in found]
    version = re.findall(r'VERSION = "(.*)"', VERSION_FILE.read_text(encoding="utf-8"))[0]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, json.dumps([version, components]))}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": NAME,
                "name": NAME,
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
        "dependencies": [{"ref": NAME, "dependsOn": [one["bom-ref"] for one in components]}],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--wheels", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    made = bill(options.lock.read_text(encoding="utf-8"), options.wheels)
    options.target.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
