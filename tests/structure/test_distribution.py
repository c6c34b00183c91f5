"""The distribution as others get it: built, installed elsewhere, and the client alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import grimp
import pytest

from mooring.admin.demo.server import ServerProcess
from tests.conftest import find_tool
from tests.e2e import processes
from tools import client_archive

pytestmark = pytest.mark.full

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = CHECKOUT / "src" / "mooring"
SECONDS = 120


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """As a user without anything set up, from a folder that is no checkout."""
    return subprocess.run(
        [str(word) for word in command],
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def done(*command: str | Path, **environment: str) -> str:
    ran = run(*command, **environment)
    assert ran.returncode == 0, (command, ran.stdout, ran.stderr)
    return ran.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment that has the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("client") / "venv"
    done(sys.executable, "-m", "venv", "--without-pip", folder)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    python = str(folder / "bin" / "python")
    done(*pip, "--python", python, "install", "--no-index", *built.glob("*.whl"))
    return folder / "bin"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("archive") / "mooring.pyz"
    client_archive.make_archive(target)
    return target


@pytest.fixture(scope="module")
def server(module_run_dir: Path) -> Iterator[dict[str, str]]:
    """What clients need in their environment to reach a server."""
    data = module_run_dir / "data"
    data.mkdir()
    process = ServerProcess(data)
    process.start()
    environment = {"MOORING_DATA": str(data)}
    try:
        yield environment
    finally:
        process.stop()
        processes.end_all(data)


def test_names_and_requirements(built: Path) -> None:
    """Without extras nothing is required; the public name is not the stranger's."""
    (wheel,) = built.glob("*.whl")
    assert wheel.name.startswith("mooring_disks-")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        fields = Parser().parsestr(archive.read(metadata).decode())

    assert fields["Name"] == "mooring-disks"
    required = fields.get_all("Requires-Dist", [])
    assert any("extra == 'server'" in one for one in required)
    assert [one for one in required if "extra ==" not in one] == []


def test_wheel_and_sdist_hold_every_file(built: Path) -> None:
    source = {
        str(file.relative_to(PACKAGE.parent))
        for file in PACKAGE.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    (wheel,) = built.glob("*.whl")
    (sdist,) = built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as zipped, tarfile.open(sdist) as packed:
        in_wheel = {name for name in zipped.namelist() if name.startswith("mooring/")}
        in_sdist = {name.partition("/")[2] for name in packed.getnames()}

    assert in_wheel == source
    assert {f"src/{name}" for name in source} <= in_sdist
    assert {"scripts/test", "docs/install.md", "tests/conftest.py", "LICENSE"} <= in_sdist
    assert [name for name in in_sdist if name.startswith(".venv")] == []


def test_the_client_imports_nothing_beyond_its_parts() -> None:
    graph = grimp.build_graph("mooring")
    imported = graph.find_upstream_modules("mooring.cli", as_package=True)
    folders = {name.split(".")[1] for name in imported if "." in name}
    parts = {part.removesuffix(".py") for part in client_archive.PARTS}

    assert folders | {"cli", "__init__"} == parts


def life_of_a_disk(program: Path, name: str, folder: Path, environment: dict[str, str]) -> None:
    """Whatever needs no package of its own, with one program."""

    def mooring(line: str, *more: str | Path) -> str:
        return done(program, *line.replace("NAME", name).split(), *more, **environment)

    zone = "--availability-zone us-east-2a"
    mooring(f"create-disk --disk-name NAME --size-in-gb 8 {zone}")
    mooring(f"create-instances --instance-names NAME-vm --blueprint-id external "
            f"--bundle-id external {zone}")  # fmt: skip
    mooring("attach-disk --disk-name NAME --instance-name NAME-vm --disk-path /dev/xvdf --wait")
    mooring("create-disk-snapshot --disk-name NAME --disk-snapshot-name NAME-1 --wait")
    assert f'"name": "{name}-1"' in mooring("get-disk-snapshots")
    assert name in mooring("get-disks --output table")
    assert name in mooring("get-disks --output text")
    image = folder / f"{name}.img"
    files = folder / f"{name}.files"
    files.mkdir()
    (files / "told").write_text("by a file\n")
    with image.open("wb") as made:
        made.truncate(16 << 20)
    done(find_tool("mkfs.ext4"), "-q", "-F", "-d", files, image)
    mooring("import --format raw --disk-snapshot-name NAME-2", image)
    mooring("wait disk-snapshot-completed --disk-snapshot-name NAME-2")
    assert "told" in mooring("ls NAME-2:/")
    mooring("cp NAME-2:/told", folder / f"{name}.told")
    assert (folder / f"{name}.told").read_text() == "by a file\n"
    mooring("export --disk-snapshot-name NAME-2 --output", folder / f"{name}.raw")
    with (folder / f"{name}.raw").open("rb") as exported:
        assert exported.read(16 << 20) == image.read_bytes()
    for question in ("stat --disk-name NAME", "usage", "diff --to NAME-2"):
        assert mooring(question)


def test_the_client_alone(installed: Path, server: dict[str, str], tmp_path: Path) -> None:
    life_of_a_disk(installed / "mooring", "wheel", tmp_path, server)


def test_the_client_in_one_file(archive: Path, server: dict[str, str], tmp_path: Path) -> None:
    life_of_a_disk(archive, "archive", tmp_path, server)
    assert run(archive, "get-disk", "--disk-name", "none", **server).returncode == 255


def test_what_is_missing_is_named(installed: Path, server: dict[str, str]) -> None:
    queried = run(installed / "mooring", "get-disks", "--query", "disks[]", **server)
    yaml = run(installed / "mooring", "get-disks", "--output", "yaml", **server)
    serving = run(installed / "mooringd", "serve", "--data", "/nonexistent/data")

    assert "pip install jmespath" in queried.stderr
    assert "pip install ruamel.yaml" in yaml.stderr
    assert serving.returncode == 2
    assert "pip install 'mooring-disks[server]'" in serving.stderr
    assert serving.stderr.count("\n") == 1
    assert "serve" in done(installed / "mooringd", "--help")
    assert "AWS_ENDPOINT_URL" in done(installed / "mooringd", "env", **server)
