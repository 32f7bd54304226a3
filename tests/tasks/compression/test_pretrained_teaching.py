"""A pretrained teacher labels every row once; its logits travel with the targets, and rows without a label teach too."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.compression import pretrained_teaching, teacher_training
from tasks.compression.steps.distill import Distill
from tasks.core.errors import UserError
from tasks.core.settings import PretrainedTeacher, Training
from tasks.problems.multiclass_classification import MulticlassClassification
from tasks.stages import compress
from tasks.training import encoding, trainer
from tasks.use_cases.nlp.use_case import Nlp
from tests.support import tiny_images
from tests.support.text_rows import animals
from tests.support.tiny_encoder import write_encoder

TRAINING = Training(epochs=4, batch_size=32, learning_rate=0.05, precision="fp32")
FIT = {"mode": "all", "epochs": 4, "batch_size": 16, "learning_rate": 0.003}


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "encoder", animals()["text"].to_list())


def text_context(folder: Path, unlabelled: Any = None) -> Any:
    """A compression context of animal texts, with rows without a label."""
    case = Nlp(training=TRAINING)
    train, validation = animals(160), animals(200).tail(40).reset_index(drop=True)
    state = case.fit_preprocessing(train)
    (inputs, targets), (validation_inputs, validation_targets) = case.encode(train, state), case.encode(validation, state)
    return tiny_images.compression_context(
        folder,
        case=case,
        state=state,
        inputs=inputs,
        targets=targets,
        validation_inputs=validation_inputs,
        validation_targets=validation_targets,
        score=lambda outputs: float((outputs.argmax(1) == validation_targets).mean()),
        read_train=lambda: [train],
        read_validation=lambda: [validation],
        read_unlabelled=lambda: [] if unlabelled is None else [unlabelled],
    )


def unlabelled_rows(count: int = 30) -> Any:
    return animals(count).assign(label="unlabelled", text=lambda rows: rows["text"] + " unseen", split="unlabelled")


def test_the_targets_hold_the_class_and_the_logits_and_rows_without_a_label_hold_no_class(tmp_path: Path, encoder: Path) -> None:
    context = text_context(tmp_path, unlabelled_rows())
    lesson = pretrained_teaching.prepare_lesson(context, PretrainedTeacher(weights=str(encoder), **FIT))
    assert lesson.targets.shape == (190, 3)
    assert (lesson.targets[:160, 0] == context.targets).all()
    assert (lesson.targets[160:, 0] == -1).all()
    assert (lesson.inputs[:160] == context.inputs).all()
    assert lesson.inputs.shape == (190, context.inputs.shape[1])
    assert (lesson.targets[:160, 1:].argmax(1) == context.targets).mean() > 0.95
    truth = np.arange(30) % 2  # the animals alternate
    assert (lesson.targets[160:, 1:].argmax(1) == truth).mean() > 0.9
    assert lesson.notes["unlabelled_rows"] == 30
    assert lesson.notes["teacher_validation_score"] > 0.9


@pytest.mark.parametrize("mode", ["frozen", "last_blocks"])
def test_every_mode_fits_a_teacher_that_knows_the_classes(tmp_path: Path, encoder: Path, mode: Any) -> None:
    lesson = pretrained_teaching.prepare_lesson(
        text_context(tmp_path), PretrainedTeacher(weights=str(encoder), **{**FIT, "mode": mode})
    )
    assert lesson.notes["teacher_validation_score"] > 0.9


def test_logits_that_a_killed_stage_saved_are_not_computed_again(tmp_path: Path, encoder: Path, monkeypatch: Any) -> None:
    settings = PretrainedTeacher(weights=str(encoder), **FIT)
    monkeypatch.setattr(pretrained_teaching, "BLOCK_ROWS", 50)
    whole = pretrained_teaching.prepare_lesson(text_context(tmp_path, unlabelled_rows()), settings).targets

    def no_fit(*_: Any) -> None:
        raise AssertionError("a teacher was fitted although all logits are there")

    monkeypatch.setattr(pretrained_teaching, "fit_teacher", no_fit)
    again = pretrained_teaching.prepare_lesson(text_context(tmp_path, unlabelled_rows()), settings).targets
    assert (whole == again).all()
    monkeypatch.undo()
    monkeypatch.setattr(pretrained_teaching, "BLOCK_ROWS", 50)
    block = next((tmp_path / "scratch" / "teacher").glob("*/logits-00002.npy"))
    block.unlink()
    resumed = pretrained_teaching.prepare_lesson(text_context(tmp_path, unlabelled_rows()), settings).targets
    assert (whole == resumed).all()


def test_arrays_that_are_too_large_for_memory_are_files_that_do_not_mix(tmp_path: Path, encoder: Path, monkeypatch: Any) -> None:
    settings = PretrainedTeacher(weights=str(encoder), **{**FIT, "mode": "frozen"})
    whole = pretrained_teaching.prepare_lesson(text_context(tmp_path / "memory", unlabelled_rows()), settings)
    monkeypatch.setattr(encoding, "MEMORY_BYTES", 100)
    lesson = pretrained_teaching.prepare_lesson(text_context(tmp_path / "files", unlabelled_rows()), settings)
    assert isinstance(lesson.inputs, np.memmap)
    assert (lesson.inputs == whole.inputs).all()
    assert (lesson.targets == whole.targets).all()


def test_other_rows_have_other_logits_even_in_the_same_folder(tmp_path: Path, encoder: Path) -> None:
    settings = PretrainedTeacher(weights=str(encoder), **{**FIT, "mode": "frozen"})
    pretrained_teaching.prepare_lesson(text_context(tmp_path), settings)
    lesson = pretrained_teaching.prepare_lesson(text_context(tmp_path, unlabelled_rows(7)), settings)
    assert lesson.targets.shape == (167, 3)
    assert len(list((tmp_path / "scratch" / "teacher").iterdir())) == 2


def test_a_row_without_a_label_has_only_the_distillation_loss() -> None:
    problem = MulticlassClassification()
    outputs, teacher = torch.tensor([[2.0, -1.0], [0.5, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 2.0]])
    targets = torch.cat([torch.tensor([[1.0], [-1.0]]), teacher], 1)
    objective = teacher_training.cached_objective(problem, TRAINING, teacher_share=0.75, temperature=2.0)
    loss = objective(lambda _: outputs, outputs, targets)
    both = problem.distillation_loss(outputs, teacher, torch.tensor([1, 0]), 2.0)
    labelled = problem.loss(outputs[:1], torch.tensor([1]), TRAINING)
    assert float(loss) == pytest.approx(float(0.75 * both + 0.25 * labelled / 2))


def test_a_student_of_a_pretrained_teacher_learns_from_rows_without_a_label(tmp_path: Path, encoder: Path) -> None:
    context = text_context(tmp_path, unlabelled_rows())
    step = Distill(teacher="pretrained", pretrained={"weights": str(encoder), **FIT}, effort=2, width_share=1)
    dense = context.case.build_model(context.state)
    student = step(dense, context)
    with torch.no_grad():
        outputs = student(torch.from_numpy(context.validation_inputs)).numpy()
    assert context.score(outputs) > 0.9
    assert context.notes["distill"]["unlabelled_rows"] == 30
    assert context.notes["distill"]["labelled_rows"] == 160


def test_the_report_of_a_dense_teacher_has_the_settings_that_it_always_had() -> None:
    assert compress.step_settings(Distill()) == {
        "width_share": 0.5,
        "effort": 1.5,
        "learning_rate_share": 1.0,
        "teacher_share": 0.7,
        "temperature": 3.0,
    }
    assert compress.step_settings(Distill(teacher="pretrained"))["teacher"] == "pretrained"


def test_a_use_case_without_a_pretrained_network_says_so(tmp_path: Path) -> None:
    context = tiny_images.compression_context(tmp_path, read_train=lambda: [pd.DataFrame({"pixels": [b"1"], "label": ["lies"]})])
    with pytest.raises(UserError, match="bars has no pretrained network; take teacher: dense in 'distill'"):
        Distill(teacher="pretrained")(tiny_images.fitted_network(), context)


def test_targets_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    context = tiny_images.compression_context(tmp_path, targets=np.zeros((150, 2), np.float32))
    with pytest.raises(UserError, match="names one class per row"):
        pretrained_teaching.prepare_lesson(context, PretrainedTeacher())


def test_a_network_of_tokens_answers_once_with_its_own_logits(tmp_path: Path) -> None:
    context = text_context(tmp_path)
    network = context.case.build_model(context.state).eval()
    lesson = teacher_training.teach(network, context, 8)
    assert lesson.variants == 1, "texts have no batch augmentation"
    assert lesson.inputs.dtype == context.inputs.dtype
    assert np.allclose(lesson.targets[:, 1:], trainer.predict(network, context.inputs), atol=1e-5)
