"""Data of one's own are trained for enough steps and not for too many, and the card says how that went."""

from typing import Any

import pytest

from tasks.core.settings import Fetch, Training
from tasks.training import budget
from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.use_case import Nlp

FIVE = Training(epochs=5, batch_size=256)


@pytest.mark.parametrize(
    ("training", "rows", "classes", "epochs"),
    [
        (FIVE, 1_400, 2, 37),
        (FIVE, 7_000, 50, 25),
        (FIVE, 30_000, 4, 5),
        (FIVE, 100, 2, 60),
        (FIVE, 50_000_000, 2, 1),
        (Training(epochs=5, batch_size=256, min_steps=1), 1_400, 2, 5),
        (Training(epochs=5, batch_size=256, min_steps=600), 100, 2, 600),
        (Training(epochs=5, batch_size=256, max_steps=12), 1_400, 2, 2),
        (Training(epochs=5, batch_size=32, accumulate=4), 1_400, 2, 20),
    ],
)
def test_the_epochs_follow_from_a_floor_and_a_ceiling_of_steps(training: Any, rows: int, classes: int, epochs: int) -> None:
    assert budget.epochs_within(training, rows, classes) == epochs


def test_two_thousand_statements_get_more_than_a_few_steps_and_it_is_written_down() -> None:
    case, note = budget.within_budget(Nlp(fetch=TextFetch(path="x"), training=FIVE), 1_400, {"classes": ["a", "b"]})
    assert case.training.epochs == 37
    assert note == "37 epochs, 222 steps, instead of 5 epochs: 1,400 train rows are few"


def test_packaged_data_keep_the_epochs_that_were_tuned_for_them() -> None:
    assert budget.within_budget(Nlp(fetch=TextFetch(limit=100), training=FIVE), 100, {}) == (
        Nlp(fetch=TextFetch(limit=100), training=FIVE),
        "",
    )
    assert Fetch().source == "packaged"


def points(losses: Any) -> list[dict[str, float]]:
    return [{"epoch": place, "loss": 0.1, "validation_loss": loss} for place, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("losses", "begins"),
    [
        ([0.9, 0.5, 0.6, 0.8], "Overfitted: validation loss fell to 0.500 in epoch 2 and rose to 0.800, while training loss"),
        ([0.9, 0.8, 0.7, 0.6], "Underfitted: validation loss still fell when training ended (0.700 to 0.600"),
        ([0.9, 0.5, 0.5, 0.49], ""),
        ([0.9, 0.2], ""),
    ],
)
def test_the_curves_tell_a_fit_that_ended_too_early_or_too_late(losses: Any, begins: str) -> None:
    sentence = budget.diagnose(points(losses), 2)
    assert sentence.startswith(begins)
    assert bool(sentence) == bool(begins)
