"""Lists of what Mooring does not keep: always empty.

So clients that list everything, before they clean up for example, go on.
"""

from __future__ import annotations

from collections.abc import Callable

from mooring.service import pages
from mooring.service.backend import Backend, Call, Result

LISTS = {
    "GetAlarms": "alarms",
    "GetBuckets": "buckets",
    "GetCertificates": "certificates",
    "GetCloudFormationStackRecords": "cloudFormationStackRecords",
    "GetContactMethods": "contactMethods",
    "GetContainerServices": "containerServices",
    "GetDistributions": "distributions",
    "GetDomains": "domains",
    "GetLoadBalancers": "loadBalancers",
    "GetRelationalDatabaseSnapshots": "relationalDatabaseSnapshots",
    "GetRelationalDatabases": "relationalDatabases",
}
"""The operations, and the member of the answer that has the list."""


def empty(key: str) -> Callable[[Backend, Call], Result]:
    """The function that answers with an empty list."""

    def answer(_backend: Backend, call: Call) -> Result:
        pages.read_text(call.params.get("pageToken"))
        return {key: []}

    return answer
