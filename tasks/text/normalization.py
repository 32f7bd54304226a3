"""Text normalization: repairs, a check of usability, words, keys of near-duplicates, and noise for augmentation."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from hashlib import blake2b
from random import Random
from unicodedata import normalize

CJK = "\u3040-\u30ff\u3400-\u9fff"
"""Scripts without spaces between words: each character counts as a word."""
WORD = re.compile(rf"[{CJK}]|[^\W_{CJK}]+|'[sS]\b|[$!?%(]")
LETTER = re.compile(r"[^\W\d_]")
ENTITY = re.compile(r"&(?:#\d{1,6}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
ENTITY_NAMES = "quot|amp|lt|gt|nbsp|apos|hellip|mdash|ndash|rsquo|lsquo|rdquo|ldquo|eacute"
BROKEN_ENTITY = re.compile(rf" ?(?:#(0?\d{{2,4}})|\b({ENTITY_NAMES}));")
"""Entities whose ampersand was replaced by a space: `America #39;s`, ` quot;nuts, quot;`."""
TAG = re.compile(r"</?[A-Za-z][^<>]{0,2000}>|<!--.{0,2000}?-->")
ESCAPE = re.compile(r"\\(?=[$#&%\"'])")
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2060\ufeff]")
CONTINUATION = "\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122"
MOJIBAKE = re.compile(
    f"[\u00c2-\u00df][{CONTINUATION}]|[\u00e0-\u00ef][{CONTINUATION}]{{2}}|[\u00f0-\u00f4][{CONTINUATION}]{{3}}"
)
"""UTF-8 decoded as Windows-1252: the first byte of a character, then continuation bytes."""
REPLACEMENT = "\ufffd"
MASK = "_"
"""What replaces a masked word. No tokenizer takes it for a word."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class UnusableText(ValueError):
    """A text that a model cannot learn from. The message is `code: details`."""


def repair(text: str) -> tuple[str, list[str]]:
    """The repaired text, and the names in `REPAIRS` of the repairs that changed it."""
    applied = []
    for name, step in REPAIRS:
        repaired = step(text)
        if repaired != text:
            applied.append(name)
            text = repaired
    return text, applied


def usability_error(text: str, min_words: int, max_characters: int) -> str:
    """Why a repaired text is of no use: it is empty, damaged, too short or too long; empty if it is of use."""
    if not text:
        return "empty: there is no text"
    if REPLACEMENT in text:
        return f"wrong-encoding: {text.count(REPLACEMENT)} characters were lost, near {_excerpt(text, REPLACEMENT)!r}"
    if len(text) > max_characters:
        return f"too-long: {len(text):,} characters, {max_characters:,} are read"
    count = sum(1 for word in words(text) if LETTER.search(word))
    if count < min_words:
        return f"too-short: {count} words in {text[:40]!r}, {min_words} are needed"
    return ""


def words(text: str) -> list[str]:
    """The words of a text in lower case, and the punctuation in `WORD`, each as a word."""
    return [word.lower() for word in WORD.findall(text)]


def word_spans(text: str) -> list[tuple[int, int]]:
    """The start and end of each of `words` in the text."""
    return [match.span() for match in WORD.finditer(text)]


def text_keys(texts: Iterable[str]) -> list[str]:
    """A key per text. Texts that differ only in case, spaces, punctuation and markup have equal keys."""
    normalized = (" ".join(re.findall(r"[^\W_]+", text.casefold())) or text for text in texts)
    return [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() for text in normalized]


def add_noise(text: str, key: str, seed: int, *, drop: float, swap: float, spelling: float, mask: float) -> str:
    """The text with words dropped, neighbours swapped, typos, and one span masked; the same for the same key and seed.

    Each number is the share of words affected. At least one word stays.
    """
    random = Random(f"{seed} {key}")
    parts = text.split()
    masked = round(mask * len(parts) + random.random() - 0.5) if mask else 0
    if 0 < masked < len(parts):
        start = int(random.random() * (len(parts) - masked + 1))
        parts[start : start + masked] = [MASK]
    kept = [part for part in parts if random.random() >= drop] or parts[:1]
    for position in range(len(kept) - 1):
        if random.random() < swap:
            kept[position], kept[position + 1] = kept[position + 1], kept[position]
    return " ".join(_with_typo(part, random) if len(part) > 3 and random.random() < spelling else part for part in kept)


def _with_typo(word: str, random: Random) -> str:
    """The word with one typo: two letters swapped, one missing, one doubled, or one replaced."""
    position, kind = 1 + int(random.random() * (len(word) - 2)), int(random.random() * 4)
    if kind == 0:
        return word[:position] + word[position + 1] + word[position] + word[position + 2 :]
    other = {1: "", 2: word[position] * 2, 3: LETTERS[int(random.random() * len(LETTERS))]}[kind]
    return word[:position] + other + word[position + 1 :]


def _fix_mojibake(text: str) -> str:
    """Undo up to two decodings of UTF-8 as Windows-1252, wherever the bytes are valid UTF-8."""
    for _ in range(2):
        text = MOJIBAKE.sub(_decode_utf8, text)
    return text


def _decode_utf8(match: re.Match[str]) -> str:
    try:
        return b"".join(_byte(character) for character in match[0]).decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return match[0]  # not UTF-8: the text means these characters


def _byte(character: str) -> bytes:
    return character.encode("latin-1" if "\x80" <= character <= "\x9f" else "cp1252")


def _unescape(text: str) -> str:
    for _ in range(2):  # some entities are escaped twice
        text = ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return BROKEN_ENTITY.sub(_restore_entity, text)


def _restore_entity(match: re.Match[str]) -> str:
    character = html.unescape(f"&#{int(match[1])};" if match[1] else f"&{match[2]};")
    return character if not match[1] or character in "\"$&'<>" or not character.isascii() else match[0]


def _excerpt(text: str, character: str) -> str:
    position = text.index(character)
    return text[max(0, position - 12) : position + 12]


REPAIRS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("encoding", _fix_mojibake),
    ("composition", lambda text: normalize("NFC", text)),
    ("entities", _unescape),
    ("markup", lambda text: TAG.sub(" ", text)),
    ("backslashes", lambda text: ESCAPE.sub("", text).replace("\\", " ")),
    ("control-characters", lambda text: CONTROL.sub("", text)),
    ("spaces", lambda text: " ".join(text.split())),
)
