"""Starts the two hosts of the API for the suites: `dunlin serve`, and the Lambda `bootstrap` under AWS's emulator.

Which binaries: DUNLIN, DUNLIN_BOOTSTRAP and DUNLIN_RIE, else the release build and what `tests/tools/install.sh`
put beside this Python. Logs of what was started go to the folder that is passed in.
"""

import contextlib
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = ROOT / "target" / "release"
sys.path.insert(0, str(ROOT / "tests" / "tools"))
import bridge  # noqa: E402  (the path above is where it lies)

DUNLIN = shlex.split(os.environ.get("DUNLIN", str(RELEASE / "dunlin")))
BOOTSTRAP = shlex.split(os.environ.get("DUNLIN_BOOTSTRAP", str(RELEASE / "bootstrap")))
RIE = os.environ.get("DUNLIN_RIE", str(pathlib.Path(sys.prefix) / "bin" / "aws-lambda-rie"))


# With an S3 server at hand (tests/tools/with_seaweedfs.sh), the store is there instead of in a directory.
S3 = {}
if "DUNLIN_TEST_S3_ENDPOINT" in os.environ:
    S3 = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")}
    S3["AWS_ENDPOINT_URL_S3"] = os.environ["DUNLIN_TEST_S3_ENDPOINT"]


def free_ports(count):
    """Ports of 127.0.0.1 that nobody listens on, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def environment(**extra):
    """This process's environment, without the settings of AWS or Dunlin that a developer may have."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "DUNLIN_"))}
    return kept | S3 | extra


def dunlin(*arguments, store, program=DUNLIN):
    """Runs the command line to its end and gives its output; its messages are shown if it fails."""
    done = subprocess.run(
        [*program, *arguments, "--store", store], env=environment(), capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        raise RuntimeError(f"dunlin {shlex.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def process(command, log, **kwargs):
    """A child in a process group of its own, ended with SIGTERM at the end, and killed if that does not do."""
    with open(log, "wb") as out:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, **kwargs
        )
    try:
        yield child
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(10)


def wait_until(url, child, log, seconds=120):
    """Returns when `url` answers 200; fails with the log when the child ends or the time is over."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                if answer.status == 200:
                    return
        except OSError as problem:
            last = problem
        time.sleep(0.1)
    raise RuntimeError(f"{url} did not answer ({last}, exit status {child.poll()}):\n{pathlib.Path(log).read_text()}")


@contextlib.contextmanager
def local_server(store, logs, program=DUNLIN):
    """`dunlin serve`; gives its address, "127.0.0.1:PORT"."""
    (port,) = free_ports(1)
    log = logs / "serve.log"
    command = [*program, "serve", "--listen", f"127.0.0.1:{port}", "--store", store]
    with process(command, log, env=environment()) as child:
        wait_until(f"http://127.0.0.1:{port}/v2/health/ready", child, log)
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def lambda_function(store, logs, program=BOOTSTRAP, **more):
    """The built `bootstrap` under the Runtime Interface Emulator, behind the bridge; gives the bridge's address."""
    invoke, runtime = free_ports(2)
    log = logs / "lambda.log"
    command = [
        RIE,
        "--runtime-interface-emulator-address",
        f"127.0.0.1:{invoke}",
        "--runtime-api-address",
        f"127.0.0.1:{runtime}",
        *program,
    ]
    settings = environment(
        AWS_LAMBDA_FUNCTION_NAME="function",
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE="1769",
        AWS_LAMBDA_FUNCTION_TIMEOUT="60",
        DUNLIN_STORE=store,
        **more,
    )
    front = bridge.serve(0, f"http://127.0.0.1:{invoke}/2015-03-31/functions/function/invocations")
    thread = threading.Thread(target=front.serve_forever, daemon=True)
    with process(command, log, env=settings) as child:
        thread.start()
        port = front.server_address[1]
        try:
            wait_until(f"http://127.0.0.1:{port}/v2/health/ready", child, log)
            yield f"127.0.0.1:{port}"
        finally:
            front.shutdown()
            front.server_close()
