"""What each operation and each member means, and examples, for the help pages."""

from __future__ import annotations

# Operation: one sentence for the overview, then what one should know.
OPERATIONS: dict[str, tuple[str, str]] = {
    "AttachDisk": (
        "Attach a disk to an instance.",
        "The disk appears on the instance under the path given. An `external` instance serves its "
        "disks over NBD: `mooring uri` prints the address. An instance holds at most 15 disks.",
    ),
    "CloseInstancePublicPorts": (
        "Close ports of an instance.",
        "This is stored and shown, but has no effect: Mooring runs no machines.",
    ),
    "CopySnapshot": (
        "Copy a snapshot from another region, or within this one.",
        "Send it to the region that is to have the copy. Only what that region lacks of the disk "
        "is transferred and stored. The copy is `pending` until everything is there; the source "
        "may be deleted meanwhile.",
    ),
    "CreateDisk": (
        "Create an empty disk.",
        "The disk is sparse: it only takes space as it is written. Its size is 8 to 16384 GB.",
    ),
    "CreateDiskFromSnapshot": (
        "Create a disk that holds what a snapshot holds.",
        "The new disk can be attached and read immediately; what it has not yet fetched from the "
        "snapshot is fetched when it is read, and in the background. It may be larger than the "
        "snapshot's disk, never smaller.",
    ),
    "CreateDiskSnapshot": (
        "Fix a disk at this point in time.",
        "The snapshot holds exactly what had been written when the command was issued. The disk "
        "stays in use. The command returns immediately; the snapshot goes from `pending` to "
        "`completed` in the background. Only what changed since the last snapshot is stored.",
    ),
    "CreateInstanceSnapshot": (
        "Fix all disks of an instance at one point in time.",
        "All attached disks are frozen at the same instant, so that data spanning several of them "
        "is consistent when restored. A system disk is among them; without disks there is "
        "nothing to store. The command returns immediately; the snapshot goes from `pending` to "
        "`available` in the background.",
    ),
    "CreateInstances": (
        "Register instances, the places where disks are used.",
        "Mooring boots no machines. The blueprint `external` makes a place that serves its disks "
        "over NBD; `host` attaches them to the server's own host as block devices. An instance of "
        "a blueprint of your own, made with `mooring import`, has a system disk at once. "
        "`mooring get-blueprints` lists what this server knows.",
    ),
    "CreateInstancesFromSnapshot": (
        "Create instances with the disks of an instance snapshot.",
        "Each instance gets its own copy of every disk in the snapshot, attached under the path "
        "that it had. The disks can be used immediately, as with create-disk-from-snapshot. "
        "Without --attached-disk-mapping a disk is named after the new instance and the old disk: "
        "my-copy-my-disk.",
    ),
    "DeleteAutoSnapshot": (
        "Delete one automatic snapshot.",
        "It is named by its date; `mooring get-auto-snapshots` lists them.",
    ),
    "DeleteDisk": (
        "Delete a disk and everything on it.",
        "The disk must not be attached. Its snapshots stay.",
    ),
    "DeleteDiskSnapshot": (
        "Delete a snapshot.",
        "Other snapshots and disks are not touched, whatever they share with it.",
    ),
    "DeleteInstance": (
        "Remove an instance.",
        "Its disks are detached and kept.",
    ),
    "DeleteInstanceSnapshot": (
        "Delete an instance snapshot.",
        "Other snapshots, instances and disks are not touched, whatever they share with it.",
    ),
    "DetachDisk": (
        "Detach a disk from its instance.",
        "Stop the instance first, or disconnect the client that uses the disk.",
    ),
    "DisableAddOn": (
        "Turn off the automatic snapshots of a disk or an instance.",
        "Those already taken are kept until they, or the disk, are deleted.",
    ),
    "EnableAddOn": (
        "Turn on the automatic snapshots of a disk or an instance.",
        "One is taken every day within 45 minutes after the given full hour, and the newest seven "
        "are kept. Run it again to change the hour. For other rhythms give the disk the tag "
        "`mooring:snapshots`.",
    ),
    "GetActiveNames": (
        "List the names in use in the region.",
        "Names are unique in a region across disks, snapshots and instances.",
    ),
    "GetAutoSnapshots": (
        "List the automatic snapshots of a disk or an instance.",
        "The newest come first. Use their dates to name one to use, copy or delete.",
    ),
    "GetBlueprints": (
        "List the kinds of instances.",
        "Each is a way in which disks can be attached.",
    ),
    "GetBundles": (
        "List the sizes of instances.",
        "Mooring boots no machines, so bundles are a formality; one must be named.",
    ),
    "GetDisk": ("Show one disk.", "Its size, state, place, tags, and what it is attached to."),
    "GetDiskSnapshot": (
        "Show one snapshot.",
        "Its state, its progress in per cent, and the disk it was taken from.",
    ),
    "GetDiskSnapshots": ("List all snapshots.", "Those of the region, by name."),
    "GetDisks": ("List all disks.", "Those of the region, by name."),
    "GetInstance": ("Show one instance.", "Its state, its blueprint, and its disks."),
    "GetInstancePortStates": (
        "List the ports of an instance that are open.",
        "Those that somebody has opened. Mooring itself has no firewall.",
    ),
    "ExportSnapshot": (
        "Write a snapshot into image files.",
        "On the server's host, in the directory of the setting `exports`: one raw file, or for an "
        "instance snapshot one per disk. They are sparse, and compared before they get their "
        "names. get-export-snapshot-records says where.",
    ),
    "GetExportSnapshotRecords": (
        "List what was exported.",
        "Each record has the state of the export, and the path of its file or directory.",
    ),
    "GetInstanceSnapshot": (
        "Show one instance snapshot.",
        "Its state, the instance it was taken from, and the disks that it holds.",
    ),
    "GetInstanceSnapshots": ("List all instance snapshots.", "Those of the region, by age."),
    "GetInstanceState": ("Show the state of an instance.", "`running`, `stopped`, or between."),
    "GetInstances": ("List all instances.", "Those of the region, by name."),
    "GetOperation": (
        "Show one operation.",
        "Every command that changes something starts operations, and returns their ids. "
        "The status ends as `Succeeded`, `Completed` or `Failed`.",
    ),
    "GetOperations": ("List recent operations.", "The newest come first."),
    "GetOperationsForResource": (
        "List the operations on one resource.",
        "The newest come first. Pages are not followed: pass `--page-token` for the next one.",
    ),
    "GetRegions": ("List the regions that the server serves.", "Zones are shown if asked for."),
    "IsVpcPeered": (
        "Say whether there is a peered network.",
        "There is none: the reply is always false.",
    ),
    "OpenInstancePublicPorts": (
        "Open ports of an instance.",
        "This is stored and shown, but has no effect: Mooring runs no machines.",
    ),
    "PutInstancePublicPorts": (
        "Set which ports of an instance are open.",
        "All others are closed. This is stored and shown, but has no effect.",
    ),
    "RebootInstance": (
        "Restart an instance.",
        "The clients of its disks are disconnected, and may reconnect. It must be running.",
    ),
    "SetIpAddressType": (
        "Set the address type of an instance.",
        "This is stored and shown, but has no effect: Mooring runs no machines.",
    ),
    "StartInstance": (
        "Start an instance.",
        "The exports of its disks are opened again.",
    ),
    "StopInstance": (
        "Stop an instance.",
        "Its disks are flushed, and their exports closed.",
    ),
    "TagResource": (
        "Add tags to a disk, a snapshot or an instance.",
        "A tag has a key and optionally a value. An existing key gets the new value. "
        "A resource holds at most 50 tags.",
    ),
    "UntagResource": ("Remove tags by their keys.", "Keys that do not exist are ignored."),
    "UpdateInstanceMetadataOptions": (
        "Set how an instance's metadata can be read.",
        "This is stored and shown, but has no effect. Settings that are not given stay as they "
        "are.",
    ),
    "AllocateStaticIp": (
        "Create a static IP.",
        "The address is from a documentation range: Mooring has no network. A region can have 5.",
    ),
    "AttachStaticIp": (
        "Attach a static IP to an instance.",
        "The instance then shows it as its public address. Nothing is routed.",
    ),
    "CreateKeyPair": (
        "Create an SSH key pair.",
        "The reply holds the private key. It is not stored: save it, because you cannot get it "
        "again.",
    ),
    "DeleteKeyPair": (
        "Delete a key pair.",
        "Machines that have its public key keep it. For the default key pair, also give the "
        "fingerprint.",
    ),
    "DetachStaticIp": (
        "Detach a static IP from its instance.",
        "The instance shows its previous address again.",
    ),
    "DownloadDefaultKeyPair": (
        "Show the region's default key pair with its private key.",
        "It is created on the first request.",
    ),
    "GetKeyPair": (
        "Show one key pair.",
        "Its name, its tags and its fingerprint.",
    ),
    "GetKeyPairs": (
        "List all key pairs.",
        "Those of the region; the default one only on request.",
    ),
    "GetStaticIp": (
        "Show one static IP.",
        "Its address, and what it is attached to.",
    ),
    "GetStaticIps": (
        "List all static IPs.",
        "Those of the region.",
    ),
    "ImportKeyPair": (
        "Register the public key of your own key pair.",
        "It must be an RSA key.",
    ),
    "ReleaseStaticIp": (
        "Delete a static IP.",
        "If it is attached, it is detached first.",
    ),
    "GetAlarms": ("List alarms.", "There are none: the list is empty."),
    "GetBucketBundles": ("List bundles of buckets.", "There are none: the list is empty."),
    "GetBuckets": ("List buckets.", "There are none: the list is empty."),
    "GetCertificates": ("List certificates.", "There are none: the list is empty."),
    "GetCloudFormationStackRecords": ("List stacks.", "There are none: the list is empty."),
    "GetContactMethods": ("List contact methods.", "There are none: the list is empty."),
    "GetContainerAPIMetadata": ("List facts about containers.", "The list is empty."),
    "GetContainerServicePowers": (
        "List sizes of container services.",
        "There are none: the list is empty.",
    ),
    "GetContainerServices": ("List container services.", "There are none: the list is empty."),
    "GetDistributionBundles": (
        "List bundles of distributions.",
        "There are none: the list is empty.",
    ),
    "GetDistributionLatestCacheReset": (
        "Show when a distribution's cache was last reset.",
        "There are no distributions: the reply is empty.",
    ),
    "GetDistributions": ("List distributions.", "There are none: the list is empty."),
    "GetDomains": ("List domains.", "There are none: the list is empty."),
    "GetLoadBalancerTlsPolicies": ("List TLS policies.", "There are none: the list is empty."),
    "GetLoadBalancers": ("List load balancers.", "There are none: the list is empty."),
    "GetProfile": ("Show the account's profile.", "It is that of an account without a membership."),
    "GetRelationalDatabaseBlueprints": (
        "List blueprints of databases.",
        "There are none: the list is empty.",
    ),
    "GetRelationalDatabaseBundles": (
        "List bundles of databases.",
        "There are none: the list is empty.",
    ),
    "GetRelationalDatabaseSnapshots": (
        "List snapshots of databases.",
        "There are none: the list is empty.",
    ),
    "GetRelationalDatabases": ("List databases.", "There are none: the list is empty."),
    "GetSubdomains": ("List subdomains.", "There are none: the list is empty."),
}

MEMBERS: dict[str, str] = {
    "acceptBundleUpdate": "Change the bundle with the address type. Has no effect here.",
    "alarmName": "An alarm. There are none.",
    "bucketName": "A bucket. There are none.",
    "certificateName": "A certificate. There are none.",
    "certificateStatuses": "Show only certificates of these states. There are none.",
    "distributionName": "A distribution. There are none.",
    "fromPort": "The first port.",
    "toPort": "The last port.",
    "protocol": "The protocol: tcp, udp, icmp, icmpv6 or all.",
    "protocols": "Show only these kinds of contact methods. There are none.",
    "cidrs": "The ranges of IPv4 addresses that may connect. Default: all.",
    "ipv6Cidrs": "The ranges of IPv6 addresses that may connect. Default: all.",
    "cidrListAliases": "Names of ranges: lightsail-connect.",
    "httpEndpoint": "Whether metadata can be read: enabled or disabled.",
    "httpProtocolIpv6": "Whether it can be read over IPv6: enabled or disabled.",
    "httpPutResponseHopLimit": "How many hops away it can be read.",
    "httpTokens": "Whether a token is needed: optional or required.",
    "includeCertificateDetails": "Show details of certificates. There are none.",
    "includeConnectedResources": "Show what uses the buckets. There are none.",
    "includeCors": "Show the rules of the buckets. There are none.",
    "includeDefaultKeyPair": "Show the default key pair, too, if there is one.",
    "monitoredResourceName": "Show only alarms of this resource. There are none.",
    "newDiskName": "The name of the new disk.",
    "originalDiskPath": "The path that the disk had.",
    "portInfo": "The ports, as fromPort=...,toPort=...,protocol=...",
    "portInfos": "The ports, each as fromPort=...,toPort=...,protocol=...",
    "resourceType": "What the resource is: Instance.",
    "serviceName": "A container service. There are none.",
    "addOnRequest": "Which add-on, and its settings.",
    "addOns": "Add-ons to turn on with the disk.",
    "addOnType": "Which add-on.",
    "appCategory": "Show only this category.",
    "attributeUpdates": "Properties to change with the start.",
    "attachedDiskMapping": "Names for the new disks: for each new instance, which old path becomes "
    "which disk.",
    "autoMounting": "Whether to mount the disk. Stored, but has no effect here.",
    "autoSnapshotAddOnRequest": "When to take the daily snapshot.",
    "availabilityZone": "The zone: the region's name and a letter, such as us-east-2a.",
    "blueprintId": "The kind of instance: external or host.",
    "bundleId": "The size of instance, from get-bundles.",
    "customImageName": "An older name for an image. Not used.",
    "date": "The date of the automatic snapshot, as get-auto-snapshots lists it.",
    "diskName": "The name of the disk.",
    "diskPath": "The path under which the instance sees the disk, such as /dev/xvdf.",
    "diskSnapshotName": "The name of the snapshot.",
    "force": "Stop immediately, even if a client still uses a disk.",
    "forceDeleteAddOns": "Delete it even if add-ons are turned on.",
    "includeAvailabilityZones": "Show the zones of each region.",
    "includeHealthStatus": "Show the instance's health, too.",
    "includeInactive": "Also show what can no longer be chosen.",
    "includeRelationalDatabaseAvailabilityZones": "Show zones for databases. There are none.",
    "instanceName": "The name of the instance.",
    "instanceSnapshotName": "The name of the instance snapshot.",
    "instanceNames": "The names of the instances.",
    "ipAddressType": "The address type of the instance. Stored, but has no effect here.",
    "key": "The key of the tag.",
    "keyPairName": "The name of the key pair. On an instance it has no effect here.",
    "operationId": "The operation's id, as the command that started it printed it.",
    "expectedFingerprint": "The fingerprint of the default key pair, when deleting that.",
    "publicKeyBase64": "The public key: the line of a file such as ~/.ssh/id_rsa.pub.",
    "staticIpName": "The name of the static IP.",
    "pageToken": "The page to show: nextPageToken of the previous page.",
    "resourceArn": "The resource's ARN. The name is enough.",
    "resourceName": "The name of the disk, snapshot or instance.",
    "restoreDate": "The date of the automatic snapshot to use, as get-auto-snapshots lists it; "
    "of a day alone, the newest.",
    "sizeInGb": "The size in GB: 8 to 16384.",
    "snapshotTimeOfDay": "The full hour in UTC, such as 06:00.",
    "sourceSnapshotName": "The name of the snapshot, of a disk or of an instance.",
    "sourceInstanceName": "The instance whose automatic snapshot to use.",
    "sourceRegion": "The region of the snapshot to copy.",
    "sourceResourceName": "The disk or instance whose automatic snapshot to copy.",
    "sourceDiskName": "The disk whose automatic snapshot to use.",
    "subdomainName": "A subdomain. There are none.",
    "tagKeys": "The keys of the tags to remove.",
    "tags": "Tags for the new resource, as key=...,value=...",
    "useLatestRestorableAutoSnapshot": "Use the newest automatic snapshot of the source.",
    "targetSnapshotName": "The name of the copy.",
    "userData": "A script for the first start. Stored, but has no effect here.",
    "value": "The value of the tag.",
}

GLOBAL_OPTIONS: dict[str, str] = {
    "--output json|text|table|yaml|yaml-stream": "The output format. Default: json.",
    "--query EXPRESSION": "A JMESPath expression that selects from the output.",
    "--endpoint-url URL": "The server. Default: see FINDING THE SERVER in `mooring help`.",
    "--region NAME": "The region.",
    "--profile NAME": "The profile of ~/.aws/config and ~/.aws/credentials.",
    "--no-paginate": "Fetch the first page only.",
    "--color on|off|auto": "Colours in tables. Default: auto.",
    "--no-sign-request": "Send no signature.",
    "--no-verify-ssl": "Accept any certificate.",
    "--ca-bundle FILE": "Certificates to trust.",
    "--cli-read-timeout SECONDS": "How long to wait for a reply; 0: forever. Default: 60.",
    "--cli-connect-timeout SECONDS": "How long to wait for a connection; 0: forever. Default: 60.",
    "--debug": "Show on standard error what is sent and received.",
    "--version": "Print the version.",
}

INPUT_OPTIONS: dict[str, str] = {
    "--cli-input-json": "All parameters as JSON, or file://... . Other options override it.",
    "--cli-input-yaml": "The same as YAML.",
    "--starting-token": "The NextToken of an earlier reply, to continue from there.",
    "--max-items": "How many items to show at most; use NextToken to continue.",
    "--generate-cli-skeleton": "Send nothing; print an input to fill in (input, yaml-input), or a "
    "sample of the output (output).",
    "--wait": "Return when everything is done, with progress on a terminal. Exit code 255 if it "
    "failed.",
}

_NAMES = {
    "AllocateStaticIp": "--static-ip-name my-address",
    "AttachStaticIp": "--static-ip-name my-address --instance-name my-host",
    "CreateKeyPair": "--key-pair-name my-key",
    "DeleteKeyPair": "--key-pair-name my-key",
    "DetachStaticIp": "--static-ip-name my-address",
    "GetKeyPair": "--key-pair-name my-key",
    "GetKeyPairs": "--include-default-key-pair",
    "GetStaticIp": "--static-ip-name my-address",
    "ImportKeyPair": '--key-pair-name my-key --public-key-base64 "$(cat ~/.ssh/id_rsa.pub)"',
    "ReleaseStaticIp": "--static-ip-name my-address",
    "AttachDisk": "--disk-name my-disk --instance-name my-host --disk-path /dev/xvdf",
    "CloseInstancePublicPorts": "--instance-name my-host "
    "--port-info fromPort=22,toPort=22,protocol=tcp",
    "CopySnapshot": "--source-region us-east-2 --source-snapshot-name before-upgrade "
    "--target-snapshot-name before-upgrade --region us-west-2",
    "CreateDisk": "--disk-name my-disk --availability-zone us-east-2a --size-in-gb 8",
    "CreateDiskFromSnapshot": "--disk-name my-copy --disk-snapshot-name before-upgrade "
    "--availability-zone us-east-2a --size-in-gb 8",
    "CreateDiskSnapshot": "--disk-name my-disk --disk-snapshot-name before-upgrade",
    "CreateInstanceSnapshot": "--instance-name my-host --instance-snapshot-name all-disks",
    "CreateInstances": "--instance-names my-host --availability-zone us-east-2a "
    "--blueprint-id external --bundle-id nano_3_0",
    "CreateInstancesFromSnapshot": "--instance-names my-copy --instance-snapshot-name all-disks "
    "--availability-zone us-east-2a --bundle-id nano_3_0",
    "DeleteAutoSnapshot": "--resource-name my-disk --date 2026-11-24",
    "DeleteDisk": "--disk-name my-disk",
    "DeleteDiskSnapshot": "--disk-snapshot-name before-upgrade",
    "DeleteInstance": "--instance-name my-host",
    "DeleteInstanceSnapshot": "--instance-snapshot-name all-disks",
    "DetachDisk": "--disk-name my-disk",
    "DisableAddOn": "--resource-name my-disk --add-on-type AutoSnapshot",
    "EnableAddOn": "--resource-name my-disk --add-on-request "
    "addOnType=AutoSnapshot,autoSnapshotAddOnRequest={snapshotTimeOfDay=06:00}",
    "GetAutoSnapshots": "--resource-name my-disk",
    "GetDisk": "--disk-name my-disk",
    "GetDiskSnapshot": "--disk-snapshot-name before-upgrade",
    "GetInstance": "--instance-name my-host",
    "GetInstancePortStates": "--instance-name my-host",
    "ExportSnapshot": "--source-snapshot-name before-upgrade",
    "GetInstanceSnapshot": "--instance-snapshot-name all-disks",
    "GetInstanceState": "--instance-name my-host",
    "GetOperation": "--operation-id 7d1d3d3e-0b5c-4b0b-8c4b-5b1b2a3c4d5e",
    "GetOperationsForResource": "--resource-name my-disk",
    "GetRegions": "--include-availability-zones",
    "OpenInstancePublicPorts": "--instance-name my-host "
    "--port-info fromPort=22,toPort=22,protocol=tcp",
    "PutInstancePublicPorts": "--instance-name my-host "
    "--port-infos fromPort=80,toPort=80,protocol=tcp fromPort=443,toPort=443,protocol=tcp",
    "RebootInstance": "--instance-name my-host",
    "SetIpAddressType": "--resource-type Instance --resource-name my-host "
    "--ip-address-type dualstack",
    "UpdateInstanceMetadataOptions": "--instance-name my-host --http-tokens required",
    "StartInstance": "--instance-name my-host",
    "StopInstance": "--instance-name my-host",
    "TagResource": "--resource-name my-disk --tags key=team,value=storage key=keep",
    "UntagResource": "--resource-name my-disk --tag-keys team keep",
}

_FURTHER = {
    "CreateDiskSnapshot": [
        ("Wait until it is stored, and see the progress", "{first} --wait"),
        ("With tags", "{first} --tags key=reason,value=upgrade"),
        (
            "From a file",
            "create-disk-snapshot --generate-cli-skeleton > snapshot.json  # then fill it in\n"
            "mooring create-disk-snapshot --cli-input-json file://snapshot.json",
        ),
    ],
    "CreateKeyPair": [
        (
            "Only the private key",
            "{first} --query privateKeyBase64 --output text",
        ),
    ],
    "CreateInstancesFromSnapshot": [
        (
            "With your own name for a disk",
            "{first} --attached-disk-mapping "
            '\'{"my-copy":[{"originalDiskPath":"/dev/xvdf","newDiskName":"my-data"}]}\'',
        ),
    ],
    "GetDisks": [
        ("As a table", "get-disks --output table"),
        ("Only names and sizes", "get-disks --query 'disks[].[name,sizeInGb]' --output text"),
    ],
    "GetDiskSnapshots": [
        (
            "Those still being stored",
            "get-disk-snapshots --query \"diskSnapshots[?state=='pending'].[name,progress]\"",
        ),
    ],
}


def examples(operation: str, command: str) -> list[tuple[str, str]]:
    """Pairs of what an example does and the command line; the first is the plain call."""
    first = f"{command} {_NAMES.get(operation, '')}".strip()
    further = [
        (title, f"mooring {line.replace('{first}', first)}")
        for title, line in _FURTHER.get(operation, [])
    ]
    return [(OPERATIONS[operation][0].rstrip("."), f"mooring {first}"), *further]
