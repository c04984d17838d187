"""The functions as `sam build` leaves them (DUNLIN_SAM): their size, what they need, and that they answer.

Each runs under AWS's Runtime Interface Emulator with the settings that the template gives it, but for the store.
Without DUNLIN_SAM they are those that cargo has built.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile

import pytest

from stack import ROOT, Stack
from test_template import PROGRAMS, RELEASE

sys.path.insert(0, str(ROOT / "tests" / "clients"))
import hosts  # noqa: E402  (the path above is where it lies)

SAM = os.environ.get("DUNLIN_SAM")
GLIBC = (2, 34)
# The template's limit is Lambda's: 250 MB unzipped.
LIMIT = 250 << 20
PICTURE = ROOT / "models" / "digits" / "examples" / "7.png"


@pytest.fixture(scope="module")
def stack():
    return Stack("template.yaml", AdminAccess="IAM", Architecture="x86_64")


@pytest.fixture
def store(tmp_path):
    url = f"file:{tmp_path / 'store'}"
    hosts.dunlin("push", str(ROOT / "models" / "digits"), store=url)
    return url


def bootstrap(function):
    return pathlib.Path(SAM, function, "bootstrap") if SAM else RELEASE / PROGRAMS[function]


@pytest.mark.skipif(not SAM, reason="what cargo builds for this machine is not what is shipped: .ci/run sam")
@pytest.mark.parametrize("function", PROGRAMS)
def test_the_zip_is_small_enough_and_runs_on_lambdas_glibc(function, tmp_path):
    program = bootstrap(function)
    with zipfile.ZipFile(tmp_path / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(program, "bootstrap")
    size = program.stat().st_size
    told = subprocess.run(["objdump", "-T", program], capture_output=True, text=True, check=True)
    needed = max(tuple(map(int, found)) for found in re.findall(r"GLIBC_(\d+)\.(\d+)", told.stdout))
    print(f"\n{function}: {size} bytes, {(tmp_path / 'zip').stat().st_size} zipped, glibc {needed[0]}.{needed[1]}")
    assert size < LIMIT
    assert needed <= GLIBC


class Emulated:
    """A function of the stack under AWS's emulator."""

    def __init__(self, stack, function, store, logs):
        said = stack.of_type("AWS::Lambda::Function")[function]
        # A parameter that is a number arrives as its text.
        variables = {name: str(value) for name, value in said["Environment"]["Variables"].items()}
        settings = {**variables, "DUNLIN_STORE": store}
        invoke, runtime = hosts.free_ports(2)
        self.url = f"http://127.0.0.1:{invoke}/2015-03-31/functions/function/invocations"
        addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{invoke}"]
        addresses += ["--runtime-api-address", f"127.0.0.1:{runtime}"]
        emulator = ROOT / ".venv" / "bin" / "aws-lambda-rie"
        environment = hosts.environment(
            AWS_LAMBDA_FUNCTION_NAME="function",
            AWS_LAMBDA_FUNCTION_MEMORY_SIZE=str(said["MemorySize"]),
            AWS_LAMBDA_FUNCTION_TIMEOUT=str(said["Timeout"]),
            **settings,
        )
        self.log = logs / f"{function}.log"
        command = [str(emulator), *addresses, str(bootstrap(function))]
        self.process = hosts.process(command, self.log, env=environment)

    def __enter__(self):
        self.child = self.process.__enter__()
        return self

    def __exit__(self, *problem):
        return self.process.__exit__(*problem)

    def invoke(self, event):
        """What the function gives; waits until the emulator listens."""
        deadline = time.monotonic() + 60
        while True:
            request = urllib.request.Request(self.url, json.dumps(event).encode())
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)
            except ConnectionError as problem:
                failed = problem
            except urllib.error.URLError as problem:
                failed = problem.reason
            assert isinstance(failed, ConnectionError), failed
            assert time.monotonic() < deadline and self.child.poll() is None, self.log.read_text()
            time.sleep(0.1)


def ask(method, path, body=None):
    """An event of the HTTP API."""
    return hosts.bridge.event(method, path, {"content-type": "image/png"} if body else {}, body, "127.0.0.1")


def test_predict_predicts(stack, store, tmp_path):
    with Emulated(stack, "PredictFunction", store, tmp_path) as function:
        reply = function.invoke(ask("POST", "/predict/digits", PICTURE.read_bytes()))
        assert reply["statusCode"] == 200
        assert json.loads(reply["body"])["predictions"][0]["label"] == "7"


def test_admin_moves_an_alias(stack, store, tmp_path):
    with Emulated(stack, "AdminFunction", store, tmp_path) as function:
        event = ask("POST", "/admin/models/digits/aliases/production/promote", b'{"version": 1}')
        event["headers"]["content-type"] = "application/json"
        assert function.invoke(event)["statusCode"] == 200
        assert hosts.dunlin("alias", "digits@production", "--json", store=store).find('"version": 1') > 0


def test_batch_answers_what_lies_in_its_inbox(stack, store, tmp_path):
    inbox = tmp_path / "store" / "inbox" / "digits"
    inbox.mkdir(parents=True)
    shutil.copy(PICTURE, inbox / "7.png")
    with Emulated(stack, "BatchFunction", store, tmp_path) as function:
        assert function.invoke({"sweep": True})["works"][0]["outcome"] == "done"
    (result,) = (tmp_path / "store" / "results" / "digits").rglob("*.json")
    assert json.loads(result.read_text())["answer"]["predictions"][0]["label"] == "7"


def test_publish_makes_a_version_of_an_upload(stack, store, tmp_path):
    uploads = tmp_path / "store" / "uploads" / "other"
    uploads.mkdir(parents=True)
    shutil.copy(ROOT / "models" / "digits" / "model.onnx", uploads / "net.onnx")
    record = json.loads((ROOT / "shared/lambda/tests/events/s3.json").read_text())["Records"][0]
    record["s3"]["object"]["key"] = "uploads/other/net.onnx"
    with Emulated(stack, "PublishFunction", store, tmp_path) as function:
        function.invoke({"Records": [record]})
    report = json.loads((uploads / "net.onnx.report.json").read_text())
    assert report["version"] == 1, report
