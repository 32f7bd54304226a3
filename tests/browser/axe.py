"""Download axe-core, the accessibility checker, from the npm registry: `python axe.py <folder>` prints its path."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

VERSION = "4.14.1"
SHA256 = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
MEMBER = "package/axe.min.js"
TIMEOUT_S = 60


def registry() -> str:
    """The URL of the configured npm registry, or of the public one."""
    url = os.environ.get("NPM_CONFIG_REGISTRY", "")
    if not url and (npm := shutil.which("npm")):
        done = subprocess.run([npm, "config", "get", "registry"], capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
        url = done.stdout.strip()
    return (url if url.startswith("http") else "https://registry.npmjs.org").rstrip("/")


def fetch(folder: Path) -> Path:
    """Download the script and verify the checksum of its package; returns its path. Raises OSError or ValueError."""
    with urllib.request.urlopen(f"{registry()}/axe-core/-/axe-core-{VERSION}.tgz", timeout=TIMEOUT_S) as response:
        package = response.read()
    if (checksum := hashlib.sha256(package).hexdigest()) != SHA256:
        raise ValueError(f"axe-core {VERSION} has the checksum {checksum}, not {SHA256}")
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        script = archive.extractfile(MEMBER)
        if script is None:
            raise ValueError(f"axe-core {VERSION} holds no {MEMBER}")
        content = script.read()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "axe.min.js"
    target.write_bytes(content)
    return target


if __name__ == "__main__":
    try:
        print(fetch(Path(sys.argv[1])).resolve())
    except (OSError, ValueError, subprocess.SubprocessError, urllib.error.URLError, tarfile.TarError, KeyError) as error:
        sys.exit(f"axe-core {VERSION} is not available: {error}")
