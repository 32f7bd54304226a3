"""Installed packages: what a set of them needs, a bill of materials of it, the lock with hashes, and known vulnerabilities."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from tasks.core.errors import UserError

LOCK_FILE = "requirements.lock"
LOCK_LINE = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==[^ \\]+(?P<hashes>( \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.M)


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """A known vulnerability of an installed package."""

    package: str
    version: str
    id: str
    summary: str


def closure(names: Iterable[str]) -> dict[str, str]:
    """The versions of these packages and of all that they need here, by canonical name; one that is not installed is left out."""
    versions: dict[str, str] = {}
    waiting = [(canonicalize_name(name), frozenset[str]()) for name in names]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        versions[name] = installed.version
        for text in installed.requires or ():
            requirement = Requirement(text)
            needed = requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in (*extras, ""))
            each = canonicalize_name(requirement.name), frozenset(requirement.extras)
            if needed and each not in seen:
                seen.add(each)
                waiting.append(each)
    return dict(sorted(versions.items()))


def bill_of_materials(name: str, versions: Mapping[str, str], files: Mapping[str, str], hashes: Mapping[str, list[str]]) -> Any:
    """A CycloneDX 1.6 document of packages (versions by name) and model files (SHA-256 by path); equal inputs give equal values.

    `hashes` are those of the packages' distributions in the lock, by name.
    """
    components: list[dict[str, Any]] = [
        {"type": "machine-learning-model", "name": path, "hashes": [{"alg": "SHA-256", "content": checksum}]}
        for path, checksum in sorted(files.items())
    ]
    for package, version in versions.items():
        purl = f"pkg:pypi/{package}@{version}"
        component: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": package, "version": version, "purl": purl}
        if package in hashes:
            component["hashes"] = [{"alg": "SHA-256", "content": each} for each in hashes[package]]
        components.append(component)
    content = json.dumps(components, sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": name}},
        "components": components,
    }


def lock_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the lock with hashes, from the report of `pip install --dry-run --ignore-installed --report`."""
    entries = sorted(report["install"], key=lambda entry: canonicalize_name(entry["metadata"]["name"]))
    for entry in entries:
        name, version = canonicalize_name(entry["metadata"]["name"]), entry["metadata"]["version"]
        checksum = entry["download_info"]["archive_info"]["hashes"]["sha256"]
        yield f"{name}=={version} \\\n    --hash=sha256:{checksum}\n"


def locked_hashes(path: Path) -> dict[str, list[str]]:
    """The hashes of the packages in the lock, by canonical name; empty without a lock."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    entries = [(each["name"], each["hashes"]) for each in LOCK_LINE.finditer(text)]
    return {canonicalize_name(name): re.findall(r"sha256:([0-9a-f]{64})", hashes) for name, hashes in entries}


def known_vulnerabilities(path: Path, versions: Mapping[str, str]) -> list[Vulnerability]:
    """The entries of a file of advisories in the OSV format that affect these versions; no network is used.

    The file holds a JSON list of entries, one entry, or an entry per line, such as an export of https://osv.dev for PyPI. Raises
    a `UserError` for a file that holds anything else.
    """
    affected: dict[tuple[str, str], Vulnerability] = {}
    for entry in _advisories(path):
        for part in entry.get("affected") or ():
            package = part.get("package") or {}
            name = canonicalize_name(str(package.get("name", "")))
            if str(package.get("ecosystem", "")).lower() == "pypi" and name in versions and _affects(part, versions[name]):
                summary = str(entry.get("summary") or entry.get("details") or "").strip().splitlines()
                key = name, str(entry.get("id", "?"))
                affected[key] = Vulnerability(name, versions[name], key[1], summary[0][:160] if summary else "")
    return [affected[key] for key in sorted(affected)]


def _advisories(path: Path) -> list[Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        try:
            content = json.loads(text)
        except json.JSONDecodeError:
            content = [json.loads(line) for line in text.splitlines() if line.strip()]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path} is no list of advisories in the OSV format (JSON, or an entry per line)") from None
    entries = content if isinstance(content, list) else [content]
    if not all(isinstance(entry, dict) and "id" in entry for entry in entries):
        raise UserError(f"{path} is no list of advisories in the OSV format: an entry has no id")
    return entries


def _affects(part: Mapping[str, Any], installed: str) -> bool:
    """Whether a version is listed or lies in a range (https://ossf.github.io/osv-schema, evaluation of events)."""
    if installed in (part.get("versions") or ()):
        return True
    version = Version(installed)
    for each in part.get("ranges") or ():
        if each.get("type") != "ECOSYSTEM":
            continue
        inside = False
        for event in sorted(each.get("events") or (), key=lambda event: _version(next(iter(event.values()), "0"))):
            kind, limit = next(iter(event.items()))
            if kind == "introduced" and version >= _version(limit):
                inside = True
            elif (kind == "fixed" and version >= _version(limit)) or (kind == "last_affected" and version > _version(limit)):
                inside = False
        if inside:
            return True
    return False


def _version(text: Any) -> Version:
    try:
        return Version(str(text))
    except InvalidVersion:
        return Version("0")


if __name__ == "__main__":
    sys.stdout.writelines(lock_lines(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
