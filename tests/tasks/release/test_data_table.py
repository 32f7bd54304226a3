"""The card says in one table which data a model is from and what was done to them, and truly what its file holds."""

import pytest

from tasks.core.settings import Fetch
from tasks.release.data_table import contents, data_section

QUALITY = {
    "rows_in": 1000,
    "kept": 950,
    "fixed": 12,
    "quarantined": 30,
    "duplicates": 20,
    "reasons": {"duplicate": 20, "too-short": 28, "leak": 2},
    "fixes": {"entities": 12},
    "leaks": {"test": 2},
    "official_test": {"rows": 100, "kept": 100, "repeats": 3},
    "rare_classes": {"gnu": 2},
}


def test_every_row_of_the_data_is_accounted_for_in_one_table() -> None:
    fetch = Fetch(path="/somewhere/my|data.csv", fingerprint="ab12")
    assert data_section("my data", fetch, {"train": 700, "test": 250}, QUALITY).split("\n\n")[0].splitlines()[2:] == [
        "| name | my data |",
        "| files | my\\|data.csv |",
        "| SHA-256 | ab12 |",
        "| rows read | 1,000 |",
        "| kept | 950, 12 of them repaired (entities 12) |",
        "| quarantined | 30 (too-short 28, leak 2) |",
        "| duplicates left out | 20 |",
        "| left out because a like row is in another split | 2 |",
        "| the source's own test split | 100 of 100 rows kept, 3 of them repeat another one |",
        "| classes left out for want of rows | gnu |",
        "| splits | 250 test, 700 train |",
    ]


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"vocabulary": {}}, "its tokens: `inputs` are token numbers, not text."),
        ({"channels": 3}, "Not inside: decoding a picture's file."),
        ({"categories": {}}, "Not inside: reading numbers from text, and the codes of categories"),
        ({"classes": []}, "Not inside: the cleaning of raw rows."),
    ],
)
def test_the_card_does_not_claim_what_is_not_in_the_file(state: dict[str, object], sentence: str) -> None:
    assert sentence in contents(state)
