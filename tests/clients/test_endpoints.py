"""Endpoints with a path of their own, and clients that post to the model's."""

from __future__ import annotations

import json
import subprocess

import pytest

from mooring.admin.demo.server import client_program
from tests.clients.javascript import JavaScript, why_missing
from tests.clients.site import REGION, Site

pytestmark = pytest.mark.full

ENDPOINTS = ["/", "//", "/lightsail", "/behind/a/proxy/", "//a//b/"]


@pytest.mark.parametrize("path", ENDPOINTS)
def test_boto3_and_aws_find_the_server_behind_a_path(site: Site, path: str) -> None:
    endpoint = site.url + path
    regions = site.boto.reply("GetRegions", {}, client={"endpoint": endpoint}).get()["regions"]
    shown = subprocess.run(
        [client_program("aws"), "lightsail", "get-regions", "--endpoint-url", endpoint],
        env=site.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert REGION in [one["name"] for one in regions]
    assert REGION in [one["name"] for one in json.loads(shown.stdout)["regions"]]


@pytest.mark.skipif(bool(why_missing()), reason=why_missing() or "it is there")
def test_javascript_finds_the_server_behind_a_path(site: Site) -> None:
    js = JavaScript(site.environment)
    try:
        for path in ENDPOINTS:
            reply = js.ask("GetRegions", client={"endpoint": site.url + path})
            assert REGION in [one["name"] for one in reply["result"]["regions"]], path
    finally:
        js.close()


@pytest.mark.requires("curl")
@pytest.mark.parametrize("path", ["/ls/api/2016-11-28/GetRegions", "//", "/a%20b"])
def test_curl_signs_and_posts_to_the_paths_of_the_model(site: Site, path: str) -> None:
    user = f"{site.environment['AWS_ACCESS_KEY_ID']}:{site.environment['AWS_SECRET_ACCESS_KEY']}"
    done = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--fail-with-body"),
            *("--aws-sigv4", f"aws:amz:{REGION}:lightsail", "--user", user),
            *("--header", "Content-Type: application/x-amz-json-1.1"),
            *("--header", "X-Amz-Target: Lightsail_20161128.GetRegions"),
            *("--data", "{}", site.url + path),
        ],
        env=site.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert REGION in [one["name"] for one in json.loads(done.stdout)["regions"]]
