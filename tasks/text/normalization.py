"""Text as people leave it, and text as a model can trust it: mended, judged, cut into words, and made noisy on purpose."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from hashlib import blake2b
from random import Random
from unicodedata import normalize

CJK = "\u3040-\u30ff\u3400-\u9fff"
"""Scripts that put no spaces between words: each sign is a word."""
WORD = re.compile(rf"[{CJK}]|[^\W_{CJK}]+|'[sS]\b|[$!?%(]")
LETTER = re.compile(r"[^\W\d_]")
ENTITY = re.compile(r"&(?:#\d{1,6}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
ENTITY_NAMES = "quot|amp|lt|gt|nbsp|apos|hellip|mdash|ndash|rsquo|lsquo|rdquo|ldquo|eacute"
BROKEN_ENTITY = re.compile(rf" ?(?:#(0?\d{{2,4}})|\b({ENTITY_NAMES}));")
"""Entities whose ampersand was lost to a space: `America #39;s`, ` quot;nuts, quot;`."""
TAG = re.compile(r"</?[A-Za-z][^<>]{0,2000}>|<!--.{0,2000}?-->")
ESCAPE = re.compile(r"\\(?=[$#&%\"'])")
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2060\ufeff]")
CONTINUATION = "\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122"
MOJIBAKE = re.compile(
    f"[\u00c2-\u00df][{CONTINUATION}]|[\u00e0-\u00ef][{CONTINUATION}]{{2}}|[\u00f0-\u00f4][{CONTINUATION}]{{3}}"
)
"""UTF-8 read as Windows-1252: the first byte of a letter, then one that can only continue it."""
REPLACEMENT = "\ufffd"
MASK = "_"
"""What stands where a word was hidden; no tokenizer takes it for a word."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class UnusableText(ValueError):
    """Why a text says nothing a model could learn from, as `code: details`."""


def repair(text: str) -> tuple[str, list[str]]:
    """The text as it was meant, and what had to be mended, by the names in `REPAIRS`."""
    fixes = []
    for fix, step in REPAIRS:
        mended = step(text)
        if mended != text:
            fixes.append(fix)
            text = mended
    return text, fixes


def check_usable(text: str, min_words: int, max_characters: int) -> None:
    """Raise `UnusableText` for a mended text that is empty, damaged, too short or too long."""
    if not text:
        raise UnusableText("empty: there is no text")
    if REPLACEMENT in text:
        raise UnusableText(
            f"wrong-encoding: {text.count(REPLACEMENT)} characters were lost, near {_excerpt(text, REPLACEMENT)!r}"
        )
    if len(text) > max_characters:
        raise UnusableText(f"too-long: {len(text):,} characters, {max_characters:,} are read")
    found = sum(1 for word in words(text) if LETTER.search(word))
    if found < min_words:
        raise UnusableText(f"too-short: {found} words in {text[:40]!r}, {min_words} are needed")


def words(text: str) -> list[str]:
    """Its words in lower case, and the few signs that say something of a text's kind."""
    return [word.lower() for word in WORD.findall(text)]


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where each of `words` stands in the text: begin and end."""
    return [found.span() for found in WORD.finditer(text)]


def text_keys(texts: Iterable[str]) -> list[str]:
    """A key per text that is equal where letters and digits are: case, spaces, signs and markup do not count."""
    bare = (" ".join(re.findall(r"[^\W_]+", text.casefold())) or text for text in texts)
    return [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() for text in bare]


def add_noise(text: str, key: str, seed: int, *, drop: float, swap: float, spelling: float, mask: float) -> str:
    """The text with words dropped, neighbours swapped, letters mistyped and one span hidden; the same for the same key and seed.

    Each number is the share of words it befalls. At least one word stays.
    """
    dice = Random(f"{seed} {key}")
    parts = text.split()
    hidden = round(mask * len(parts) + dice.random() - 0.5) if mask else 0
    if 0 < hidden < len(parts):
        start = int(dice.random() * (len(parts) - hidden + 1))
        parts[start : start + hidden] = [MASK]
    kept = [part for part in parts if dice.random() >= drop] or parts[:1]
    for place in range(len(kept) - 1):
        if dice.random() < swap:
            kept[place], kept[place + 1] = kept[place + 1], kept[place]
    return " ".join(_with_typo(part, dice) if len(part) > 3 and dice.random() < spelling else part for part in kept)


def _with_typo(word: str, dice: Random) -> str:
    """One slip of the finger: two letters swapped, one left out, one doubled, or another one hit."""
    place, kind = 1 + int(dice.random() * (len(word) - 2)), int(dice.random() * 4)
    if kind == 0:
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    other = {1: "", 2: word[place] * 2, 3: LETTERS[int(dice.random() * len(LETTERS))]}[kind]
    return word[:place] + other + word[place + 1 :]


def _fix_mojibake(text: str) -> str:
    """Undo UTF-8 that was read as Windows-1252, as often as it happened, wherever it is certain."""
    for _ in range(2):
        text = MOJIBAKE.sub(_decode_utf8, text)
    return text


def _decode_utf8(found: re.Match[str]) -> str:
    try:
        return b"".join(_byte(sign) for sign in found[0]).decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return found[0]  # no UTF-8 after all: these signs were meant


def _byte(sign: str) -> bytes:
    return sign.encode("latin-1" if "\x80" <= sign <= "\x9f" else "cp1252")


def _unescape(text: str) -> str:
    for _ in range(2):  # some were escaped twice
        text = ENTITY.sub(lambda found: html.unescape(found[0]), text)
    return BROKEN_ENTITY.sub(_restore_entity, text)


def _restore_entity(found: re.Match[str]) -> str:
    sign = html.unescape(f"&#{int(found[1])};" if found[1] else f"&{found[2]};")
    return sign if not found[1] or sign in "\"$&'<>" or not sign.isascii() else found[0]


def _excerpt(text: str, sign: str) -> str:
    place = text.index(sign)
    return text[max(0, place - 12) : place + 12]


REPAIRS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("encoding", _fix_mojibake),
    ("composition", lambda text: normalize("NFC", text)),
    ("entities", _unescape),
    ("markup", lambda text: TAG.sub(" ", text)),
    ("backslashes", lambda text: ESCAPE.sub("", text).replace("\\", " ")),
    ("control-characters", lambda text: CONTROL.sub("", text)),
    ("spaces", lambda text: " ".join(text.split())),
)
