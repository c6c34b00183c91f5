"""Replies about what Mooring does not have: always empty.

So clients that list everything, before they clean up for example, continue. Each operation is here
that gets something, is not served, and needs no argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mooring.backend.backend import Backend
from mooring.service.answers import pages
from mooring.service.call import Call, Result

LISTS = {
    "GetAlarms": "alarms",
    "GetBucketBundles": "bundles",
    "GetBuckets": "buckets",
    "GetCertificates": "certificates",
    "GetCloudFormationStackRecords": "cloudFormationStackRecords",
    "GetContactMethods": "contactMethods",
    "GetContainerAPIMetadata": "metadata",
    "GetContainerServicePowers": "powers",
    "GetContainerServices": "containerServices",
    "GetDistributionBundles": "bundles",
    "GetDistributions": "distributions",
    "GetDomains": "domains",
    "GetLoadBalancerTlsPolicies": "tlsPolicies",
    "GetLoadBalancers": "loadBalancers",
    "GetRelationalDatabaseBlueprints": "blueprints",
    "GetRelationalDatabaseBundles": "bundles",
    "GetRelationalDatabaseSnapshots": "relationalDatabaseSnapshots",
    "GetRelationalDatabases": "relationalDatabases",
    "GetSubdomains": "subdomains",
}
"""The operations that list something, and the member of the answer that has the list."""

NOTHING: Mapping[str, Mapping[str, str]] = {
    "GetDistributionLatestCacheReset": {},
    "GetProfile": {"profileType": "Lightsailor"},
}
"""The operations that tell of one thing, and what there is to tell without it."""


def empty(answer: Mapping[str, Any]) -> Callable[[Backend, Call], Result]:
    """The function that gives that answer, to whatever page is asked for."""

    def tell(_backend: Backend, call: Call) -> Result:
        pages.read_text(call.params.get("pageToken"))
        return dict(answer)

    return tell
