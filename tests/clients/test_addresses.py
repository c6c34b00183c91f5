"""Static IPs and key pairs through boto3 and `aws`, as whole scripts use them."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from tests.clients.boto import Refused
from tests.clients.shapes import check_answer
from tests.clients.site import REGION, Site
from tests.clients.test_aws_command import answer, aws, refusal
from tests.service.ssh import ED25519_KEY, FINGERPRINT, PUBLIC_KEY

pytestmark = pytest.mark.full


def test_an_instance_gets_a_static_ip_and_gives_it_back(site: Site) -> None:
    web, address = site.instance(), site.fresh("address")
    site.call("AllocateStaticIp", staticIpName=address)
    try:
        attached = site.call("AttachStaticIp", staticIpName=address, instanceName=web)
        assert {one["status"] for one in attached["operations"]} == {"Succeeded"}
        assert attached["operations"][0]["location"] == {
            "availabilityZone": "all",
            "regionName": REGION,
        }
        one = site.call("GetStaticIp", staticIpName=address)["staticIp"]
        assert one in site.call("GetStaticIps")["staticIps"]
        shown = site.call("GetInstance", instanceName=web)["instance"]
        assert (shown["publicIpAddress"], shown["isStaticIp"]) == (one["ipAddress"], True)
        assert shown["sshKeyName"] == "LightsailDefaultKeyPair"
        site.call("DetachStaticIp", staticIpName=address)
        shown = site.call("GetInstance", instanceName=web)["instance"]
        assert shown["publicIpAddress"] != one["ipAddress"]
        assert shown["ipv6Addresses"][0].startswith("2001:db8:")
    finally:
        site.call("ReleaseStaticIp", staticIpName=address)


def test_the_commands_of_the_examples(site: Site) -> None:
    """allocate-static-ip and the others, as awscli's examples write them."""
    web, address = site.instance(), site.fresh("address")
    named = ["--static-ip-name", address]
    answer(site, "AllocateStaticIp", "allocate-static-ip", *named)
    try:
        pair = [*named, "--instance-name", web]
        answer(site, "AttachStaticIp", "attach-static-ip", *pair)
        one = answer(site, "GetStaticIp", "get-static-ip", *named)["staticIp"]
        assert (one["attachedTo"], one["isAttached"]) == (web, True)
        assert one in answer(site, "GetStaticIps", "get-static-ips")["staticIps"]
        query = ["--query", "instance.publicIpAddress", "--output", "text"]
        shown = aws(site, "get-instance", "--instance-name", web, *query).stdout.strip()
        assert shown == one["ipAddress"]
        answer(site, "DetachStaticIp", "detach-static-ip", *named)
        again = refusal(site, "detach-static-ip", *named)
        assert "(OperationFailureException)" in again
        assert f"{address} is not attached" in again
    finally:
        answer(site, "ReleaseStaticIp", "release-static-ip", *named)
    assert "The StaticIp does not exist" in refusal(site, "get-static-ip", *named)


def private_key_opens(private: str, public: str, folder: Path) -> bool:
    """Whether OpenSSH takes the private key for that of the public one."""
    file = folder / "key.pem"
    file.write_text(private)
    file.chmod(0o600)
    done = subprocess.run(
        ["ssh-keygen", "-y", "-P", "", "-f", file], capture_output=True, text=True, check=True
    )
    return done.stdout.split()[:2] == public.split()[:2]


@pytest.mark.requires("ssh-keygen")
def test_a_key_pair_is_made_and_used(site: Site, tmp_path: Path) -> None:
    key = site.fresh("key")
    made = answer(site, "CreateKeyPair", "create-key-pair", "--key-pair-name", key)
    assert private_key_opens(made["privateKeyBase64"], made["publicKeyBase64"], tmp_path)
    found = answer(site, "GetKeyPair", "get-key-pair", "--key-pair-name", key)["keyPair"]
    assert found["fingerprint"] == made["keyPair"]["fingerprint"]
    assert found in answer(site, "GetKeyPairs", "get-key-pairs")["keyPairs"]
    secret = made["privateKeyBase64"].split("\n")[5].encode()
    for file in site.server.data.rglob("*"):
        if file.is_file():
            assert secret not in file.read_bytes(), file
    answer(site, "DeleteKeyPair", "delete-key-pair", "--key-pair-name", key)
    assert "The KeyPair does not exist" in refusal(site, "get-key-pair", "--key-pair-name", key)


def test_a_key_pair_is_imported_from_a_file(site: Site, tmp_path: Path) -> None:
    (tmp_path / "id_rsa.pub").write_text(f"{PUBLIC_KEY}\n")
    key = site.fresh("key")
    given = ["--public-key-base64", f"file://{tmp_path}/id_rsa.pub"]
    answer(site, "ImportKeyPair", "import-key-pair", "--key-pair-name", key, *given)
    found = site.call("GetKeyPair", keyPairName=key)["keyPair"]
    assert found["fingerprint"] == FINGERPRINT
    with pytest.raises(Refused, match="must be of the type ssh-rsa"):
        site.call("ImportKeyPair", keyPairName=site.fresh("key"), publicKeyBase64=ED25519_KEY)
    site.call("DeleteKeyPair", keyPairName=key)


@pytest.mark.requires("ssh-keygen")
def test_the_default_key_pair_is_downloaded(site: Site, tmp_path: Path) -> None:
    first = answer(site, "DownloadDefaultKeyPair", "download-default-key-pair")
    assert private_key_opens(first["privateKeyBase64"], first["publicKeyBase64"], tmp_path)
    assert answer(site, "DownloadDefaultKeyPair", "download-default-key-pair") == first
    asked = aws(site, "get-key-pairs", "--include-default-key-pair").stdout
    assert check_answer("GetKeyPairs", asked) == []
    assert "LightsailDefaultKeyPair" in asked
    for file in (site.server.data / "default-key-pairs").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
