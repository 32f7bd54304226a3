"""The section on robustness of a model card."""

from tasks.release import model_card

SCORES = {"score": 0.8, "low": 0.7, "high": 0.9, "dense_score": 0.85}
DROP = {"value": 0.05, "low": 0.01, "high": 0.09}


def test_the_section_lists_clean_rows_corruptions_and_attacks_beside_dense() -> None:
    report = {
        "rows": 1000,
        "clean": SCORES,
        "corruptions": [{"name": "noise", "severity": 2, "rows": 1000, **SCORES, "drop": DROP}],
        "mean": {"drop": DROP},
        "adversarial": [{"attack": "PGD", "epsilon": 0.1, "rows": 100, **SCORES, "drop": None}],
        "adversarial_note": "white box on the network",
    }
    text = model_card.robustness(report)["Robustness"]
    assert "Mean drop against dense over the corruptions: +0.0500 (+0.0100..+0.0900)." in text
    assert "Adversarial examples: white box on the network." in text
    assert text.splitlines()[-3:] == [
        "| no change | 1,000 | 0.8000 (0.7000..0.9000) | 0.8500 |  |",
        "| noise 2 | 1,000 | 0.8000 (0.7000..0.9000) | 0.8500 | +0.0500 (+0.0100..+0.0900) |",
        "| PGD at 0.100 | 100 | 0.8000 (0.7000..0.9000) | 0.8500 |  |",
    ]


def test_a_model_without_measured_robustness_has_no_such_section() -> None:
    assert model_card.robustness({}) == {}
