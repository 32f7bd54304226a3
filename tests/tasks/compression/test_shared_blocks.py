"""A student that shares its teacher's first blocks learns its last ones from stored activations."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from tasks.compression.steps.distill import Distill
from tasks.core.settings import ClassTraining
from tasks.use_cases.vision import images
from tasks.use_cases.vision.settings import ImageFetch, ImageModel
from tasks.use_cases.vision.use_case import Vision
from tests.support import tiny_images
from tests.support.pretrained_networks import write_packaged_weights

TRAINING = ClassTraining(epochs=6, batch_size=16, learning_rate=0.002, precision="fp32")


def context_and_teacher(folder: Path) -> tuple[Any, Any]:
    """Pictures that are bright on the left or on the right, and a network of four blocks with random first weights."""
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 120, (96, 3, 32, 32)).astype(np.uint8)
    sides = np.arange(96) % 2
    for picture, right in zip(pictures, sides, strict=True):
        picture[:, :, 16 * right : 16 * right + 16] += 100
    rows = pd.DataFrame(
        {"image": [images.encode_png(picture) for picture in pictures], "label": np.where(sides, "right", "left"), "fit": "crop"}
    )
    weights = str(write_packaged_weights(folder / "w.pth", 4))
    model = ImageModel(architecture="efficientnet_lite0", weights=weights, blocks=4, trained_blocks=1)
    case: Any = Vision(fetch=ImageFetch(path="mine"), model=model, training=TRAINING)
    state = case.fit_preprocessing(rows)
    inputs, targets = case.encode(rows, state)
    context = tiny_images.compression_context(
        folder,
        case=case,
        state=state,
        inputs=inputs[:64],
        targets=targets[:64],
        validation_inputs=inputs[64:],
        validation_targets=targets[64:],
        score=lambda outputs: float((outputs.argmax(1) == targets[64:]).mean()),
    )
    torch.manual_seed(0)
    return context, case.build_model(state).eval()


def test_only_the_last_blocks_change_and_equal_calls_give_equal_students(tmp_path: Path) -> None:
    context, teacher = context_and_teacher(tmp_path)
    student: Any = Distill(width_share=0.5)(teacher, context)
    assert student.fields["blocks"] == 3
    assert student.blocks[2].bn1.num_features == 72
    for name, tensor in student.state_dict().items():
        if name.startswith(("conv_stem", "bn0", "blocks.0", "blocks.1")):
            assert torch.equal(tensor, teacher.state_dict()[name]), name
    (tmp_path / "again").mkdir()
    context, teacher = context_and_teacher(tmp_path / "again")
    again = Distill(width_share=0.5)(teacher, context)
    assert all(torch.equal(one, other) for one, other in zip(student.parameters(), again.parameters(), strict=True))


def test_a_student_of_shared_blocks_learns_the_classes(tmp_path: Path) -> None:
    context, teacher = context_and_teacher(tmp_path)
    student = Distill(width_share=0.5, teacher_share=0.0)(teacher, context)
    with torch.no_grad():
        outputs = student(torch.from_numpy(context.validation_inputs)).numpy()
    assert context.score(outputs) > 0.9
