"""Reading the settings from a TOML file."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from mooring.config.check import check
from mooring.config.settings import CephSettings, InstanceSettings, Region, Settings
from mooring.model.errors import ConfigurationError


def load(path: str | None, data: str | None = None) -> Settings:
    """Read and check the settings; without a path all defaults. `data` wins over the file's.

    Raises ConfigurationError, which names the file, the setting and the way out.
    """
    table: dict[str, Any] = {}
    if path is not None:
        try:
            table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} is not a TOML file: {error}") from error
    try:
        settings = read_settings(table)
        if data is not None:
            settings = replace(settings, data=data)
        check(settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}" if path else str(error)) from None
    return settings


def read_settings(table: Mapping[str, Any]) -> Settings:
    """The defaults with what the table sets, not yet checked. Raises ConfigurationError."""
    table = dict(table)
    regions = table.pop("regions", None)
    instances = table.pop("instances", {})
    ceph = table.pop("ceph", {})
    settings: Settings = _read(Settings(), table, "")
    if not isinstance(instances, dict):
        raise ConfigurationError("instances must be tables, for example [instances.web-1]")
    if not isinstance(ceph, dict):
        raise ConfigurationError("ceph must be tables, for example [ceph.us-east-2a]")
    settings = replace(
        settings,
        ceph={zone: _read(CephSettings(), place, f"ceph.{zone}.") for zone, place in ceph.items()},
        instances={
            name: _read(InstanceSettings(), instance, f"instances.{name}.")
            for name, instance in instances.items()
        },
    )
    if regions is None:
        return settings
    if not isinstance(regions, dict) or not regions:
        raise ConfigurationError("regions must be tables, for example [regions.us-east-2]")
    read = {name: _read(Region(), region, f"regions.{name}.") for name, region in regions.items()}
    return replace(settings, regions=read)


def _read(default: Any, table: Any, prefix: str) -> Any:
    """The default with what the table sets."""
    if not isinstance(table, dict):
        raise ConfigurationError(f"{prefix.rstrip('.')} must be a table: [{prefix.rstrip('.')}]")
    known = {one.name: getattr(default, one.name) for one in fields(default)}
    values = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigurationError(_unknown(prefix, key, list(known)))
        if is_dataclass(known[key]):
            values[key] = _read(known[key], value, f"{prefix}{key}.")
        else:
            values[key] = _checked_type(prefix + key, value, known[key])
    return replace(default, **values)


def _unknown(prefix: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    names = ", ".join(prefix + name for name in near or known)
    hint = f"did you mean {names}?" if near else f"known here: {names}"
    return f"there is no setting {prefix}{key}; {hint}"


_TYPES = {
    str: "a string",
    bool: "a boolean, true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
}


def _checked_type(key: str, value: Any, default: Any) -> Any:
    wanted = type(default)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        name = _TYPES[wanted]
        raise ConfigurationError(f"{key} must be {name}, not {value!r}")
    if wanted is list and not all(isinstance(one, str) for one in value):
        raise ConfigurationError(f"{key} must be a list of strings, not {value!r}")
    return value
