"""Packages are listed with what they need, locked by hash, and compared with known vulnerabilities without a network."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from flows.maintenance import doctor
from flows.system import packages
from tasks.core.errors import UserError

ROOT = Path(__file__).parents[3]


def advisory(name: str, **part: object) -> dict[str, object]:
    return {"id": "PYSEC-1", "summary": "bad", "affected": [{"package": {"name": name, "ecosystem": "PyPI"}, **part}]}


def test_a_package_is_listed_with_what_it_needs_here() -> None:
    needed = packages.closure(["pandas"])
    assert {"pandas", "numpy", "python-dateutil", "six"} <= set(needed)
    assert needed["pandas"] == version("pandas")
    assert "pytest" not in needed, "an extra that nobody asked for"
    assert packages.closure(["no-such-package"]) == {}


@pytest.mark.parametrize(
    ("events", "installed", "affected"),
    [
        ([{"introduced": "0"}, {"fixed": "1.2"}], "1.1", True),
        ([{"introduced": "0"}, {"fixed": "1.2"}], "1.2", False),
        ([{"introduced": "0"}, {"last_affected": "1.2"}], "1.2", True),
        ([{"introduced": "0"}, {"last_affected": "1.2"}], "1.2.1", False),
        ([{"introduced": "2"}], "1.9", False),
        ([{"introduced": "2"}], "10.0", True),
        ([{"introduced": "1"}, {"fixed": "2"}, {"introduced": "3"}, {"fixed": "4"}], "2.5", False),
        ([{"introduced": "1"}, {"fixed": "2"}, {"introduced": "3"}, {"fixed": "4"}], "3.5", True),
    ],
)
def test_ranges_of_versions_are_read_as_osv_defines_them(
    tmp_path: Path, events: list[dict[str, str]], installed: str, affected: bool
) -> None:
    path = tmp_path / "osv.json"
    path.write_text(json.dumps([advisory("Some_Package", ranges=[{"type": "ECOSYSTEM", "events": events}])]))
    assert bool(packages.known_vulnerabilities(path, {"some-package": installed})) is affected


def test_the_doctor_names_an_installed_package_with_a_known_vulnerability(tmp_path: Path) -> None:
    path = tmp_path / "osv.jsonl"
    entries = [
        advisory("numpy", versions=[version("numpy")]),
        advisory("pandas", versions=["0.1"]),
        {"id": "X", "affected": None},
    ]
    path.write_text("\n".join(map(json.dumps, entries)))
    (finding,) = doctor.vulnerabilities(tmp_path, advisories=path)
    assert (finding.state, finding.text) == ("bad", f"numpy {version('numpy')}: PYSEC-1 bad")
    path.write_text("[]")
    (finding,) = doctor.vulnerabilities(tmp_path, advisories=path)
    assert finding.state == "ok"
    for content in ("", "{", "[3]", '{"no": "id"}', "[" * 100_000):
        path.write_text(content)
        if content:
            with pytest.raises(UserError, match="no list of advisories"):
                packages.known_vulnerabilities(path, {})


def test_the_lock_has_a_hash_for_every_version_of_the_constraints() -> None:
    hashes = packages.locked_hashes(ROOT / packages.LOCK_FILE)
    pins = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    names = {canonicalize_name(pin.partition("==")[0]) for pin in pins if "==" in pin}
    assert len(hashes) >= 0.95 * len(names)
    assert all(hashes.values())
    text = (ROOT / packages.LOCK_FILE).read_text()
    assert all(f"{canonicalize_name(pin.partition('==')[0])}==" in text for pin in pins if pin.startswith(("torch==", "dvc==")))


def test_lines_of_the_lock_are_read_back() -> None:
    entry = {"metadata": {"name": "A_b", "version": "1.0"}, "download_info": {"archive_info": {"hashes": {"sha256": "0" * 64}}}}
    (line,) = packages.lock_lines({"install": [entry]})
    assert line == f"a-b==1.0 \\\n    --hash=sha256:{'0' * 64}\n"
