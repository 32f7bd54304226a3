"""The model card's line on slices where the released model is worse than dense."""

from typing import Any

from tasks.release import model_card

COAT = {
    "slice": "label = coat",
    "rows": 1080,
    "drop": {"value": 0.3, "low": 0.2, "high": 0.4},
    "p": 0.0001,
    "adjusted_p": 0.0007,
}


def section(**changes: Any) -> dict[str, str]:
    return model_card.slices({"slices": {"candidates": 26, "tested": 7, "confirmed": [], "nearest": []} | changes})


def test_a_confirmed_slice_is_named_with_its_drop() -> None:
    assert section(confirmed=[COAT], nearest=[COAT])["Slices"] == (
        "Shown to be worse than dense, of 7 of 26 slices (classes, groups, ranges of a number) tested on test rows: "
        "`label = coat`, drop +0.3000 (+0.2000..+0.4000) on 1,080 rows, adjusted p 0.0007."
    )


def test_without_a_confirmed_slice_the_nearest_is_named() -> None:
    text = section(nearest=[COAT])["Slices"]
    assert text.startswith("None of 7 of 26 slices")
    assert "is shown to be worse than dense. Nearest: `label = coat`" in text
    assert section()["Slices"].endswith("is shown to be worse than dense.")


def test_dense_and_older_metrics_have_no_section() -> None:
    assert model_card.slices({}) == {}
