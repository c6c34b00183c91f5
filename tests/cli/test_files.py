"""The configuration files' grammar is that of configparser, names those of botocore."""

from __future__ import annotations

import configparser
import json

from botocore import xform_name
from botocore.configloader import _parse_nested
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.cli.connection import ini
from mooring.cli.input.names import command_name, operation_name, option_name
from mooring.protocol import service_model

PIECES = st.sampled_from(
    ["[default]", "[profile x]", "[DEFAULT]", "[a] junk", "[]", "[a]b]", "key", "Key", "value", "=",
     ":", " = ", "#", ";", " ", "  ", "\t", "\n", "\n", "\n", "é", "%(key)s", "'q'", "a=b", "x : y"]
)  # fmt: skip


def expected(text: str) -> ini.Sections | None:
    reader = configparser.RawConfigParser()
    try:
        reader.read_string(text)
        return {
            name: {
                option: _parse_nested(value) if value.startswith("\n") else value
                for option, value in reader.items(name)
            }
            for name in reader.sections()
        }
    except (configparser.Error, ValueError):
        return None


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_files_are_read_as_configparser_reads_them(text: str) -> None:
    try:
        found = ini.parse(text)
    except ValueError:
        found = None

    assert found == expected(text)


def test_a_file_that_is_not_there(tmp_path: object) -> None:
    assert ini.read(f"{tmp_path}/nothing") is None


def test_names_are_those_of_botocore() -> None:
    model = service_model.load()
    for name, operation in model.operations.items():
        assert command_name(name) == xform_name(name, "-")
        assert operation_name(command_name(name)) == name
        for member in model.shape(operation.input).members:
            assert option_name(member) == xform_name(member, "-")
    assert json.dumps(sorted(model.unserved))  # names only
    for name in model.unserved:
        if operation_name(xform_name(name, "-")) != name:
            # Refused as unknown rather than as not served: still refused.
            assert name not in model.operations
