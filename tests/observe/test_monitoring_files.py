"""Alert rules do as they say; they and the dashboard use metrics that exist."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

import mooring.observe.alarms
import mooring.observe.metrics
from tests.conftest import CHECKOUT

FOLDER = CHECKOUT / "monitoring"
RULES, DASHBOARD = FOLDER / "alerts.yml", FOLDER / "grafana.json"
DOCUMENT = CHECKOUT / "docs" / "monitoring.md"


def metrics() -> set[str]:
    """The names of all series that there can be."""
    found = set()
    for family in REGISTRY.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        found |= {family.name + suffix for suffix in suffixes.get(family.type, [""])}
    return {name for name in found if name.startswith("mooring_")}


def named(text: str) -> set[str]:
    return set(re.findall(r"\bmooring_[a-z_]+[a-z]", text))


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def panels() -> Iterator[dict[str, Any]]:
    yield from json.loads(DASHBOARD.read_text())["panels"]


def test_rules_ask_for_metrics_that_exist_and_say_what_to_do() -> None:
    for rule in rules():
        assert named(rule["expr"]) <= metrics(), rule["alert"]
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"].keys() == {"summary", "description"}


def test_each_rule_is_tested_to_fire_and_to_be_quiet() -> None:
    tests = yaml.safe_load(RULES.with_name("alerts.test.yml").read_text())["tests"]
    asked = [one for test in tests for one in test["alert_rule_test"]]
    fires = {one["alertname"] for one in asked if one.get("exp_alerts")}
    quiet = {one["alertname"] for one in asked if not one.get("exp_alerts")}
    names = {rule["alert"] for rule in rules()}

    assert fires == names
    assert names - quiet <= {"MooringInstanceSnapshotLate"}


@pytest.mark.requires("promtool")
@pytest.mark.parametrize(
    "words", [["check", "rules", RULES.name], ["test", "rules", "alerts.test.yml"]]
)
def test_promtool_finds_the_rules_right(words: list[str]) -> None:
    done = subprocess.run(
        ["promtool", *words], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    for panel in panels():
        for target in panel["targets"]:
            names = named(target["expr"])
            assert names, panel["title"]
            assert names <= metrics(), panel["title"]
            assert "$instance" in target["expr"], panel["title"]


def test_panels_have_places_of_their_own_and_titles() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels():
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24
                assert (x, y) not in taken, (panel["title"], taken.get((x, y)))
                taken[x, y] = panel["title"]
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    assert all(panel["title"] for panel in panels())


@pytest.mark.requires("promtool")
def test_what_is_served_is_as_prometheus_wants_it() -> None:
    text = mooring.observe.metrics.text()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    complaints = done.stdout.decode() + done.stderr.decode()
    ours = [line for line in complaints.splitlines() if line.startswith("mooring_")]
    assert not ours


def test_the_document_names_metrics_that_exist() -> None:
    text = DOCUMENT.read_text()
    table = [line for line in text.splitlines() if line.startswith("| `mooring_")]
    names = {name for line in table for name in named(line.split("|")[1]) if "..." not in name}

    assert names - {"mooring_instance_auto_snapshot"} <= metrics()
    assert named(RULES.read_text()) - names <= {
        "mooring_instance_auto_snapshot_due_timestamp_seconds",
        "mooring_instance_auto_snapshot_failures",
        "mooring_file_system_size_bytes",
    }


def test_files_are_whole() -> None:
    assert {one.name for one in Path(FOLDER).iterdir()} == {
        "alerts.yml",
        "alerts.test.yml",
        "grafana.json",
    }
