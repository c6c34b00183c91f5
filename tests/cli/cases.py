"""Command lines picked by hand for the comparison with aws."""

from __future__ import annotations

import base64
import json
from typing import Any

from mooring.cli.input.names import command_names
from tests.cli.recording_server import Scripted, answer
from tests.cli.runs import CHECKOUT, Case

MODEL = CHECKOUT / "src" / "mooring" / "protocol" / "service_model.json"

DISKS = [
    answer(
        {
            "disks": [
                {
                    "name": "a",
                    "createdAt": 1569625129.739,
                    "sizeInGb": 8,
                    "isAttached": False,
                    "location": {"regionName": "us-west-2", "availabilityZone": "us-west-2a"},
                    "tags": [{"key": "k", "value": "é漢"}, {"key": "only"}],
                },
                {"name": "b", "createdAt": 1569625129, "unheardOf": 1, "tags": []},
            ]
        }
    )
]
PAGES = [
    answer({"disks": [{"name": "a"}, {"name": "b"}, {"name": "c"}], "nextPageToken": "t1"}),
    answer({"disks": [{"name": "d"}], "nextPageToken": "t2"}),
    answer({"nextPageToken": "t3"}),
    answer({"disks": [{"name": "e"}, {"name": "f"}]}),
]
OPERATION = [
    answer(
        {
            "operations": [
                {
                    "id": "fa74c6d2",
                    "resourceName": "D",
                    "createdAt": 1569625129.739,
                    "isTerminal": False,
                    "location": {"availabilityZone": "all", "regionName": "us-west-2"},
                }
            ]
        }
    )
]
OUTPUTS = ["json", "text", "table"]
SNAPSHOT = ["create-disk-snapshot", "--disk-snapshot-name", "x"]
GET = ["get-disk", "--disk-name", "x"]


def token(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def failing(status: int, body: Any) -> list[Scripted]:
    return [Scripted(status, body if isinstance(body, bytes) else json.dumps(body).encode())]


def usage() -> list[Case]:
    lines = [
        ["create-disk-snapshot"],
        ["create-disk-snapshot", "--disk-name"],
        ["create-disk-snapshot", "--disk-name", "-x", "--disk-snapshot-name", "y"],
        ["create-disk-snapshot", "--bogus", "x"],
        [*SNAPSHOT, "--bogus", "x", "stray"],
        ["create-disk-snapshot", "--disk-snap", "y", "--disk-nam", "z"],
        ["create-disk-snapshot", "--disk", "y"],
        ["create-disk-snapshot", "--disk-snapshot-name=y", "--disk-name=", "--tags="],
        ["create-disk-snapshot", "--disk-snapshot-name", "y", "--disk-snapshot-name", "z"],
        ["create-disk-snapshott"],
        ["create-disk", "help", "me"],
        ["get-disks", "x"],
        ["get-disks", "--page-size", "1"],
        ["get-disks", "--"],
        ["get-disks", "--", "x"],
        ["get-disks", "-x"],
        ["get-disks", "-1"],
        ["--bogus", "x", "get-disks"],
        ["--region", "eu-west-1", "get-disks"],
        ["--region", "eu-west-1", "--output", "text", "get-disks", "--region", "eu-west-2"],
        ["get-disks", "--re", "eu-west-3"],
        ["get-disks", "--c", "x"],
        ["get-disks", "--no-p"],
        ["get-disks", "--no"],
        ["get-disks", "--output", "bad"],
        ["get-disks", "--output"],
        ["get-disks", "--color", "pink"],
        ["get-disks", "--debug=1"],
        ["get-disks", "help"],
        ["delete-disk", "--disk-name", "x", "--force-delete-add-ons"],
        ["delete-disk", "--disk-name", "x", "--force-delete-add-ons", "--no-force-delete-add-ons"],
        ["delete-disk", "--disk-name", "x", "--no-force-delete-add-ons", "--force-delete-add-ons"],
        ["delete-disk", "--disk-name", "x", "--force"],
        ["create-disk", "--disk-name", "x", "--availability-zone", "z", "--size-in-gb", "abc"],
        ["create-disk", "--disk-name", "x", "--availability-zone", "z", "--size-in-gb", " 5_0 "],
        ["create-disk", "--disk-name", "x", "--availability-zone", "z", "--size-in-gb", "-5"],
        ["create-disk", "--disk-name", "x", "--availability-zone", "z", "--size-in-gb", "9" * 40],
        ["create-instances", "--instance-names"],
        ["create-domain", "--domain-name", "x"],
        ["get-disks", "--v2-debug"],
        ["get-disk", "--disk-name", ""],
        ["get-disk", "--disk-name", " "],
        ["get-disk", "--disk-name", "é漢😀"],
        ["untag-resource", "--resource-name", "r", "--tag-keys", "a", "b", "--tag-keys", "c"],
        ["untag-resource", "--resource-name", "r", "--tag-keys", '["a", "b"]'],
        ["untag-resource", "--resource-name", "r", "--tag-keys", "[bad"],
        ["untag-resource", "--resource-name", "r", "--tag-keys", " [1, null]"],
        ["untag-resource", "--resource-name", "r", "--tag-keys", ""],
    ]
    return [Case(line) for line in lines]


def output() -> list[Case]:
    queries = ["disks[].name", "nothing", "disks[0]", "disks[].tags", "disks[].[name,sizeInGb]",
               "length(disks)", "disks[0].tags[0]", "[]", "{}", "disks[].tags[]",
               "disks[?name=='b']", "disks[].{n:name,t:tags}", "disks[0].name",
               "disks[0].isAttached",
               "`[]`", "`{}`",
               "`[[1,2],[3]]`", "`[1,[2],{\"a\":3}]`", "`\"x\"`", "disks[*].location"]  # fmt: skip
    cases = []
    for form in OUTPUTS:
        cases.append(Case(["get-disks", "--output", form], script=DISKS))
        cases.append(Case([*SNAPSHOT, "--output", form], script=OPERATION))
        cases.append(Case([*GET, "--output", form]))
        cases += [
            Case(["get-disks", "--output", form, "--query", query], script=DISKS)
            for query in queries
        ]
    cases += [
        Case(["get-disks", "--query", query], script=DISKS)
        for query in [
            "operations[[",
            "",
            "a b",
            "length(@",
            "length(`1`)",
            "nofunc(@)",
            "é",
            "a.*[",
        ]
    ]
    cases.append(Case(["get-disks", "--output", "table", "--color", "on"], script=DISKS))
    cases.append(Case(["get-disks", "--output", "table", "--color", "off"], script=DISKS))
    return cases


def pages() -> list[Case]:
    options = [
        [],
        *(["--max-items", str(limit)] for limit in (1, 3, 4, 5, 6, 0, -1)),
        ["--no-paginate"],
        ["--page-token", "q"],
        ["--max-items", "2", "--query", "disks[].name"],
        ["--starting-token", "t0"],
        ["--starting-token", token({"pageToken": "t0", "boto_truncate_amount": 2})],
        [
            "--starting-token",
            token({"pageToken": None, "boto_truncate_amount": 1}),
            "--max-items",
            "1",
        ],
        ["--starting-token", "a___1"],
        ["--starting-token", "a___b"],
        ["--starting-token", "a___b___c"],
        ["--starting-token", "None"],
        ["--starting-token", "None___2"],
        ["--no-paginate", "--max-items", "3"],
        ["--no-paginate", "--starting-token", "3", "--max-items", "0"],
        ["--page-token", "x", "--max-items", "3"],
        ["--max-items", "x"],
    ]
    cases = [
        Case(["get-disks", "--output", form, *line], script=PAGES)
        for form in OUTPUTS
        for line in options
    ]
    endless = [answer({"disks": [{"name": "x"}], "nextPageToken": "same"})]
    cases += [Case(["get-disks", "--output", form], script=endless) for form in OUTPUTS]
    late = [*PAGES[:1], *failing(400, {"__type": "NotFoundException", "message": "gone"})]
    cases += [Case(["get-disks", "--output", form], script=late) for form in OUTPUTS]
    cases += [
        Case(["get-disks", "--cli-input-json", text], script=PAGES)
        for text in ['{"pageToken":"z"}', '{"PaginationConfig":{"MaxItems":1}}']
    ]
    cases.append(Case(["get-operations-for-resource", "--resource-name", "r", "--max-items", "1"]))
    cases.append(Case(["get-operations-for-resource", "--resource-name", "r", "--page-token", "1"]))
    return cases


def service_errors() -> list[Case]:
    replies: list[tuple[int, Any]] = [
        (400, {"__type": "NotFoundException", "message": "The Disk does not exist: D"}),
        (400, {"__type": "a.b#NotFoundException:http://x", "Message": "M"}),
        (400, {"__type": "X#Y#Z", "message": "é漢"}),
        (400, b""), (400, b"junk"), (400, b"[1]"), (400, {"__type": None, "message": None}),
        (404, b"<html>"), (500, b""), (500, b"<html>x"), (502, b"Bad Gateway"),
        (500, {"__type": "X", "message": "m"}), (503, {"message": "m"}), (504, b""), (509, b"{}"),
        (429, {"__type": "Slow", "message": "m"}), (400, {"__type": "Throttling", "message": "m"}),
        (400, {"__type": "ThrottlingException", "message": "slow"}), (403, {"code": "x"}),
        (301, b""), (300, b"{}"), (302, b"x"), (418, b""), (599, b""),
        (200, b"junk"), (200, b""), (200, b"[1]"), (204, b""), (201, {"disks": []}),
        (200, {"disks": 5}), (200, {"disks": [None, {"name": None}]}), (200, {"disks": [5]}),
        (200, {"disks": "ab"}), (200, b"\xff\xfe"), (400, b"\xff"),
    ]  # fmt: skip
    cases = [Case(["get-disks"], script=failing(*reply)) for reply in replies]
    cases.append(Case(SNAPSHOT, script=failing(500, b"{}"), environment={"AWS_MAX_ATTEMPTS": "2"}))
    cases.append(
        Case(
            SNAPSHOT,
            script=[*failing(503, b""), *OPERATION],
            environment={"AWS_MAX_ATTEMPTS": "2"},
        )
    )
    return cases


def endpoints() -> list[Case]:
    urls = ["foo", "foo:80", "http://127.0.0.1:1", "http://127.0.0.1:1/a?b", "{url}/sub/dir",
            "{url}/sub/dir/", "{url}/?x=1", "{url}", "HTTP://127.0.0.1:1", "http://bad_host",
            "http://-x", "http://", "", "ftp://127.0.0.1", "http://[::1]:1",
            "http://127.0.0.1:99999", "http://127.0.0.1:abc", "http://127.0.0.1:1\n"]  # fmt: skip
    cases = [Case([*GET, "--endpoint-url", url]) for url in urls]
    regions = ["", "us_east", "-a", "a-", "123", "eu-west-9", "a" * 63, "a" * 64, "é", "bad region"]
    cases += [Case([*GET, "--region", region]) for region in regions]
    options = [
        ["--cli-connect-timeout", "-1"],
        ["--cli-connect-timeout", "0"],
        ["--cli-read-timeout", "0"],
        ["--cli-read-timeout", "-5"],
        ["--cli-read-timeout", "1.5"],
        ["--ca-bundle", "nowhere.pem"],
        ["--no-verify-ssl"],
        ["--no-sign-request"],
        ["--profile", "nope"],
        ["--profile", ""],
    ]
    return cases + [Case([*GET, *line]) for line in options]


def environments() -> list[Case]:
    none: dict[str, str | None] = {
        "AWS_ACCESS_KEY_ID": None,
        "AWS_SECRET_ACCESS_KEY": None,
        "AWS_DEFAULT_REGION": None,
    }
    changes: list[dict[str, str | None]] = [
        {"AWS_DEFAULT_REGION": None},
        {"AWS_DEFAULT_REGION": None, "AWS_REGION": "us-east-1"},
        {"AWS_REGION": "us-east-1"},
        {"AWS_DEFAULT_REGION": ""},
        {"AWS_ACCESS_KEY_ID": None},
        {"AWS_ACCESS_KEY_ID": None, "AWS_DEFAULT_REGION": None},
        {"AWS_SECRET_ACCESS_KEY": None},
        {"AWS_SECRET_ACCESS_KEY": None, "AWS_DEFAULT_REGION": None},
        {"AWS_SESSION_TOKEN": "token"},
        {"AWS_DEFAULT_OUTPUT": "text"},
        {"AWS_DEFAULT_OUTPUT": "nope"},
        {"AWS_DEFAULT_OUTPUT": "yaml"},
        {"AWS_DEFAULT_OUTPUT": ""},
        {"AWS_PROFILE": "nope"},
        {"AWS_PROFILE": ""},
        {"AWS_MAX_ATTEMPTS": "0"},
        {"AWS_MAX_ATTEMPTS": "x"},
        {"AWS_RETRY_MODE": "bogus"},
        {"AWS_RETRY_MODE": "standard"},
        {"AWS_ENDPOINT_URL": "junk"},
        {"AWS_ENDPOINT_URL_LIGHTSAIL": "{url}/service"},
        {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false"},
        {**none, "AWS_ENDPOINT_URL": None},
    ]
    cases = [Case(GET, environment=change) for change in changes]
    cases.append(Case(["get-disk"], environment=none))
    for line in ([*GET, "--no-sign-request"], [*GET, "--generate-cli-skeleton", "output"]):
        cases += [Case(line, environment=change) for change in changes[:8]]
    return cases


def skeletons() -> list[Case]:
    model = json.loads(MODEL.read_text(encoding="ascii"))
    commands = command_names(model["operations"])
    cases = [Case([command, "--generate-cli-skeleton"]) for command in commands]
    cases += [Case([command, "--generate-cli-skeleton", "output"]) for command in commands]
    cases += [
        Case([*GET, "--generate-cli-skeleton", "output", "--output", form, *more])
        for form in OUTPUTS
        for more in ([], ["--query", "disk.createdAt"], ["--query", "disk.tags"])
    ]
    lines = [
        ["get-disk", "--disk-name", "", "--generate-cli-skeleton", "output"],
        ["get-disk", "--generate-cli-skeleton", "bogus"],
        ["get-disk", "--generate-cli-skeleton", "input", "--bogus"],
        ["get-disk", "--generate-cli-skeleton", "--output", "text"],
        ["get-disk", "--generate-cli-skeleton", "--query", "["],
        ["get-disk", "--generate-cli"],
        ["get-disk", "--generate-cli-skeleton=output"],
        ["get-disk", "--generate-cli-skeleton=input"],
        [*GET, "--generate-cli-skeleton=input"],
        ["get-disk", "--generate-cli-skeleton", "input", "--cli-input-json", "{bad"],
        ["get-disk", "--generate-cli-skeleton", "output", "--cli-input-json", '{"diskName":1}'],
        [*SNAPSHOT, "--tags", "key", "--generate-cli-skeleton"],
        [*SNAPSHOT, "--generate-cli-skeleton", "output", "--tags", "zzz=1"],
    ]
    return cases + [Case(line) for line in lines]


def json_input() -> list[Case]:
    texts = ["{bad", "[1]", "5", "null", '"x"', "{}", "", '{"diskSnapshotName":"a"}',
             '{"diskName":5,"bogus":1,"diskSnapshotName":null}', '{"diskName":1,"diskName":"b"}',
             '{"tags":[{"zzz":1}]}', '{"tags":[{"key":"a"}]}', '{"tags":"x"}', '{"tags":{}}',
             '{"diskSnapshotName":true}', '{"diskSnapshotName":"\\u00e9\\ud83d\\ude00"}',
             "file://in.json", "fileb://in.json", "file://nope.json", "fileb://nope.json",
             "file://~/in.json", "file://$HOME/in.json", "file://bom.json", "file://latin.json",
             "file://.", "http://127.0.0.1:1/x", '{"diskSnapshotName": NaN}',
             ' {"diskSnapshotName":"a"} ', '\ufeff{"diskSnapshotName":"a"}']  # fmt: skip
    files = {
        "in.json": '{"diskSnapshotName": "from-file", "diskName": "d"}\n',
        "bom.json": '\ufeff{"diskSnapshotName": "a"}',
        "latin.json": '{"diskSnapshotName": "\udce9"}',
    }
    cases = [
        Case(["create-disk-snapshot", "--cli-input-json", text], files=files) for text in texts
    ]
    cases += [Case([*SNAPSHOT, "--cli-input-json", text], files=files) for text in texts[:20]]
    cases += [
        Case(["create-disk-snapshot", "--cli-input-j", '{"diskSnapshotName":"a"}']),
        Case(["create-disk-snapshot", "--cli-input", '{"diskSnapshotName":"a"}']),
        Case(["create-disk-snapshot", '--cli-input-json={"diskSnapshotName":"a"}']),
        Case([*SNAPSHOT, "--tags", "key=cli", "--cli-input-json", '{"tags":[{"key":"json"}]}']),
        Case(
            ["delete-disk", "--no-force-delete-add-ons", "--cli-input-json",
             '{"diskName":"d","forceDeleteAddOns":true}']
        ),
    ]  # fmt: skip
    return cases


def values() -> list[Case]:
    files = {
        "name.txt": "from-file\n",
        "tags.json": '[{"key": "a"}]',
        "tag.txt": "key=a,value=b",
        "bytes.bin": "x\udcff",
        "latin.txt": "\udce9",
    }
    names = ["file://name.txt", "fileb://name.txt", "file://nope", "fileb://nope", "file://",
             "file://latin.txt", "fileb://bytes.bin", "File://name.txt", " file://name.txt",
             "file://$HOME/name.txt", "http://127.0.0.1:1/x", "{url}/x"]  # fmt: skip
    tags: list[list[str]] = [
        [], [""], ["key"], ["key=a"], ["key=a,value=b", "key=c"], ['{"key":"a"}'],
        ['{"key":{"a":1}}'], ['[{"key":"a"}]'], ['[{"key":"a"}]', "key=b"], ["key=b", "[x"],
        ["file://tags.json"], ["file://tag.txt"], ["fileb://tags.json"], ["file://tags.json", "x"],
        ["key@=file://name.txt"], ["key@=file://nope"], ["key@=x"], ["zzz=1"], ["key=a,key=b"],
        ["key=a b"], ["key='a,b'"], ['key="a\\"b"'], ["key=[a,b]"], ["key={a=b}"], ["key=a,b"],
        ["key=a\\,b"], ["=a"], ["key=a,"], [",key=a"], ["key==a"], ["key = a , value = b"],
        ["key=a\nvalue"], ["key='a"], ["{"], ["["], ["[]"], ["{}"], [" [] "], ["key=é,value=漢"],
        ["key=😀"], ["key=a]"], ["key=a}"], ["key:a"], ["key="], ["key=,value="], ["5"], ["null"],
    ]  # fmt: skip
    cases = [
        Case(["get-disk", "--disk-name", name], files=files, script=[Scripted(200, b"{}")])
        for name in names
    ]
    cases += [Case([*SNAPSHOT, "--tags", *words], files=files) for words in tags]
    disk = ["create-disk", "--disk-name", "x", "--size-in-gb", "8", "--availability-zone", "z"]
    for words in (
        ["addOnType=AutoSnapshot,autoSnapshotAddOnRequest={snapshotTimeOfDay=06:00}"],
        ["addOnType=AutoSnapshot,stopInstanceOnIdleRequest={threshold=5}"],
        ["addOnType=AutoSnapshot", "addOnType=StopInstanceOnIdle"],
        ["addOnType=Nope"],
        ["autoSnapshotAddOnRequest=x"],
        ['{"addOnType":"AutoSnapshot"}'],
        ["addOnType=[a]"],
    ):
        cases.append(Case([*disk, "--add-ons", *words]))
    return cases


GROUPS = {
    "usage": usage,
    "output": output,
    "pages": pages,
    "service errors": service_errors,
    "endpoints": endpoints,
    "environments": environments,
    "skeletons": skeletons,
    "json input": json_input,
    "values": values,
}
