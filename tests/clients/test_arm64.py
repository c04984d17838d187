"""The arm64 binaries under qemu answer as this machine's own do, as two CPUs, also where /sys shows no CPU.

DUNLIN_ARM64_BIN names the folder of the arm64 binaries, QEMU_AARCH64 the qemu (`.ci/arm64.sh` sets both).
"""

import os
import shutil

import httpx
import pytest

import hosts
from digits import FILES

# Largest difference of a score: other instructions, another order of additions.
TOLERANCE = 1e-4
# onnxruntime ends the process when it finds no CPU there, as on Arm Lambda.
HIDE = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/devices/system/cpu && exec "$@"', "sh"]
if os.geteuid() != 0:
    HIDE.insert(1, "--map-root-user")

pytestmark = pytest.mark.skipif("DUNLIN_ARM64_BIN" not in os.environ, reason="DUNLIN_ARM64_BIN is not set")


def command(program, cpu, hidden):
    """The command line that runs an arm64 program here."""
    qemu = os.environ.get("QEMU_AARCH64") or shutil.which("qemu-aarch64")
    binary = f"{os.environ['DUNLIN_ARM64_BIN']}/{program}"
    return [*(HIDE if hidden else []), qemu, "-cpu", cpu, "-L", "/usr/aarch64-linux-gnu", binary]


def scores(address):
    """Every picture's scores by label, as the host at `address` answers."""
    answers = []
    for file in FILES:
        answer = httpx.post(
            f"http://{address}/predict/digits",
            content=file.read_bytes(),
            headers={"content-type": "image/png"},
            timeout=120,
        )
        assert answer.status_code == 200, answer.text
        answers.append({p["label"]: p["score"] for p in answer.json()["predictions"]})
    return answers


@pytest.fixture(scope="module")
def here(store, tmp_path_factory):
    """The scores of this machine's own `dunlin serve`."""
    with hosts.local_server(store, tmp_path_factory.mktemp("here")) as address:
        return scores(address)


@pytest.mark.parametrize("hidden", [False, True], ids=["cpus_in_sys", "no_cpus_in_sys"])
@pytest.mark.parametrize("cpu", ["cortex-a72", "neoverse-n1"])
@pytest.mark.parametrize("host", ["serve", "lambda"])
def test_arm64_agrees(host, cpu, hidden, here, store, tmp_path):
    if host == "serve":
        started = hosts.local_server(store, tmp_path, command("dunlin", cpu, hidden))
    else:
        started = hosts.lambda_function(store, tmp_path, command("bootstrap", cpu, hidden))
    with started as address:
        there = scores(address)
    apart = 0.0
    for digit, (mine, its) in enumerate(zip(here, there, strict=True)):
        assert max(its, key=its.get) == str(digit)
        assert mine.keys() == its.keys()
        apart = max([apart, *(abs(mine[label] - its[label]) for label in mine)])
    print(f"{host} as {cpu}: scores differ by {apart:.1e} at most")
    assert apart <= TOLERANCE


def test_arm64_publishes_and_runs(tmp_path):
    store = f"file:{tmp_path}/store"
    arm = command("dunlin", "cortex-a72", hidden=True)
    hosts.dunlin("push", str(hosts.ROOT / "models" / "digits"), store=store, program=arm)
    assert '"7"' in hosts.dunlin("run", "digits", str(FILES[7]), "--json", store=store, program=arm)
