"""The model that is promoted now, on the validation and test rows of this run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core import onnx_model
from tasks.core.errors import UserError
from tasks.core.splits import EVALUATION_SPLITS
from tasks.core.stage_context import StageContext
from tasks.core.storage.artifacts import Artifact, Table, read_split

if TYPE_CHECKING:
    from pandas import DataFrame


def champion_predictions(context: StageContext) -> dict[str, DataFrame]:
    """The predictions by split of the model in the folder `contract.champion`; its checksums are verified.

    Raises a `UserError` for a model that cannot read these rows, such as one that does not know a class.
    """
    name = context.case.contract.champion
    content = (Artifact(context.root / Path(name)).open() / "model.onnx").read_bytes()
    state = onnx_model.read_metadata(onnx_model.from_bytes(content)).get("learnt", {})
    rows = Table(context.clean.open() / "rows")
    predictions = {}
    for split in EVALUATION_SPLITS:
        table = read_split(rows, split)
        try:
            inputs, _ = context.case.encode(table, state)
        except (KeyError, UserError) as error:
            raise UserError(
                f"the champion {name} cannot read the rows of this run ({error}); set contract.beats=baseline where columns or "
                "classes are others"
            ) from None
        predictions[split] = context.case.problem_of(state).decode(table, onnx_model.predict(content, inputs), state)
    return predictions
