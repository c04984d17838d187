"""Our signatures under OpenSSF's `model_signing`: it checks a store as `dunlin verify` does."""

import pathlib
import subprocess
import sys

import pytest
from cloud import hosts

DIGITS = str(hosts.ROOT / "models" / "digits")
PROGRAM = pathlib.Path(sys.executable).with_name("model_signing")


@pytest.fixture
def signed(tmp_path):
    """A store with a signed version; gives the store, its signature, and the public key."""
    store, key = tmp_path / "store", tmp_path / "key.pem"
    hosts.dunlin("key", "new", str(key), store=f"file:{store}")
    hosts.dunlin("push", DIGITS, "--sign-key", str(key), store=f"file:{store}")
    (signature,) = (store / "models/digits/signatures/1").iterdir()
    return store, signature, pathlib.Path(f"{key}.pub")


def check(store, signature, key):
    """What the program says of a store: whether it is as it was signed."""
    command = [
        PROGRAM,
        "verify",
        "key",
        "--signature",
        signature,
        "--public_key",
        key,
        "--ignore_unsigned_files",
        store,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_their_program_takes_our_signature(signed):
    done = check(*signed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout + done.stderr


def test_their_program_finds_what_was_changed(signed, tmp_path):
    store, signature, key = signed
    for path in [store / "models/digits/versions/1.json", next((store / "blobs/sha256").iterdir())]:
        before = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(before + b" ")
        assert check(store, signature, key).returncode != 0, path
        path.write_bytes(before)
    assert check(store, signature, key).returncode == 0
    hosts.dunlin("key", "new", str(tmp_path / "other.pem"), store=f"file:{store}")
    assert check(store, signature, tmp_path / "other.pem.pub").returncode != 0
