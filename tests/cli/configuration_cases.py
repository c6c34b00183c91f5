"""Command lines to compare whose configuration files and keys matter."""

from __future__ import annotations

from tests.cli.cases import DISKS, GET
from tests.cli.recording_server import answer
from tests.cli.runs import Case

KEYS = """\
[default]
aws_access_key_id=AKD
aws_secret_access_key=s
[two]
aws_access_key_id = AK2
aws_secret_access_key = s2
aws_session_token = t
[part]
aws_access_key_id=x
"""
CONFIG = """\
# a comment
[default]
region=us-east-1
endpoint_url={url}
output: text
[profile two]
region = eu-west-1
endpoint_url = {url}/two
[profile part]
region=a
endpoint_url={url}
[profile own]
aws_access_key_id=CFG
aws_secret_access_key=y
region=rr
endpoint_url={url}
[profile "a b"]
region=spaced
endpoint_url={url}
[profile sv]
services=mine
region=q
endpoint_url={url}/global
[profile sv2]
services=none
region=q
[profile sv3]
services=other
region=q
endpoint_url={url}/g3
[services mine]
lightsail =
  endpoint_url = {url}/svc

  foo = bar
s3 =
  endpoint_url = http://x
[services other]
s3 =
  endpoint_url = {url}/s3
[profile role]
role_arn=arn:aws:iam::1:role/x
source_profile=default
region=q
endpoint_url={url}
"""


def configuration() -> list[Case]:
    bare: dict[str, str | None] = dict.fromkeys(
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL")
    )
    keys = {"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "S"}
    files = {".aws/config": CONFIG, ".aws/credentials": KEYS}

    def case(line: list[str], environment: dict[str, str] | None = None, **more: str) -> Case:
        return Case(
            line,
            {**bare, **(environment or {})},
            {**files, **{f".aws/{name}": text for name, text in more.items()}},
            script=DISKS,
        )

    cases = [case(["get-disks"]), case(["get-disks", "--profile", "a b"], keys)]
    for name in ("two", "part", "own", "sv", "sv2", "sv3", "role", "nope"):
        cases.append(case(["get-disks", "--profile", name]))
        cases.append(case(["get-disks"], {"AWS_PROFILE": name}))
        cases.append(case(["get-disks"], {"AWS_PROFILE": name, **keys}))
        cases.append(case(["get-disks", "--profile", name], keys))
    cases += [
        case(["get-disks"], {"AWS_DEFAULT_PROFILE": "two", "AWS_PROFILE": "part"}),
        case(["get-disks"], {"AWS_DEFAULT_OUTPUT": "table", "AWS_DEFAULT_REGION": "zz"}),
        case(["get-disks"], {"AWS_PROFILE": "sv", **keys, "AWS_ENDPOINT_URL": "{url}/env"}),
        case(["get-disks", "--endpoint-url", "{url}/opt"], {"AWS_PROFILE": "sv", **keys}),
        case(
            ["get-disks", "--endpoint-url", "{url}/opt"],
            {**keys, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "TRUE"},
        ),
        case(["get-disks"], {"AWS_CONFIG_FILE": "$HOME/.aws/config"}),
        case(["get-disks"], {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}),
        case(["get-disks", "--generate-cli-skeleton", "--profile", "nope"]),
    ]
    usual = "[default]\nregion=a\nendpoint_url={url}\n"
    for extra in (
        "cli_timestamp_format=none", "cli_timestamp_format=wire", "cli_timestamp_format=iso8601",
        "cli_timestamp_format=foo", "cli_timestamp_format=", "output=nope", "output=yaml",
        "max_attempts=x", "retry_mode=standard", "ca_bundle=/nowhere", "cli_follow_urlparam=false",
        "region=again", "no delimiter", "[profile open", "   indented = 1",
        "credential_process = /bin/echo '{\"Version\":2}'",
    ):  # fmt: skip
        cases.append(case(["get-disks"], config=f"{usual}{extra}\n"))
        cases.append(case(["get-disks", "--output", "text"], config=f"{usual}{extra}\n"))
    for process in (
        '/bin/echo \'{"Version":1,"AccessKeyId":"P","SecretAccessKey":"s"}\'',
        "/bin/echo '{\"Version\":2}'",
        "/bin/echo '{\"Version\":1}'",
        "/bin/sh -c 'echo bad >&2; exit 3'",
    ):
        text = f"{usual}credential_process = {process}\n"
        cases.append(case(["get-disks"], config=text, credentials=""))
    cases.append(
        case(
            ["get-disks"],
            {"TZ": "America/New_York"},
            config=f"{usual}cli_timestamp_format=iso8601\n",
        )
    )
    cases.append(case(["get-disks"], config="", credentials=f"{KEYS}region=c\n"))
    cases.append(
        case(["get-disk", "--disk-name", "http://x"], config=f"{usual}cli_follow_urlparam=false\n")
    )
    return cases


def credentials() -> list[Case]:
    """Keys that come from programs, expire, are not keys at all, or stand twice in files."""
    none: dict[str, str | None] = dict.fromkeys(
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
    )
    usual = "[default]\nregion=a\n"
    keys = "aws_access_key_id=AK\naws_secret_access_key=s\n"
    process = f"{usual}credential_process = /bin/cat keys.json\n"

    def case(config: str, stored: str = "", told: str = "", **environment: str) -> Case:
        files = {".aws/config": config, ".aws/credentials": stored, "keys.json": told}
        return Case(GET, {**none, **environment}, files)

    cases = []
    for more in (
        "", ',"Expiration":"2019-01-22T11:48:09Z"', ',"Expiration":"2119-01-22T11:48:09Z"',
        ',"Expiration":"2119-01-22T11:48:09+0530"', ',"Expiration":"soon"', ',"Expiration":null',
        ',"Expiration":"2119-01-22T11:48:09.123456Z"', ',"Expiration":5', ',"Expiration":""',
        ',"Expiration":"Tue, 22 Jan 2019 11:48:09 GMT"', ',"SessionToken":"t"',
        ',"SessionToken":null', ',"AccountId":"1"', ',"Expiration":"2119-01-22T11:48:09"',
        ',"SecretAccessKey":null', ',"AccessKeyId":5', ',"SessionToken":"a\\r\\nX-Injected: 1"',
    ):  # fmt: skip
        text = f'{{"Version":1,"AccessKeyId":"P","SecretAccessKey":"s"{more}}}'
        cases += [case(process, told=text), case(process, told=f"\ufeff{text}")]
    cases += [
        case(process, told=text)
        for text in ("[]", "1", "null", '"x"', "", '{"Version":"1"}', '{"Version":1.0}', "{")
    ]
    for command in ("/nowhere/program", "/etc/passwd", "/bin/echo 'open", "~/x", "/bin/true", ""):
        cases.append(case(f"{usual}credential_process = {command}\n"))
    for moment in (
        "2019-01-01T00:00:00Z", "2119-01-01T00:00:00Z", "soon", "", "2119-01-01T00:00:00", "x" * 40,
    ):  # fmt: skip
        environment = {"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "s"}
        cases.append(case(usual, AWS_CREDENTIAL_EXPIRATION=moment, **environment))
        cases.append(case(usual + keys, AWS_CREDENTIAL_EXPIRATION=moment))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"):
        for value in ("key\r", "key\n", "a\r\nX-Injected: 1", "a\tb"):
            environment = {"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "s", name: value}
            cases.append(case(usual, **environment))
    for setting in (
        "sso_account_id = 1", "sso_role_name = r", "sso_session = s", "sso_start_url = u",
        "login_session = l", "web_identity_token_file = f", "role_arn = r",
    ):  # fmt: skip
        cases += [
            case(f"{usual}{setting}\n"),
            case(f"{usual}{setting}\n", f"[default]\n{keys}"),
            case(f"{usual}{setting}\n{keys}"),
        ]
    cases.append(case(usual + keys, AWS_WEB_IDENTITY_TOKEN_FILE="f"))
    cases.append(case(usual + keys, AWS_WEB_IDENTITY_TOKEN_FILE=""))
    for config in (
        f"[DEFAULT]\nregion = b\n{usual}{keys}",
        f"{usual}{keys}[DEFAULT]\nregion = b\noutput = text\n",
        f"[DEFAULT]\n{keys}[default]\nregion = c\n",
        f"[default]\nregion=a\n{keys}[profile default]\nregion=b\naws_access_key_id=B\n"
        "aws_secret_access_key=s\n",
        f"[profile default]\nregion=a\n{keys}[default]\nregion=b\naws_access_key_id=B\n"
        "aws_secret_access_key=s\n",
        f"{usual}{keys}[services s]\ns3 =\n  broken\n",
        f"{usual}{keys}parameter_validation = false\n",
        f"{usual}{keys}endpoint_url =\n  a = b\n",
        f"{usual}{keys}region2 =\n  a = b\n",
    ):
        stored = f"[DEFAULT]\naws_session_token = t\n[default]\n{keys}"
        cases += [case(config), case(config, stored)]
    flat = f"{usual}{keys}services = s\n[services s]\nlightsail = x\n"
    cases.append(Case(GET, {**none, "AWS_ENDPOINT_URL": None}, {".aws/config": flat}))
    unchecked = f"{usual}{keys}parameter_validation = "
    for setting in ("false", "False", "no", "true", "TRUE", ""):
        bad = '{"diskName": 5, "nope": [null]}'
        for line in (
            ["get-disk", "--cli-input-json", bad],
            ["get-disk", "--cli-input-json", bad, "--generate-cli-skeleton", "output"],
        ):
            files = {".aws/config": f"{unchecked}{setting}\n"}
            cases.append(Case(line, none, files))
    return cases


def surroundings() -> list[Case]:
    """Streams that cannot be written or have another encoding, and proxies for other hosts."""
    words = [answer({"disk": {"name": "caf\u00e9 \u91ce \U0001f6a8", "state": "available"}})]
    forms = ("json", "text", "table")
    cases = [
        Case([*GET, "--output", form], script=words, encoding=encoding)
        for form in forms
        for encoding in ("ascii", "latin-1", "utf-8", "utf-16")
    ]
    cases += [
        Case([*GET, "--output", form], script=words, output=output)
        for form in forms
        for output in ("full", "closed")
    ]
    for name in ("NO_PROXY", "no_proxy"):
        proxies: dict[str, str | None] = {"HTTP_PROXY": "http://127.0.0.1:1", name: "127.0.0.1"}
        cases.append(Case(GET, proxies))
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "HTTPS_PROXY"):
        cases.append(Case(GET, {name: "/nowhere"}))
    return cases


GROUPS = {
    "configuration": configuration,
    "credentials": credentials,
    "surroundings": surroundings,
}
