"""A pretrained network is fitted by frozen features, by its last blocks, or as a whole."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tasks.core.errors import UserError
from tasks.core.settings import PretrainedModel, Training
from tasks.models.vision.efficientnet_lite0 import EfficientnetLite0
from tasks.training.transfer import modes
from tests.support.pretrained_networks import packaged_tensors

TRAINING = Training(epochs=2, batch_size=16, learning_rate=0.003, precision="fp32", schedule="constant", warmup_share=0.0)


def pictures(count: Any, seed: Any) -> Any:
    """Pictures with a bright upper or lower half."""
    generator = np.random.default_rng(seed)
    inputs, targets = generator.integers(0, 120, (count, 3, 32, 32), np.uint8), generator.integers(0, 2, count)
    for picture, target in zip(inputs, targets, strict=True):
        picture[:, 16 * target : 16 * target + 16] += 100
    return inputs, targets


def network() -> Any:
    built = EfficientnetLite0(side=32, classes=2, blocks=2)
    built.load_pretrained(packaged_tensors(2))
    return built


def accuracy(outputs: Any, targets: Any) -> Any:
    return {"accuracy": float((outputs.argmax(1) == targets).mean())}


def fit(tmp_path: Path, mode: Any, built: Any = None, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "training": TRAINING,
        "objective": lambda run, x, y: functional.cross_entropy(run(x), y),
        "monitor": accuracy,
        "checkpoint": tmp_path / mode,
    } | changes
    model = PretrainedModel(mode=mode, trained_blocks=1, cached_variants=2, block_decay=0.5)
    return modes.fit(model, built or network(), *pictures(64, 1), validation=pictures(48, 2), **arguments)


def changed(before: Any, after: Any) -> set[str]:
    own = after.state_dict()
    return {name for name, tensor in before.state_dict().items() if not torch.equal(tensor, own[name])}


def test_frozen_changes_the_head_alone_and_learns(tmp_path: Path) -> None:
    fitted = fit(tmp_path, "frozen")
    assert changed(network(), fitted.network) == {"fc.weight", "fc.bias"}
    assert fitted.curves[0]["validation_accuracy"] > 0.9
    assert (fitted.epochs, fitted.best_epoch, fitted.steps) == (1, 1, 0)


def test_the_last_blocks_change_and_the_first_stay(tmp_path: Path) -> None:
    fitted = fit(tmp_path, "last_blocks", monitor=lambda outputs, targets: {"score": 1.0})
    names = changed(network(), fitted.network)
    assert {"fc.weight", "conv_head.weight", "blocks.1.project_conv.weight"} <= names
    assert not any(name.startswith(("conv_stem", "bn0", "blocks.0")) for name in names)
    assert not any("running" in name for name in names)
    assert (fitted.epochs, fitted.best_epoch) == (3, 3)


def test_all_changes_every_layer_and_the_curves_begin_with_the_linear_head(tmp_path: Path) -> None:
    fitted = fit(tmp_path, "all", monitor=lambda outputs, targets: {"score": 1.0})
    assert {"conv_stem.weight", "blocks.0.project_conv.weight", "fc.weight"} <= changed(network(), fitted.network)
    assert [point["epoch"] for point in fitted.curves] == [1, 2, 3]
    assert fitted.curves[0]["learning_rate"] == 0


def test_the_linear_head_is_kept_where_fine_tuning_makes_it_worse(tmp_path: Path) -> None:
    scores = iter([1.0, 0.5, 0.4])
    fitted = fit(tmp_path, "all", monitor=lambda outputs, targets: {"score": next(scores)})
    assert changed(network(), fitted.network) == {"fc.weight", "fc.bias"}
    assert fitted.best_epoch == 1


@pytest.mark.parametrize("mode", ["frozen", "last_blocks", "all"])
def test_equal_arguments_give_equal_bytes(tmp_path: Path, mode: Any) -> None:
    first, second = (fit(tmp_path / str(number), mode, augmentation=lambda x, u: x.flip(3)).network for number in range(2))
    assert not changed(first, second)


def test_the_learning_rate_falls_from_the_head_to_the_inputs() -> None:
    shares = modes.learning_rate_shares(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), 0.5)
    assert shares == {"0.weight": 0.25, "0.bias": 0.25, "2.weight": 1.0, "2.bias": 1.0}


def test_targets_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    inputs, targets = pictures(8, 1)
    with pytest.raises(UserError, match="learns classes only"):
        modes.fit(
            PretrainedModel(),
            network(),
            inputs,
            targets.astype(np.float32),
            validation=(inputs, targets),
            training=TRAINING,
            objective=lambda run, x, y: run(x).mean(),
            monitor=accuracy,
            checkpoint=tmp_path,
        )


def test_adversarial_training_needs_the_mode_that_trains_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.mode=all"):
        fit(tmp_path, "frozen", training=replace(TRAINING, adversarial=0.1))
