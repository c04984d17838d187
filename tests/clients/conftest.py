"""Every suite here runs against both hosts: one store, one `dunlin serve`, one Lambda function a session."""

import importlib.util
import os
import pathlib
import sys
import types
import uuid

import pytest

import hosts

# The REST client of the kserve package without the package's own __init__, which loads its model server and
# Kubernetes client with some thirty packages more (overrides.txt leaves them out).
if "kserve" not in sys.modules:
    kserve = types.ModuleType("kserve")
    kserve.__path__ = list(importlib.util.find_spec("kserve").submodule_search_locations)
    sys.modules["kserve"] = kserve

DIGITS = hosts.ROOT / "models" / "digits"
ECHO = hosts.ROOT / "tests" / "models" / "echo"
WORDS = hosts.ROOT / "tests" / "models" / "texts" / "words"


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """A store with the digits sample (twice: versions 1 and 2), the echo models, and one that embeds texts."""
    if hosts.S3:
        url = f"s3://{os.environ['DUNLIN_TEST_S3_BUCKET']}/{uuid.uuid4()}"
    else:
        url = f"file:{tmp_path_factory.mktemp('store')}"
    for _ in range(2):
        hosts.dunlin("push", str(DIGITS), store=url)
    for model in sorted(ECHO.glob("*.onnx")):
        hosts.dunlin("push", str(model), store=url)
    hosts.dunlin("push", str(WORDS), store=url)
    return url


@pytest.fixture(scope="session", params=["serve", "lambda"])
def address(request, store, tmp_path_factory):
    """HOST:PORT of a host that serves the store."""
    start = {"serve": hosts.local_server, "lambda": hosts.lambda_function}[request.param]
    with start(store, pathlib.Path(tmp_path_factory.mktemp(request.param))) as listening:
        yield listening
