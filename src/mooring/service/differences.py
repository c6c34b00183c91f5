"""Where operations differ from the real service, and which are not served, with the reasons."""

from __future__ import annotations

import re

from mooring.service.answers.nothing_kept import LISTS

_KEPT = "The value is kept and told back. It has no effect: Mooring runs no machines."
_TOLD = (
    "The address is from a range for documentation (RFC 5737), and only told: nothing is routed."
)
_NOTHING = "The list is always empty: {} are not kept here."
_WORD = re.compile(r"[A-Z][a-z]+|[A-Z]+(?=[A-Z]|$)")

DIFFERENCES: dict[str, str] = {
    "AllocateStaticIp": f"{_TOLD} It is lost with the catalog.",
    "AttachDisk": "The disk is served over NBD; `diskPath` is only kept. A wish for "
    "`autoMounting` is told back as `NotMounted`: mounting is up to the machine.",
    "AttachStaticIp": "The address is the instance's `publicIpAddress`; nothing is routed.",
    "CopySnapshot": "Only what the target region does not have of the disk is read and stored.",
    "CreateDiskFromSnapshot": "The disk is usable at once, before it has all data.",
    "CreateDiskSnapshot": "With `instanceName` it is refused: instances have no system disk here. "
    "CreateInstanceSnapshot takes all disks of an instance. The snapshot has the tag "
    "`mooring:consistency` besides those of the request, which is left out where a client gives "
    "it.",
    "CreateInstanceSnapshot": "It holds the attached disks only, for there is no system disk. One "
    "of an instance without disks is available at once. `sizeInGb` is the sum of its disks. Its "
    "tags are as with CreateDiskSnapshot.",
    "CreateInstances": "Nothing is booted: an instance is a place to attach disks to. The "
    "blueprint `external` is Mooring's own. `userData` has no effect. A `keyPairName` is kept, "
    "and need not be that of a key pair; no default key pair is made.",
    "CreateKeyPair": "The private key is in the answer and nowhere else: a client that asks again "
    "after it has lost the answer is told that the name is in use. Key pairs are lost with the "
    "catalog.",
    "CreateInstancesFromSnapshot": "Disks are usable at once. Without `attachedDiskMapping` they "
    "are called after the new instance and the old disk. If one cannot be made, nothing of its "
    "instance is left.",
    "DeleteAutoSnapshot": "One of several of a day is named by the minute: `2026-11-24T12:15`.",
    "DeleteDisk": "Refused without `forceDeleteAddOns` while the disk has the add-on, or the tag "
    "`mooring:snapshots`.",
    "DeleteInstance": "Its disks are detached and kept, as on the real service. Refused without "
    "`forceDeleteAddOns` while the instance has the add-on, or the tag `mooring:snapshots`.",
    "DetachStaticIp": "The instance has its former public address again.",
    "DisableAddOn": "The add-on is shown on as `Disabled`, with its time of day.",
    "DownloadDefaultKeyPair": "Not for keys that are bound to tags. Its private key is a file in "
    "the data directory, readable for the server only.",
    "DetachDisk": "Possible while the instance runs, unless a client uses the disk.",
    "EnableAddOn": "Only AutoSnapshot. Of an instance it takes all attached disks at one instant, "
    "for there is no system disk. The tag `mooring:snapshots` asks for other rhythms.",
    "GetAutoSnapshots": "Those by the tag `mooring:snapshots`, too, with the minute as their date.",
    "ExportSnapshot": "It is exported into raw image files on the server's host, sparse and "
    "compared: one file, of an instance snapshot one for each disk. Nothing goes to Amazon.",
    "GetDistributionLatestCacheReset": "The answer is empty: there are no distributions.",
    "GetExportSnapshotRecords": "`destinationInfo` has the path of the file or directory.",
    "GetBlueprints": "Besides those of Lightsail there are `external` and `host`.",
    "GetBundles": "Besides those of Lightsail there is `external`. Nothing is charged.",
    "GetInstance": "There is no system disk and no health. Addresses are from ranges for "
    "documentation and only told; the instance's tag `mooring:address` gives the machine's real "
    "one. `username` is that of the blueprint; `external` and `host` have none.",
    "GetKeyPair": "`LightsailDefaultKeyPair` is there once it has been downloaded.",
    "ImportKeyPair": "Without tags in the request it gets those that the caller's key is bound to.",
    "GetInstancePortStates": "No port is shown until one is opened: Mooring has no firewall.",
    "GetDiskSnapshot": "Among its tags is `mooring:consistency`: see CreateDiskSnapshot.",
    "GetDiskSnapshots": "Among their tags is `mooring:consistency`: see CreateDiskSnapshot.",
    "GetInstanceSnapshot": "There is no system disk: see CreateInstanceSnapshot. Among its tags is "
    "`mooring:consistency`.",
    "GetInstanceSnapshots": "There is no system disk: see CreateInstanceSnapshot. Among their tags "
    "is `mooring:consistency`.",
    "GetOperation": "`operationType` is the name of the operation that was called. Eight of "
    "these are not in the model's enumeration, CopySnapshot among them, as in the answers of the "
    "real service: see docs/design/api.md.",
    "GetOperations": "`operationType` is as with GetOperation. Newest first, as its example shows, "
    "though its text says the opposite; all operations, in pages of 100, though its text says 200 "
    "in all.",
    "GetOperationsForResource": "`operationType` is as with GetOperation. Newest first; also of a "
    "resource that is gone.",
    "GetProfile": "Always `Lightsailor`, the one without a membership.",
    "GetRegions": "Those that the server serves; without zones for databases.",
    "IsVpcPeered": "Always false: there is no network to be peered with.",
    "ReleaseStaticIp": "One that is attached is detached first.",
    "RebootInstance": "Clients of the instance's disks are cut off and may connect again.",
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
    "An export is a file here, of which no machine is made": "CreateCloudFormationStack",
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
