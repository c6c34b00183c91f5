"""Where operations differ from the real service, and which are not served, with reasons."""

from __future__ import annotations

import re

from mooring.service.answers.nothing_kept import LISTS

_KEPT = "The value is stored and returned. It has no effect: Mooring runs no machines."
_TOLD = (
    "The address is from a documentation range (RFC 5737), and only reported: nothing is routed."
)
_NOTHING = "The list is always empty: Mooring has no {}."
_WORD = re.compile(r"[A-Z][a-z]+|[A-Z]+(?=[A-Z]|$)")

DIFFERENCES: dict[str, str] = {
    "AllocateStaticIp": f"{_TOLD} It is lost with the catalog.",
    "AttachDisk": "The disk is served over NBD; `diskPath` is only stored. `autoMounting` is "
    "answered with `NotMounted`: mounting is up to the machine.",
    "AttachStaticIp": "The address is the instance's `publicIpAddress`; nothing is routed.",
    "CopySnapshot": "Only what the target region lacks of the disk is read and stored.",
    "CreateDiskFromSnapshot": "The disk is usable immediately, before all its data is copied.",
    "CreateDiskSnapshot": "With `instanceName` it takes the system disk that the instance has from "
    "a blueprint of one's own, or the disk that its tag `mooring:system-disk` names; without "
    "either it is refused. The snapshot has the tag "
    "`mooring:consistency` in addition to those of the request; it is ignored if a client gives "
    "it.",
    "CreateInstanceSnapshot": "It holds the attached disks, and a system disk only of an instance "
    "of a blueprint of one's own. One of an instance without disks is available immediately. "
    "`sizeInGb` is the sum of its disks. For its tags see CreateDiskSnapshot.",
    "CreateInstances": "Nothing is booted: an instance is a place to attach disks to. It has a "
    "system disk, `NAME-system`, if its blueprint is one's own; those of Lightsail have nothing "
    "to make one of. The blueprint `external` is Mooring's own. `userData` has no effect. "
    "`keyPairName` is stored, and need not name an existing key pair; no default key pair is made.",
    "CreateKeyPair": "The private key is in the reply and nowhere else: a client that lost the "
    "reply and asks again is told that the name is in use. Key pairs are lost with the catalog.",
    "CreateInstancesFromSnapshot": "Disks are usable immediately. Without `attachedDiskMapping` "
    "they are named after the new instance and the old disk, a system disk `NAME-system`, which is "
    "as large as the bundle says, or as it was if that is more. If one cannot be made, nothing of "
    "its instance remains.",
    "DeleteAutoSnapshot": "If a day has several, name one by more of its moment: "
    "`2026-11-24T12:15`, or `2026-11-24T12:15:10`.",
    "DeleteDiskSnapshot": "Refused for a blueprint of one's own: `mooring delete-blueprint`.",
    "DeleteDisk": "Refused without `forceDeleteAddOns` while the disk has the add-on, or the tag "
    "`mooring:snapshots`.",
    "DeleteInstance": "Its disks are detached and kept, and a system disk is deleted, as on the "
    "real service. Refused without "
    "`forceDeleteAddOns` while the instance has the add-on, or the tag `mooring:snapshots`.",
    "DetachStaticIp": "The instance gets its former public address back.",
    "DisableAddOn": "The add-on is still shown, as `Disabled`, with its time of day.",
    "DownloadDefaultKeyPair": "Not for keys that are bound to tags. The private key is a file in "
    "the data directory that only the server can read.",
    "DetachDisk": "Possible while the instance runs, unless a client uses the disk.",
    "EnableAddOn": "Only AutoSnapshot. For an instance it takes all attached disks at one instant. "
    "The tag `mooring:snapshots` sets other rhythms.",
    "GetAutoSnapshots": "Includes those of the tag `mooring:snapshots`, with the minute in their "
    "date.",
    "ExportSnapshot": "Written to raw image files on the server's host, sparse and compared with "
    "the snapshot: one file, or for an instance snapshot one per disk. Nothing goes to Amazon.",
    "GetDistributionLatestCacheReset": "The reply is empty: there are no distributions.",
    "GetExportSnapshotRecords": "`destinationInfo` has the path of the file or directory.",
    "GetBlueprints": "In addition to Lightsail's there are `external`, `host`, and those of one's "
    "own, which `mooring import` makes.",
    "GetBundles": "In addition to Lightsail's there is `external`. Nothing is charged.",
    "GetInstance": "There is no health. In `hardware.disks` a system disk has a name; "
    "if the tag `mooring:system-disk` names one, `isSystemDisk` is told of that. Addresses "
    "are from documentation ranges and only reported; the instance's tag `mooring:address` sets "
    "the machine's real one. `username` is the blueprint's; `external`, `host` and those of one's "
    "own have none.",
    "GetKeyPair": "`LightsailDefaultKeyPair` exists once it has been downloaded.",
    "ImportKeyPair": "Without tags in the request it gets those that bind the caller's key.",
    "GetInstancePortStates": "No port is shown until one is opened: Mooring has no firewall.",
    "GetDiskSnapshot": "Among its tags is `mooring:consistency`: see CreateDiskSnapshot.",
    "GetDiskSnapshots": "Among their tags is `mooring:consistency`: see CreateDiskSnapshot.",
    "GetDisks": "System disks are among them: here they have names.",
    "GetInstanceSnapshot": "Among its tags is `mooring:consistency`: see CreateInstanceSnapshot.",
    "GetInstanceSnapshots": "Among their tags is `mooring:consistency`: see "
    "CreateInstanceSnapshot.",
    "GetOperation": "`operationType` is the name of the operation that was called. Eight of "
    "these are not in the model's enumeration, CopySnapshot among them, as in the answers of the "
    "real service: see docs/design/api.md.",
    "GetOperations": "`operationType` is as with GetOperation. Newest first, as its example shows, "
    "though its text says the opposite; all operations, in pages of 100, though its text says 200 "
    "in total.",
    "GetOperationsForResource": "`operationType` is as with GetOperation. Newest first; also for a "
    "deleted resource.",
    "GetProfile": "Always `Lightsailor`, the profile without a membership.",
    "GetRegions": "Only those that the server serves, without zones for databases.",
    "IsVpcPeered": "Always false: there is no network to peer with.",
    "ReleaseStaticIp": "A static IP that is attached is detached first.",
    "RebootInstance": "Clients of the instance's disks are disconnected and may reconnect.",
    "StopInstance": "Its disks are flushed and no longer served. `force` changes nothing.",
    "OpenInstancePublicPorts": _KEPT,
    "CloseInstancePublicPorts": _KEPT,
    "PutInstancePublicPorts": _KEPT,
    "SetIpAddressType": f"{_KEPT} Only instances are known.",
    "UpdateInstanceMetadataOptions": _KEPT,
    **{
        operation: _NOTHING.format(" ".join(_WORD.findall(operation)[1:]).lower())
        for operation in LISTS
    },
}
"""What users of the real service should know, by operation served; nothing for the others."""

NOT_SERVED: dict[str, str] = {
    "An export is a file here; no machine is made from it": "CreateCloudFormationStack",
    "Mooring runs no machines: there is nothing to log in to, to measure or to set up": """
        CreateGUISessionAccessDetails DeleteKnownHostKeys
        GetInstanceAccessDetails GetInstanceMetricData
        GetSetupHistory SetupInstanceHttps StartGUISession StopGUISession""",
    "Mooring has no networks, load balancers or distributions": """
        AttachCertificateToDistribution AttachInstancesToLoadBalancer
        AttachLoadBalancerTlsCertificate CreateCertificate CreateDistribution
        CreateLoadBalancer CreateLoadBalancerTlsCertificate DeleteCertificate DeleteDistribution
        DeleteLoadBalancer DeleteLoadBalancerTlsCertificate DetachCertificateFromDistribution
        DetachInstancesFromLoadBalancer GetDistributionMetricData GetLoadBalancer
        GetLoadBalancerMetricData GetLoadBalancerTlsCertificates PeerVpc ResetDistributionCache
        UnpeerVpc UpdateDistribution
        UpdateDistributionBundle UpdateLoadBalancerAttribute""",
    "Mooring keeps no domains": """
        CheckSubdomainAvailability CreateDomain CreateDomainEntry CreateSubdomain DeleteDomain
        DeleteDomainEntry DeleteSubdomain GetDomain UpdateDomainEntry
        UpdateSubdomainAssociation""",
    "Mooring has no object storage": """
        CreateBucket CreateBucketAccessKey DeleteBucket DeleteBucketAccessKey GetBucketAccessKeys
        GetBucketMetricData SetResourceAccessForBucket UpdateBucket
        UpdateBucketBundle""",
    "Mooring runs no containers": """
        CreateContainerService CreateContainerServiceDeployment
        CreateContainerServiceRegistryLogin DeleteContainerImage DeleteContainerService
        GetContainerImages GetContainerLog GetContainerServiceDeployments
        GetContainerServiceMetricData RegisterContainerImage
        UpdateContainerService""",
    "Mooring runs no databases; a database of your own can be on a disk": """
        CreateRelationalDatabase CreateRelationalDatabaseFromSnapshot
        CreateRelationalDatabaseSnapshot DeleteRelationalDatabase
        DeleteRelationalDatabaseSnapshot GetRelationalDatabase
        GetRelationalDatabaseEvents GetRelationalDatabaseLogEvents
        GetRelationalDatabaseLogStreams GetRelationalDatabaseMasterUserPassword
        GetRelationalDatabaseMetricData GetRelationalDatabaseParameters
        GetRelationalDatabaseSnapshot RebootRelationalDatabase StartRelationalDatabase
        StopRelationalDatabase UpdateRelationalDatabase UpdateRelationalDatabaseParameters""",
    "Mooring sends no alarms; its metrics are for a monitoring system of your own": """
        CreateContactMethod DeleteAlarm DeleteContactMethod PutAlarm SendContactMethodVerification
        TestAlarm""",
    "Nothing is charged here": "GetCostEstimate",
}
"""Operations by the reason why they are not served."""


def why_not_served(operation: str) -> str | None:
    """The reason why an operation is not served, None if none is written down."""
    return next(
        (reason for reason, names in NOT_SERVED.items() if operation in names.split()), None
    )
