"""Blueprints and bundles: what is listed fits the API, and the rule for the rest."""

from __future__ import annotations

import pytest

from mooring.model.blueprints import (
    blueprint,
    blueprints,
    bundle,
    bundles,
    is_known_blueprint,
    is_known_bundle,
)
from mooring.protocol import service_model
from mooring.protocol.serialize import serialize_result

MODEL = service_model.load()


def test_what_is_listed_has_the_apis_shape() -> None:
    assert serialize_result(MODEL, "GetBlueprints", {"blueprints": blueprints()})
    assert serialize_result(MODEL, "GetBundles", {"bundles": bundles()})
    kinds = set(MODEL.shape("BlueprintType").enum)
    platforms = set(MODEL.shape("InstancePlatform").enum)
    assert {one["type"] for one in blueprints()} == kinds
    assert {one["platform"] for one in blueprints()} == platforms
    assert {name for one in bundles() for name in one["supportedPlatforms"]} == platforms


def test_ids_are_unique_and_known() -> None:
    blueprint_ids = [one["blueprintId"] for one in blueprints()]
    bundle_ids = [one["bundleId"] for one in bundles()]

    assert len(set(blueprint_ids)) == len(blueprint_ids) > 70
    assert len(set(bundle_ids)) == len(bundle_ids) > 100
    assert all(is_known_blueprint(one) and blueprint(one) for one in blueprint_ids)
    assert all(is_known_bundle(one) and bundle(one) for one in bundle_ids)


def test_the_facts_are_lightsails() -> None:
    assert blueprint("wordpress") == {
        "blueprintId": "wordpress",
        "name": "WordPress",
        "group": "wordpress",
        "type": "app",
        "isActive": True,
        "minPower": 0,
        "version": "6.5.3-0",
        "versionCode": "1",
        "platform": "LINUX_UNIX",
    }
    assert bundle("small_3_0") == {
        "price": 12.0,
        "cpuCount": 2,
        "diskSizeInGb": 60,
        "bundleId": "small_3_0",
        "instanceType": "small",
        "isActive": True,
        "name": "Small",
        "power": 1000,
        "ramSizeInGb": 2.0,
        "transferPerMonthInGb": 3072,
        "supportedPlatforms": ["LINUX_UNIX"],
        "publicIpv4AddressCount": 1,
    }


@pytest.mark.parametrize("name", ["external", "host"])
def test_our_own_are_listed(name: str) -> None:
    listed = blueprint(name)

    assert listed is not None
    assert listed["isActive"]
    assert bundle("external") is not None


@pytest.mark.parametrize(
    "name", ["ubuntu_26_04", "debian_13", "windows_server_2025", "wordpress_7_0", "alma_linux_10"]
)
def test_other_versions_of_what_is_listed_are_known(name: str) -> None:
    assert blueprint(name) is None
    assert is_known_blueprint(name)


@pytest.mark.parametrize(
    "name",
    ["", "no such", "plan9_4", "external_2", "host_1", "Ubuntu_24_04", "ubuntu-24-04", "ubuntu_",
     "ubuntu_24_04\n", "ubuntu__24", "../ubuntu", "ubuntu_24.04"],
)  # fmt: skip
def test_other_blueprints_are_unknown(name: str) -> None:
    assert not is_known_blueprint(name)


@pytest.mark.parametrize(
    "name", ["nano_4_0", "medium_win_2_2", "24xlarge_ipv6_3_0", "m_large_2_0", "gpu_nvidia_xl_1_0"]
)
def test_other_versions_of_bundles_are_known(name: str) -> None:
    assert bundle(name) is None
    assert is_known_bundle(name)


@pytest.mark.parametrize(
    "name", ["", "huge!", "huge_3_0", "nano", "nano_3", "nano_3_0_0", "x_large_1_0", "external_1"]
)
def test_other_bundles_are_unknown(name: str) -> None:
    assert not is_known_bundle(name)
