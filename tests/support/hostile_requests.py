"""Requests that no honest client sends, each with the status and the code of the refusal that it must get.

The server under test serves `vision`, `nlp`, `credit` and `finance`, takes bodies of up to 2,000,000 bytes and 100 rows, and has
no token.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from PIL import Image

BODY_BYTES, ROWS = 2_000_000, 100
FORM = "multipart/form-data; boundary=b"
JSON = "application/json"
AS_FORM = {"content-type": FORM}
FILE_NAMES = ("../../etc/cron.d/x.csv", "/etc/passwd", "x.csv\0.png", "-rf.csv", "a" * 200 + ".csv", "c:\\x.csv", "$(id).csv")


@dataclass(frozen=True, slots=True)
class Hostile:
    """A request and what must come back."""

    name: str
    path: str
    body: bytes
    status: int
    code: str
    """The code of the refusal; for status 200 the beginning of the error of the only answer, empty for a usual answer."""
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": JSON})


def corpus() -> Iterator[Hostile]:
    """More than a hundred requests."""
    yield from _bodies()
    yield from _pictures()
    yield from _texts()
    yield from _records()
    yield from _uploads()
    yield from _addresses()
    yield from _feedback()


def _bodies() -> Iterator[Hostile]:
    """Bodies that are no list of inputs, for each kind of model."""
    broken = [b"", b"{", b"\xff\xfe", b"\0" * 1000, b"[" * 100_000, b'{"inputs": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"]
    broken += [b'{"a":' * 50_000 + b"1" + b"}" * 50_000, b"<html>", b"inputs=1", b'{"inputs": ["A"]', b'{"inputs": [1e', b"'a'"]
    other = [b"[]", b"null", b"0", b'"inputs"', b"{}", b'{"input": ["a"]}', b'{"inputs": null}', b'{"inputs": "AAAA"}']
    other += [b'{"inputs": {}}', b'{"inputs": []}', b'{"inputs": 1e999}', b"NaN"]
    for use_case in ("vision", "nlp", "credit"):
        path = f"/{use_case}/predict"
        for number, body in enumerate(broken):
            yield Hostile(f"{use_case}, broken body {number}", path, body, 400, "not_json")
        for body in other:
            yield Hostile(f"{use_case}, {body[:30]!r}", path, body, 422, "no_inputs")
        yield Hostile(f"{use_case}, too many inputs", path, inputs(["a"] * (ROWS + 1)), 413, "too_many_rows")
        yield Hostile(f"{use_case}, blanks", path, b" " * (BODY_BYTES + 1), 413, "too_large")
    length = {"content-type": JSON, "content-length": "99999999999"}
    yield Hostile("announces more than it sends", "/vision/predict", b"{}", 413, "too_large", headers=length)


def _pictures() -> Iterator[Hostile]:
    """Values that are no pictures, and pictures that are larger than their files."""
    value: Any
    for value in (1, None, True, 1.5, ["AAAA"], {"image": "AAAA"}, float("nan")):
        yield Hostile(f"a picture that is {value!r}", "/vision/predict", inputs([value]), 422, "wrong_type")
    for value in ("../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "http://169.254.169.254/", "A" * 101, "é", "A A="):
        yield Hostile(f"a picture called {value[:30]!r}", "/vision/predict", inputs([value]), 422, "not_base64")
    for name, content, error in pictures():
        body = inputs([base64.b64encode(content).decode()])
        yield Hostile(name, "/vision/predict", body, 200, error)
        yield Hostile(
            f"{name}, uploaded", "/vision/predict/files", form("p.png", content), 200, error, headers={"content-type": FORM}
        )


def pictures() -> Iterator[tuple[str, bytes, str]]:
    """Files that are no usable pictures, and the beginning of what is said of them."""
    yield "an empty picture", b"", "unreadable"
    yield "PNG header of 60,000 x 60,000", png(60_000, 60_000, b""), "too-large"
    yield "PNG header of 2^31 - 1 squared", png(2**31 - 1, 2**31 - 1, b""), "too-large"
    yield "PNG of 40,000 x 40,000 in few bytes", png(40_000, 40_000, zlib.compress(bytes(40_000_000), 9)), "too-large"
    yield "PNG of no width", png(0, 8, b""), "unreadable"
    yield "PNG without its end", saved("PNG")[:60], "truncated"
    yield "PNG with a text that unpacks to 200 MB", with_text(saved("PNG"), bytes(200_000_000)), "unreadable"
    yield "PPM header of 10^5 x 10^5", b"P6 100000 100000 255\n", "too-large"
    yield "PPM header of minus one", b"P6 -1 -1 255\n", "unreadable"
    yield "BMP header of 2^31 - 1 x 1", bmp(2**31 - 1, 1), "too-large"
    yield "GIF of 65,535 x 65,535", b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\0;", "too-large"
    yield "GIF of 50 frames", animated(), "animated"
    yield "TIFF", saved("TIFF"), "unreadable"
    yield "SVG", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', "unreadable"
    yield "EPS", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n", "unreadable"
    yield "PDF", b"%PDF-1.7\n", "unreadable"
    yield "a line of 3 x 3,000 pixels", saved("PNG", (3, 3000)), "wrong-size"
    yield "a program", b"\x7fELF" + bytes(500), "unreadable"
    yield "a pickle", b"\x80\x04cos\nsystem\n(S'touch x'\ntR.", "unreadable"


def _texts() -> Iterator[Hostile]:
    for value in (1, None, False, ["a"], {"text": "a"}, float("inf")):
        yield Hostile(f"a text that is {value!r}", "/nlp/predict", inputs([value]), 422, "wrong_type")
    yield Hostile("an empty text", "/nlp/predict", inputs([""]), 200, "empty")
    yield Hostile("half a character", "/nlp/predict", b'{"inputs": ["\\ud800 team coach season goal"]}', 422, "half_character")
    yield Hostile("a text of 1.9 million letters", "/nlp/predict", inputs(["goal " * 380_000]), 200, "too-long")
    yield Hostile("accents without end", "/nlp/predict", inputs(["a" + "\u0301" * 300_000]), 200, "too-long")
    yield Hostile("marks of direction and zeros", "/nlp/predict", inputs(["\u202e\0\x1b[2J goal team coach season"]), 200, "")
    yield Hostile("a prompt", "/nlp/predict", inputs(["'; DROP TABLE users; -- $(reboot) {{7*7}}"]), 200, "")


def _records() -> Iterator[Hostile]:
    value: Any
    good = {"income": 10, "age": 40, "sex": "male", "home": "family"}
    for value in (1, None, "a", [], {}, [good]):
        yield Hostile(f"a record that is {value!r:.30}", "/credit/predict", inputs([value]), 422, "wrong_type")
    for name, value in {"income": [1], "age": {"a": 1}}.items():
        yield Hostile(f"a record with {value!r}", "/credit/predict", inputs([good | {name: value}]), 422, "wrong_type")
    yield Hostile("a record without its columns", "/credit/predict", inputs([{"a": 1}]), 422, "wrong_inputs")
    for value in ("abc", "../../etc/passwd", "0x10", "1;DROP TABLE loans"):
        yield Hostile(f"an income of {value}", "/credit/predict", inputs([good | {"income": value}]), 200, "not-a-number")
    for value in ("1e999", -1e308, 10**400):
        yield Hostile(f"an income of {str(value)[:20]}", "/credit/predict", inputs([good | {"income": value}]), 200, "infinite")
    for value in (float("nan"), None, "", "NaN", "١٢"):
        yield Hostile(f"an income of {str(value)[:20]!r}", "/credit/predict", inputs([good | {"income": value}]), 200, "")
    many = {f"column {number}": number for number in range(50_000)}
    yield Hostile("50,000 columns", "/credit/predict", inputs([good | many]), 422, "too_many_columns")
    long, half = {"home": "x" * 1_000_000}, {"home": "\ud800"}
    yield Hostile("a category of a million letters", "/credit/predict", inputs([good | long]), 200, "too-long")
    yield Hostile("half a character in a record", "/credit/predict", inputs([good | half]), 422, "half_character")
    yield Hostile("half a character in a name", "/credit/predict", inputs([good | {"\ud800": 1}]), 422, "half_character")
    yield Hostile("a bar of nothing", "/finance/predict", inputs([{"ticker": "x"}]), 422, "wrong_inputs")


def _uploads() -> Iterator[Hostile]:
    path = "/credit/predict/files"
    table = "income,age,sex,home\n" + "10,40,male,family\n" * 3
    whole = form("t.csv", table.encode())
    for name, body, kind, code in (
        ("no form", b"no form", "multipart/form-data", "no_form"),
        ("no boundary", whole, "multipart/form-data", "no_form"),
        ("another type", whole, "text/plain", "no_form"),
    ):
        yield Hostile(f"upload with {name}", path, body, 400, code, headers={"content-type": kind})
    yield Hostile("a form without files", path, b"--b--\r\n", 422, "no_inputs", headers=AS_FORM)
    yield Hostile("a form without its end", path, whole[: len(whole) // 2], 400, "no_form", headers=AS_FORM)
    yield Hostile("a file with a long name", path, form("a" * 5000 + ".csv", b""), 400, "no_form", headers=AS_FORM)
    sheet = io.BytesIO()
    with zipfile.ZipFile(sheet, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", bytes(200_000_000))
    rows = io.BytesIO()
    pd.DataFrame({"income": [1.0] * 2_000_000}).to_parquet(rows)
    for file, content, status, code in (
        ("t.csv.gz", gzip.compress((table * 10).encode() + b"10,40,male,family\n" * 2_000_000), 422, "packed"),
        ("t.zip", gzip.compress(b"x"), 422, "packed"),
        ("t.xlsx", sheet.getvalue(), 413, "too_large"),
        ("t.npz", sheet.getvalue(), 413, "too_large"),
        ("t.parquet", rows.getvalue(), 413, "too_many_rows"),
        ("t.parquet", b"PAR1 nothing PAR1", 422, "wrong_inputs"),
        ("t.csv", table.encode() + b"10,40,male,family\n" * 200, 413, "too_many_rows"),
        ("t.csv", b"", 422, "wrong_inputs"),
        ("t.csv", b"\x89PNG\r\n\x1a\n" + bytes(99), 422, "wrong_inputs"),
        ("t.csv", b"income,age\n1\n", 422, "wrong_inputs"),
        ("t.csv", b'income,age,sex,home\n"1', 422, "wrong_inputs"),
        ("t.jsonl", b'{"a":' * 20_000, 422, "wrong_inputs"),
        ("t.pkl", b"\x80\x04cos\nsystem\n(S'touch x'\ntR.", 422, "wrong_inputs"),
        ("t.tar", b"x" * 600, 422, "wrong_inputs"),
    ):
        yield Hostile(f"upload {file} {content[:9]!r}", path, form(file, content), status, code, headers=AS_FORM)
    for file in FILE_NAMES:
        yield Hostile(f"a file called {file[:30]!r}", path, form(file, table.encode()), 200, "", headers=AS_FORM)


def _addresses() -> Iterator[Hostile]:
    for path in (
        "/../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/vision",
        "/visio/predict",
        "/vision/predict/../x",
        "//",
        "/%00",
    ):
        yield Hostile(f"the path {path}", path, b"{}", 404, "not_found")
    yield Hostile("a path of 5,000 letters", "/" + "a" * 5000, b"{}", 404, "not_found")
    for method in ("GET", "PUT", "DELETE", "PATCH", "TRACE", "BREW"):
        yield Hostile(f"the method {method}", "/vision/predict", b"", 405, "not_found", method=method)


def _feedback() -> Iterator[Hostile]:
    good = {"request_id": f"vision-{'0' * 32}", "label": "3"}
    for name, change, code in (
        ("of a path", {"request_id": "../../vision"}, "no_request_id"),
        ("of another server", {"request_id": f"birds-{'0' * 32}"}, "no_request_id"),
        ("of a number", {"request_id": 7}, "no_request_id"),
        ("without a label", {"label": ""}, "no_label"),
        ("with a list", {"label": ["3"]}, "no_label"),
        ("with a long label", {"label": "3" * 201}, "no_label"),
        ("with half a character", {"label": "\ud800"}, "half_character"),
        ("from half a character", {"source": "\ud800"}, "half_character"),
        ("at place 0", {"position": 0}, "no_position"),
        ("at place 2^40", {"position": 2**40}, "no_position"),
        ("at a place that is no number", {"position": "1"}, "no_position"),
    ):
        yield Hostile(f"feedback {name}", "/feedback", json.dumps(good | change).encode(), 422, code)
    yield Hostile("feedback that is no JSON", "/feedback", b"{" * 50_000, 400, "not_json")
    yield Hostile("too much feedback", "/feedback", json.dumps({"feedback": [good] * (ROWS + 1)}).encode(), 413, "too_many_rows")


def inputs(values: list[Any]) -> bytes:
    return json.dumps({"inputs": values}).encode()


def form(name: str, content: bytes) -> bytes:
    """A form with one file."""
    head = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--b--\r\n"


def saved(kind: str, size: tuple[int, int] = (12, 12)) -> bytes:
    file = io.BytesIO()
    Image.radial_gradient("L").resize(size).save(file, kind)
    return file.getvalue()


def animated() -> bytes:
    file = io.BytesIO()
    frames = [Image.new("L", (12, 12), shade) for shade in range(50)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG file that claims this size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def with_text(picture: bytes, text: bytes) -> bytes:
    """A PNG file with a compressed text before its pixels."""
    return picture[:33] + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(text, 9)) + picture[33:]


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
