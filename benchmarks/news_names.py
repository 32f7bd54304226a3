"""Real newswire sentences with names tagged by rules, for `named_entities`: a column file of AG News.

The tags are no annotator's. They come from what the wire itself marks: companies with a ticker behind them, datelines, the
agency in brackets, people behind a title such as "President", and the countries and cities of the time zone database. A name
that is marked once is tagged wherever it stands. So the figures compare two models on the same rows, and say little about
newspapers.
"""

from __future__ import annotations

import html
import lzma
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

import pandas as pd

TRAIN_FILES, TEST_FILE = ("train_20k_balanced.csv.xz", "train_12k_random.csv.xz"), "test.csv.xz"
TITLES = (
    "President|Prime Minister|Secretary of State|Foreign Minister|Finance Minister|Defense Secretary|Senator|Sen\\.|Rep\\.|"
    "Chairman|Chief Executive|coach|Coach|quarterback|Mr\\.|Mrs\\.|Ms\\.|Dr\\.|Gov\\.|Judge|Justice|General|striker|"
    "pitcher|champion"
)
NAME = r"[A-Z][a-z]+(?:[-'][A-Z][a-z]+)?"
PERSON = re.compile(rf"\b(?:{TITLES})\s+({NAME}(?:\s+(?:[A-Z]\.\s+)?{NAME}){{0,2}})")
COMPANY = re.compile(rf"((?:{NAME}|[A-Z]{{2,5}})(?:\s+(?:{NAME}|&|[A-Z]{{2,5}}|Inc\.|Corp\.|Co\.|Ltd\.|Plc)){{0,3}})\s+TICKER")
DATELINE = re.compile(r"^\s*([A-Z]{3,}(?:\s[A-Z]{3,})?)(?:,\s*([A-Z][a-z.]+))?\s+(?:\(|-\s)")
AGENCIES = {"Reuters", "AP", "AFP"}
LINK = re.compile(r"<A HREF=.*?>.*?</A>|\([A-Z]+\.[A-Z]{1,2}\s*:[^)]*\)", re.IGNORECASE)
NO_NAMES = {"The", "On", "In", "A", "It", "But", "He", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
CONTINENTS = ("Africa", "America", "Asia", "Australia", "Europe", "Pacific", "Atlantic", "Indian")
NO_CITIES = {"South", "North", "West", "Center", "Easter", "Wake", "Canary", "Nome", "Currie", "Knox", "Reunion", "Eastern"}
WORDS = re.compile(r"[A-Z]\.(?:[A-Z]\.)+|(?:Inc|Corp|Co|Ltd|Mr|Mrs|Ms|Dr|Sen|Rep|Gov)\.|\w+(?:[-']\w+)*|[^\w\s]")
MIN_WORDS, MAX_WORDS, MAX_NAME = 6, 60, 5
Names = dict[tuple[str, ...], str]


def write(folder: Path, place: Path, train: int, test: int) -> None:
    """Write train.conll and test.conll into `place`: the first sentences with a name, of the wire's train and test files."""
    texts = {"train": [text for name in TRAIN_FILES for text in _texts(folder / name)], "test": list(_texts(folder / TEST_FILE))}
    names = gazetteer([*texts["train"], *texts["test"]])
    for split, count in (("train", train), ("test", test)):
        chosen: list[str] = []
        for text in dict.fromkeys(texts[split]):
            sentence = list(tagged(_words(text), names))
            if MIN_WORDS <= len(sentence) <= MAX_WORDS and any(tag != "O" for _, tag in sentence):
                chosen.append("".join(f"{word} {tag}\n" for word, tag in sentence))
            if len(chosen) == count:
                break
        (place / f"{split}.conll").write_text("\n".join(chosen), encoding="utf-8")


def _texts(path: Path) -> Iterator[str]:
    """The descriptions of one file, with HTML entities that lack an ampersand decoded. The file of test rows has no header."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        table = pd.read_csv(file, dtype=str, header=None if path.name == TEST_FILE else 0).fillna("")
    for text in table.iloc[:, 2]:
        text = re.sub(r"(?<!&)#(\d+);", r"&#\1;", text.replace("\\", " ")).replace(" quot;", ' "')
        yield re.sub(r"\s+", " ", html.unescape(html.unescape(text))).replace(" '", "'")


def gazetteer(texts: Iterable[str]) -> Names:
    """The names that the texts mark, and those of places; of a name with several kinds the most frequent one."""
    counts: dict[tuple[str, ...], Counter[str]] = {}

    def count(name: str, kind: str, weight: int = 1) -> None:
        words = tuple(_words(name))
        if words and words[0] not in NO_NAMES and (len(words) > 1 or len(words[0]) > 2 or words[0] in AGENCIES):
            counts.setdefault(words, Counter())[kind] += weight

    for place in places():
        count(place, "LOC", 5)
    for agency in AGENCIES:
        count(agency, "ORG", 1000)
    for text in texts:
        if match := DATELINE.match(text):
            count(match[1].title(), "LOC")
            counts.setdefault(tuple(match[1].split()), Counter())["LOC"] += 1
        for match in COMPANY.finditer(LINK.sub(" TICKER ", text)):
            count(match[1], "ORG")
        for match in PERSON.finditer(text):
            count(match[1], "PER")
    return {words: kinds.most_common(1)[0][0] for words, kinds in counts.items()}


def places() -> Iterator[str]:
    """Countries, and the cities that time zones are named after."""
    zones = files("tzdata") / "zoneinfo"
    for line in (zones / "iso3166.tab").read_text().splitlines():
        if not line.startswith("#"):
            yield line.split("\t")[1].partition(" (")[0]
    for line in (zones / "zone1970.tab").read_text().splitlines():
        zone = "" if line.startswith("#") else line.split("\t")[2]
        city = zone.rpartition("/")[2].replace("_", " ")
        if zone.startswith(CONTINENTS) and len(city) > 3 and city not in NO_CITIES:
            yield city


def _words(text: str) -> list[str]:
    return WORDS.findall(LINK.sub(" ", text))


def tagged(words: list[str], names: Names) -> Iterator[tuple[str, str]]:
    """Each word with its IOB2 tag: the longest name that begins at a word is one."""
    place = 0
    while place < len(words):
        longest = min(MAX_NAME, len(words) - place)
        size = next((size for size in range(longest, 0, -1) if tuple(words[place : place + size]) in names), 0)
        kind = names.get(tuple(words[place : place + size]), "")
        for offset in range(max(size, 1)):
            yield words[place + offset], f"{'I' if offset else 'B'}-{kind}" if size else "O"
        place += max(size, 1)
