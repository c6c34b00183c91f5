"""A question about what ends by itself: certificates of the settings, and access keys."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.model.trouble import SOON_MS, TroubleKind
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.own.own_request import Answer


def ends(backend: Backend, context: Context, params: Params) -> Answer:
    """When this server's certificates and access keys end that do, the first first; whether soon,
    which is when people are told."""
    del context, params
    soon = backend.clock.now_ms() + SOON_MS
    found = [
        {
            "kind": "key" if kind is TroubleKind.KEY_ENDS else "certificate",
            "name": name,
            "endsAt": end_ms / 1000,
            "soon": end_ms < soon,
        }
        for kind, known in backend.ends().items()
        for name, end_ms in known.items()
    ]
    return {"ends": sorted(found, key=lambda one: (one["endsAt"], one["name"]))}
