"""Make src/mooring/protocol/service_model.json from the installed botocore.

Only facts are kept: names, types, required members, enums, lengths, patterns.
Prose stays behind. Run `python tools/trim_service_model.py` after adding an
operation to SERVED; `--check` exits 1 when the file is out of date.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import botocore

from mooring.service.answers.nothing_kept import LISTS, NOTHING

TARGET = Path(__file__).parent.parent / "src/mooring/protocol/service_model.json"

SERVED = """
AllocateStaticIp AttachDisk AttachStaticIp CloseInstancePublicPorts
CopySnapshot CreateDisk CreateDiskFromSnapshot CreateDiskSnapshot
CreateInstanceSnapshot CreateInstances CreateInstancesFromSnapshot
CreateKeyPair DeleteAutoSnapshot DeleteDisk DeleteDiskSnapshot DeleteInstance
DeleteInstanceSnapshot DeleteKeyPair DetachDisk DetachStaticIp DisableAddOn
DownloadDefaultKeyPair EnableAddOn ExportSnapshot GetActiveNames
GetAutoSnapshots GetBlueprints GetBundles GetDisk GetDiskSnapshot
GetDiskSnapshots GetDisks GetExportSnapshotRecords GetInstance
GetInstancePortStates GetInstanceSnapshot GetInstanceSnapshots GetInstanceState
GetInstances GetKeyPair GetKeyPairs GetOperation GetOperations
GetOperationsForResource GetRegions GetStaticIp GetStaticIps ImportKeyPair
IsVpcPeered OpenInstancePublicPorts PutInstancePublicPorts RebootInstance
ReleaseStaticIp SetIpAddressType StartInstance StopInstance TagResource
UntagResource UpdateInstanceMetadataOptions
""".split()
"""What is served, besides what there is nothing of."""

KEPT_SHAPE_KEYS = ("type", "required", "enum", "min", "max", "pattern", "box")


def read_botocore(kind: str) -> dict[str, Any]:
    """Return one of botocore's data files for Lightsail, for example `service-2`."""
    folder = Path(botocore.__file__).parent / "data/lightsail/2016-11-28"
    packed = folder / f"{kind}.json.gz"
    if packed.exists():
        return dict(json.loads(gzip.decompress(packed.read_bytes())))
    return dict(json.loads((folder / f"{kind}.json").read_text()))


def trim_shape(shape: dict[str, Any]) -> dict[str, Any]:
    """Return a shape without its prose; members stay in the model's order."""
    kept: dict[str, Any] = {key: shape[key] for key in KEPT_SHAPE_KEYS if key in shape}
    if shape["type"] == "structure":
        kept["members"] = {name: ref["shape"] for name, ref in shape["members"].items()}
    elif shape["type"] == "list":
        kept["member"] = shape["member"]["shape"]
    elif shape["type"] == "map":
        kept["key"], kept["value"] = shape["key"]["shape"], shape["value"]["shape"]
    return kept


def _entry_of(source: dict[str, Any], operation: str) -> str:
    """The shape of the entries of a list of what there is nothing of."""
    output = source["shapes"][source["operations"][operation]["output"]["shape"]]
    entries: str = source["shapes"][output["members"][LISTS[operation]]["shape"]]["member"]["shape"]
    return entries


def trim(source: dict[str, Any], pagination: dict[str, Any]) -> dict[str, Any]:
    """Return the model of the operations served, closed over the shapes they need."""
    operations: dict[str, Any] = {}
    needed: list[str] = []
    shapes: dict[str, Any] = {}
    for name in sorted({*SERVED, *LISTS, *NOTHING}):
        operation = source["operations"][name]
        errors = [error["shape"] for error in operation.get("errors", [])]
        operations[name] = {
            "input": operation["input"]["shape"],
            "output": operation["output"]["shape"],
            "errors": errors,
        }
        if name in pagination:
            operations[name]["pagination"] = pagination[name]
        needed += [operation["input"]["shape"], operation["output"]["shape"], *errors]
    hollow = {_entry_of(source, name) for name in LISTS}
    while needed:
        name = needed.pop()
        if name in shapes:
            continue
        shape = shapes[name] = trim_shape(source["shapes"][name])
        if name in hollow and shape["type"] == "structure":
            # Nobody ever sees one, and they would be half of the model.
            shape["members"] = {}
            shape.pop("required", None)
        needed += [*shape.get("members", {}).values()]
        needed += [shape[key] for key in ("member", "key", "value") if key in shape]
    metadata = source["metadata"]
    return {
        "apiVersion": metadata["apiVersion"],
        "targetPrefix": metadata["targetPrefix"],
        "jsonVersion": metadata["jsonVersion"],
        "signingName": metadata.get("signingName", metadata["endpointPrefix"]),
        "operations": operations,
        "unserved": sorted(set(source["operations"]) - set(operations)),
        "shapes": dict(sorted(shapes.items())),
    }


def main() -> int:
    """Write the trimmed model, or with --check compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    model = trim(read_botocore("service-2"), read_botocore("paginators-1")["pagination"])
    text = json.dumps(model, indent=1) + "\n"
    if not arguments.check:
        TARGET.write_text(text)
        return 0
    if TARGET.read_text() == text:
        return 0
    print(f"{TARGET} is out of date: run python tools/trim_service_model.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
