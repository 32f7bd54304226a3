"""Lines of text files of any encoding, packing and line ends. An invalid one raises a `UserError` with its line and byte."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from tasks.core.errors import UserError
from tasks.data.tables import byte_kinds

MAX_LINE_BYTES = 16_000_000
HEAD_BYTES, CHUNK_BYTES = 65_536, 1_048_576
COMPRESSED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
DAMAGE = (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError)
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def check_encoding(name: str) -> None:
    """Raise a `ValueError` for an encoding that Python does not know; empty is UTF-8."""
    try:
        codecs.lookup(name or "utf-8")
    except LookupError:
        raise ValueError(f"encoding is {name!r}; expected a name such as utf-8, cp1252, latin-1, gb18030, shift_jis") from None


class TextLines:
    """The lines of a file as text, each ending in a line feed but perhaps the last one.

    `encoding` is UTF-8 if empty; UTF-16 is known by its byte order mark or its zeros. Lines end in a line feed, or in carriage
    returns alone where the file has no line feed at its beginning.
    """

    def __init__(self, file: IO[bytes], path: Path, encoding: str = "") -> None:
        self.file, self.path = file, path
        self.number = 0
        self.is_incomplete = False
        """Whether the line read last ends with neither a line break nor a closing quotation mark."""
        self._head = self._read(HEAD_BYTES)
        if (kind := byte_kinds.other_kind(self._head)) and not encoding:
            raise UserError(f"{path} is {kind}")
        self.encoding = encoding or _MARKS.get(self._head[:2], "") or byte_kinds.utf16_without_mark(self._head)
        recoded = self.encoding.lower().replace("_", "-") not in ("", "utf-8", "utf-8-sig")
        self._decoder = codecs.getincrementaldecoder(self.encoding)() if recoded else None
        self._first = self._utf8(self._head, final=len(self._head) < HEAD_BYTES)
        self._offset = 3 * self._first.startswith(codecs.BOM_UTF8)
        self._first = self._first[self._offset :]
        self.mac = b"\r" in self._first.removesuffix(b"\r") and b"\n" not in self._first
        """Whether lines end in carriage returns alone."""

    def head(self) -> list[str]:
        """The first lines, without the last one if it goes on beyond them. Bytes that are no text are replaced."""
        lines = self._first.decode("utf-8", "replace").split("\r" if self.mac else "\n")
        return [line.rstrip("\r") for line in (lines[:-1] if len(self._head) == HEAD_BYTES or not lines[-1] else lines)]

    def __iter__(self) -> Iterator[str]:
        for line in self._byte_lines():
            self.number += 1
            if b"\0" in line:
                place = f"{self.path}, line {self.number}: byte {self._offset + line.index(0):,}"
                raise UserError(f"{place} is zero; this is no text")
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{self.path}, line {self.number}: byte {self._offset + error.start:,} ({line[error.start]:#04x}) is not "
                    f"UTF-8; {self._advice()}"
                ) from None
            self.is_incomplete = not line.endswith((b"\n", b'"'))
            yield text
            self._offset += len(line)

    def _advice(self) -> str:
        """What to do about a file that is not UTF-8, with the encoding in which its beginning looks like text."""
        if byte_kinds.is_binary(self._head):
            return "this is no text"
        lines = self._head.rpartition(b"\n")[0] or self._head
        encoding, words = byte_kinds.likely_encoding(lines)
        return f"save the file as UTF-8, or name its encoding: it may be {words}, fetch.encoding={encoding}"

    def _byte_lines(self) -> Iterator[bytes]:
        pending, chunk, mark = b"", self._first, b"\r" if self.mac else b"\n"
        while True:
            *lines, pending = (pending + chunk).split(mark)
            for line in lines:
                self._check_length(line)
                yield line + b"\n"
            self._check_length(pending)
            packed = self._read(CHUNK_BYTES)
            if not packed:
                break
            chunk = self._utf8(packed)
        pending += self._utf8(b"", final=True)
        if pending:
            yield pending

    def _utf8(self, data: bytes, *, final: bool = False) -> bytes:
        if self._decoder is None:
            return data
        try:
            return self._decoder.decode(data, final).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            wrong = f"{error.object[error.start]:#04x}" if error.start < len(error.object) else "the end"
            raise UserError(
                f"{self.path}, after line {self.number}: {wrong} is not {self.encoding}; is that its encoding?"
            ) from None

    def _read(self, size: int) -> bytes:
        try:
            return self.file.read(size)
        except EOFError:
            raise UserError(f"{self.path} is cut short: its compressed data ends early; fetch or copy it again") from None
        except DAMAGE as error:
            raise UserError(f"{self.path} is damaged: {' '.join(str(error).split())}; fetch or copy it again") from None

    def _check_length(self, line: bytes) -> None:
        if len(line) > MAX_LINE_BYTES:
            raise UserError(f"{self.path}, line {self.number + 1} is longer than {MAX_LINE_BYTES:,} bytes; is this a table?")


def packed_name(path: Path) -> str:
    """The name of the file without the suffix of its compression; of a zip archive, the name of the one file in it."""
    if path.suffix.lower() in COMPRESSED:
        return path.stem
    if path.suffix.lower() != ".zip":
        return path.name
    members = _members(path)
    if len(members) != 1:
        raise UserError(f"{path} holds {len(members)} files; unpack it and name the table in it")
    return members[0]


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except DAMAGE as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())}; fetch or copy it again") from None
    return [name for name in names if not name.startswith("__MACOSX") and not name.rpartition("/")[2].startswith(".")]


@contextmanager
def decompressed(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked if its suffix says that it is compressed."""
    if path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive, archive.open(packed_name(path)) as member:
                yield member
        except (RuntimeError, NotImplementedError) as error:  # a password, a method that Python does not know
            raise UserError(f"{path} cannot be unpacked: {' '.join(str(error).split())}; unpack it") from None
        return
    opener = COMPRESSED.get(path.suffix.lower(), open)
    with cast(IO[bytes], opener(path, "rb")) as file:
        yield file
