"""Runs command lines one after the other, each in a fork of this process.

Started as `python command_worker.py aws|mooring`, in the interpreter that has the command. Reads
one JSON object per line, `{"arguments", "environment", "directory", "has_files", "encoding",
"output"}`, and answers each with `{"status", "stdout", "stderr"}`, the texts as Latin-1. `encoding`
is that of standard output, and `output` is `file`, or `full` or `closed` where nothing can be
written. The modules are loaded once, which makes `aws` several times faster; whatever a command
line changes dies with its fork.
"""

from __future__ import annotations

import functools
import gc
import io
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

Run = Callable[[list[str], bool], int]


def prepare_aws() -> Run:
    # Loading must not find keys or settings of the machine's own.
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    import awscli.clidriver as module  # type: ignore[import-not-found]

    fill_caches = keep_what_is_loaded()

    def run(arguments: list[str], has_files: bool) -> int:
        sys.argv = ["aws", *arguments]
        # With configuration files, all is built anew: building reads them.
        return int((module.main() if has_files else driver.main()) or 0)

    driver = module.create_clidriver()
    warm_up(run, ["lightsail", "get-disk", "--disk-name", "x", "--region", "us-east-2"])
    fill_caches()
    driver = module.create_clidriver()
    driver._get_command_table()
    driver._get_argument_table()
    driver.session._config = driver.session._profile_map = None
    return run


def keep_what_is_loaded() -> Callable[[], None]:
    """Let aws read its data files once: half of the time of each command line goes there.

    What a fork does to the data dies with it; the function returned takes the data anew, as aws
    changes what it was given.
    """
    from botocore import hooks, loaders

    texts: dict[str, str] = {}
    values: dict[str, Any] = {}
    read = loaders.JSONFileLoader.load_file
    list_services = loaders.Loader.list_available_services
    services: dict[str, list[str]] = {}
    accepts = functools.cache(hooks.accepts_kwargs)

    def load_file(self: Any, path: str) -> Any:
        if path not in texts:
            texts[path] = json.dumps(read(self, path))
        return values[path] if path in values else json.loads(texts[path])

    def list_available_services(self: Any, type_name: str) -> list[str]:
        if type_name not in services:
            services[type_name] = list_services(self, type_name)
        return list(services[type_name])

    loaders.JSONFileLoader.load_file = load_file
    loaders.Loader.list_available_services = list_available_services
    hooks.accepts_kwargs = accepts
    return lambda: values.update((path, json.loads(text)) for path, text in texts.items())


def prepare_mooring() -> Run:
    from mooring.cli.main import main

    def run(arguments: list[str], _: bool) -> int:
        sys.argv = ["mooring", *arguments]
        return main()

    warm_up(run, ["get-disk", "--disk-name", "x", "--region", "us-east-2"])
    return run


def warm_up(run: Run, arguments: list[str]) -> None:
    """One call against a port where nobody listens, to load what a call loads."""
    environment = dict(os.environ)
    os.environ.update(
        AWS_ACCESS_KEY_ID="x",
        AWS_SECRET_ACCESS_KEY="x",
        AWS_MAX_ATTEMPTS="1",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    try:
        run([*arguments, "--endpoint-url", "http://127.0.0.1:1", "--query", "disk"], False)
    finally:
        sys.stdout, sys.stderr = streams
        os.environ.clear()
        os.environ.update(environment)


def run_forked(run: Run, request: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            run_child(run, request, output.fileno(), errors.fileno())
        _, status = os.waitpid(child, 0)
        output.seek(0)
        errors.seek(0)
        return {
            "status": os.waitstatus_to_exitcode(status),
            "stdout": output.read().decode("latin-1"),
            "stderr": errors.read().decode("latin-1"),
        }


def run_child(run: Run, request: dict[str, Any], output: int, errors: int) -> None:
    status = 99
    try:
        kind = request["output"]
        os.dup2(os.open("/dev/full", os.O_WRONLY) if kind == "full" else output, 1)
        os.dup2(errors, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        sys.stdout = os.fdopen(1, "w", encoding=request["encoding"], closefd=False)
        if kind == "closed":
            os.close(1)
            sys.stdout = None  # as the interpreter has it then
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        os.chdir(request["directory"])
        kept = {name: os.environ[name] for name in ("AWS_DATA_PATH", "PATH") if name in os.environ}
        os.environ.clear()
        os.environ.update(kept)
        os.environ.update(request["environment"])
        status = run(request["arguments"], request["has_files"])
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 - what gets here is what a user would see
        traceback.print_exc()
        status = 1
    finally:
        os._exit(ended(status))


def ended(status: int) -> int:
    """Write out what is left, as the interpreter does at its end, and with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            status = 120
    return status


def main() -> None:
    run = {"aws": prepare_aws, "mooring": prepare_mooring}[sys.argv[1]]()
    gc.collect()
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    for line in sys.stdin:
        answers.write(json.dumps(run_forked(run, json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
