"""Writes the settings of a server that shares a catalog."""

from __future__ import annotations

import json
from dataclasses import fields
from itertools import groupby
from pathlib import Path

from mooring.admin.cluster import listening
from mooring.backend.private_file import write_private
from mooring.config.load import load
from mooring.config.settings import Region, Settings
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths


def settings_file(settings: Settings, named: Path | None) -> Path:
    """Where the settings are to be. Raises ConfigurationError if something is there."""
    file = Paths(settings.data_directory).settings if named is None else named
    if file.exists():
        raise ConfigurationError(
            f"{file} exists: name another file with --to, or move it away if it is not needed"
        )
    return file.absolute()


def write_settings(file: Path, settings: Settings) -> None:
    """Write them for this user alone: the database's URL may have a password."""
    lines = [
        "# Written by mooringd. All settings: docs/configuration.md",
        f"data = {_text(str(settings.data_directory.absolute()))}",
        f"name = {_text(settings.name)}",
        f"catalog = {_text(settings.catalog)}",
    ]
    for table, found in groupby(listening.lines(settings), key=lambda one: one[0]):
        lines += ["", f"[{table}]", *(f"{name} = {_text(value)}" for _, name, value in found)]
    if settings.s3 != Settings().s3:
        lines += ["", "[s3]"]
        lines += [
            f"{one.name} = {_text(getattr(settings.s3, one.name))}" for one in fields(settings.s3)
        ]
    for name, region in settings.regions.items():
        lines += ["", f"[regions.{name}]", *_lines(region)]
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, "\n".join(lines) + "\n")
        # What was written is what will be read.
        load(str(file))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from error


def _lines(region: Region) -> list[str]:
    zones = ", ".join(_text(zone) for zone in region.zones)
    texts = {"vault": region.vault, "key_file": region.key_file, "replica": region.replica}
    return [
        f"zones = [{zones}]",
        *(f"{name} = {_text(value)}" for name, value in texts.items() if value),
    ]


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
