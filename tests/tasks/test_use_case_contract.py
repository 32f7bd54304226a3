"""Every use case keeps the same promises, and so does every compression step. A new file is tested the day it is written."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.cleaning.deduplication import KEPT, deduplicate_and_split
from tasks.cleaning.partitions import clean_partition_file, kept_rows, schema_errors
from tasks.cleaning.quality_report import build_quality_report
from tasks.core import params_file, registry
from tasks.core.errors import UserError
from tasks.core.splits import CONTEXT_SPLIT, SPLITS
from tasks.core.use_case import UseCase
from tasks.evaluation import statistics
from tasks.training import trainer
from tests.support import credit_table, exported_baselines

RAW_ROWS = 400


@pytest.fixture(scope="module", params=registry.registered_names("use_cases"))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The use case on the data its stanza names, or, where no package ships any, on a small table of our own."""
    stanzas = params_file.read_params(Path(__file__).parents[2] / "params.yaml").use_cases
    fetch = stanzas.get(request.param, {}).get("fetch") or {}
    built = registry.build("use_cases", request.param, {"fetch": fetch})
    if built.fetch.source != "download":
        return built
    own = credit_table.write(tmp_path_factory.mktemp("own") / "lenders.csv")
    return registry.build("use_cases", request.param, {"fetch": {"path": str(own)}})


@pytest.fixture(scope="module")
def raw(case: Any) -> Any:
    """A few raw rows of the packaged data: spread over what the source gives, or neighbours where rows know each other."""
    blocks = pd.concat(list(case.load()), ignore_index=True)
    apart = 1 if type(case).clean_table is not UseCase.clean_table else max(1, len(blocks) // RAW_ROWS)
    return blocks.iloc[::apart].head(RAW_ROWS).reset_index(drop=True)


@pytest.fixture(scope="module")
def rows(case: Any, raw: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return cleaned(case, [raw], tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def state(case: Any, rows: Any) -> Any:
    return case.fit_preprocessing(rows[rows["split"] == "train"].reset_index(drop=True))


def cleaned(case: Any, parts: Any, folder: Any) -> pd.DataFrame:
    """The kept rows with their split, as the clean stage finds them, for any cut of the raw rows into partitions."""
    for place, part in enumerate(parts):
        part.reset_index(drop=True).to_parquet(folder / f"raw-{place}.parquet")
        clean_partition_file(case, folder / f"raw-{place}.parquet", place, folder)
    cleaned, light = (
        pd.concat([pd.read_parquet(folder / f"{kind}-{place:05d}.parquet") for place in range(len(parts))], ignore_index=True)
        for kind in ("cleaned", "light")
    )
    outcome = deduplicate_and_split(case, light)
    assert (outcome["verdict"] != "").all(), "every row ends somewhere"
    kept = kept_rows(cleaned, outcome)
    return kept[kept["split"] != CONTEXT_SPLIT].reset_index(drop=True)


def test_its_settings_are_frozen_and_travel_to_a_worker(case: Any) -> None:
    assert pickle.loads(pickle.dumps(case)) == case
    with pytest.raises((AttributeError, TypeError)):
        case.training.epochs = 3


def test_a_wrong_setting_is_refused_with_the_nearest_right_one(case: Any) -> None:
    with pytest.raises(UserError, match="did you mean 'epochs'"):
        registry.build("use_cases", type(case).__name__.lower(), {"training": {"epoch": 1}})


def test_every_raw_row_says_where_it_was_found(raw: Any) -> None:
    assert raw["file"].str.len().gt(0).all()
    assert pd.api.types.is_integer_dtype(raw["row"])


def test_judging_keeps_length_and_order_and_gives_rows_of_the_schema(case: Any, raw: Any) -> None:
    cleaned = case.clean_partition(raw)
    assert len(cleaned) == len(raw)
    good = cleaned[cleaned["fault"] == ""].reset_index(drop=True)
    assert len(good) > len(raw) / 2
    schema = case.schema(raw)
    assert schema_errors(case, good[list(schema.columns)], schema).empty


def test_cleaning_gives_the_same_rows_whatever_the_number_of_partitions(case: Any, raw: Any, rows: Any, tmp_path: Path) -> None:
    cuts = np.array_split(np.arange(len(raw)), 3)
    pd.testing.assert_frame_equal(cleaned(case, [raw.iloc[cut] for cut in cuts], tmp_path), rows)


def test_every_row_has_a_split_and_every_split_has_rows(rows: Any) -> None:
    assert set(rows["split"]) == set(SPLITS)


def test_encode_gives_one_input_and_one_target_per_row(case: Any, rows: Any, state: Any) -> None:
    inputs, targets = case.encode(rows, state)
    assert len(inputs) == len(targets) == len(rows)
    again, _ = case.encode(rows.tail(7).reset_index(drop=True), state)
    assert again.shape[1:] == inputs.shape[1:]
    assert not np.isinf(inputs).any()


def test_every_parameter_learns(case: Any, rows: Any, state: Any) -> None:
    network = case.build_model(state).train()
    inputs, targets = (torch.from_numpy(part) for part in case.encode(rows.head(64), state))
    case.problem.loss(network(inputs), targets, case.training).backward()
    idle = [name for name, weight in network.named_parameters() if weight.requires_grad and weight.grad is None]
    assert idle == []


def test_a_few_rows_can_be_fitted(case: Any, rows: Any, state: Any) -> None:
    inputs, targets = case.encode(rows[rows["split"] == "train"].head(32).reset_index(drop=True), state)
    training = replace(case.training, epochs=20, batch_size=16, precision="fp32", patience=0, ema_decay=0.0, mixup=0.0)
    torch.manual_seed(0)
    fitted = trainer.fit(
        case.build_model(state),
        inputs,
        targets,
        objective=lambda network, x, y: case.problem.loss(network(x), y, case.training),
        training=training,
    )
    assert fitted.curves[-1]["loss"] < fitted.curves[0]["loss"]


def test_decode_predicts_every_row_and_the_first_metric_is_the_mean_of_the_row_values(case: Any, rows: Any, state: Any) -> None:
    outputs = trainer.predict(case.build_model(state), case.encode(rows, state)[0])
    assert np.isfinite(outputs).all()
    predictions = case.problem.decode(rows, outputs, state)
    assert len(predictions) == len(rows)
    scores = case.problem.metrics(predictions)
    assert all(np.isfinite(value) for value in scores.values())
    assert np.mean(case.problem.per_row_metric(predictions)) == pytest.approx(next(iter(scores.values())), abs=1e-9)
    assert case.problem.report(predictions)


def test_baselines_answer_for_every_row(case: Any, rows: Any) -> None:
    train, test = (rows[rows["split"] == split].reset_index(drop=True) for split in ("train", "test"))
    baselines = {**case.baselines(train, test), **exported_baselines.predictions(case, train, test)}
    assert len(baselines) >= 2
    for predictions in baselines.values():
        assert len(predictions) == len(test)
        assert all(np.isfinite(value) for value in case.problem.metrics(predictions).values())


def test_the_policy_keeps_shape_and_repeats_itself(case: Any, rows: Any, state: Any) -> None:
    policy = case.batch_augmentation()
    if policy is None:
        return
    inputs = torch.from_numpy(case.encode(rows.head(16), state)[0])
    numbers = torch.rand(len(inputs), trainer.UNIFORMS, generator=torch.Generator().manual_seed(0))
    varied = policy(inputs, numbers)
    assert varied.shape == inputs.shape
    assert torch.equal(varied, policy(inputs, numbers))


def test_variants_are_repeatable_and_keep_the_schema(case: Any, rows: Any) -> None:
    train = rows[rows["split"] == "train"].reset_index(drop=True)
    variants = case.augment_rows(train, seed=1)
    pd.testing.assert_frame_equal(variants, case.augment_rows(train, seed=1))
    if len(variants):
        schema = case.schema(variants)
        assert schema_errors(case, variants[list(schema.columns)].reset_index(drop=True), schema).empty


def test_corruptions_repeat_themselves_and_keep_labels_so_that_every_model_answers(case: Any, rows: Any, state: Any) -> None:
    for corruption in case.corruptions():
        changed = corruption.apply(rows, np.random.default_rng(0))
        pd.testing.assert_frame_equal(changed, corruption.apply(rows, np.random.default_rng(0)))
        kept = rows.loc[changed.index]
        if case.label_column(rows):
            assert (changed[case.label_column(rows)] == kept[case.label_column(rows)]).all()
        inputs, _ = case.encode(changed, state)
        assert len(inputs) == len(changed) > 0
        assert inputs.dtype == case.encode(kept, state)[0].dtype


def test_narrower_networks_can_be_built_from_every_group(case: Any, state: Any) -> None:
    network = case.build_model(state)
    state = network.state_dict()
    for name, group in network.groups().items():
        half = max(1, group.size // 2)
        narrow = type(network)(**group.resize(network.fields, half)).state_dict()
        for key, dimension in group.producers:
            assert state[key].shape[dimension] == group.size, name
            assert narrow[key].shape[dimension] == half, name
        for key, dimension, repeat in group.consumers:
            assert narrow[key].shape[dimension] * group.size == state[key].shape[dimension] * half, (name, key, repeat)


def verdicts(case: Any, raw: Any, folder: Any) -> Any:
    """Each cleaned raw row, and its outcome."""
    raw.to_parquet(folder / "raw.parquet")
    clean_partition_file(case, folder / "raw.parquet", 0, folder)
    return pd.read_parquet(folder / "cleaned-00000.parquet"), deduplicate_and_split(
        case, pd.read_parquet(folder / "light-00000.parquet")
    )


def test_every_raw_row_is_in_the_quality_report_once(case: Any, raw: Any, tmp_path: Path) -> None:
    repeated = pd.concat([raw, raw.head(3)], ignore_index=True)
    report = build_quality_report(case, verdicts(case, repeated, tmp_path)[1])
    assert report["rows_in"] == len(repeated)
    assert report["rows_in"] == report["kept"] + report["quarantined"] + report["duplicates"]
    assert sum(report["reasons"].values()) == report["quarantined"] + report["duplicates"]
    assert sum(report["splits"].values()) == report["kept"]


def test_what_is_clean_stays_as_it_is_when_cleaned_again(case: Any, raw: Any, tmp_path: Path) -> None:
    cleaned, outcome = verdicts(case, raw, tmp_path)
    kept = (outcome["verdict"] == KEPT).to_numpy()
    same = list(case.schema(raw).columns)
    columns = [name for name in same if name in raw]
    once = cleaned.loc[kept].reset_index(drop=True)
    again = raw[kept].reset_index(drop=True).assign(**{name: once[name] for name in columns})
    cleaned_again, outcome_again = verdicts(case, again, tmp_path)
    assert set(outcome_again["verdict"]) == {KEPT}
    assert not build_quality_report(case, outcome_again)["fixed"]
    pd.testing.assert_frame_equal(cleaned_again[same], once[same])
    assert list(outcome_again["split"]) == list(outcome.loc[kept, "split"])


def test_random_labels_cannot_be_predicted(case: Any, rows: Any, state: Any) -> None:
    """Whoever does better than the commonest class on labels that mean nothing has seen them."""
    if not case.problem.label_column:
        pytest.skip("its targets are days to come, not labels; its own tests move the future")
    chance = np.random.default_rng(0).permutation(rows[case.problem.label_column].to_numpy())
    mixed = rows.assign(**{case.problem.label_column: chance})
    train, test = (mixed[part].reset_index(drop=True) for part in (mixed["split"] == "train", mixed["split"] != "train"))
    inputs, targets = case.encode(train, state)
    training = replace(case.training, epochs=5, batch_size=32, precision="fp32", patience=0, ema_decay=0.0, mixup=0.0)
    torch.manual_seed(0)
    fitted = trainer.fit(
        case.build_model(state),
        inputs,
        targets,
        objective=lambda network, x, y: case.problem.loss(network(x), y, case.training),
        training=training,
    )
    predictions = case.problem.decode(test, trainer.predict(fitted.network, case.encode(test, state)[0]), state)
    trivial = next(iter(case.baselines(train, test).values()))
    sign = 1.0 if case.problem.higher_is_better else -1.0
    gain = statistics.paired_drop(
        sign * case.problem.per_row_metric(predictions), sign * case.problem.per_row_metric(trivial), level=0.999
    )
    assert gain.low <= 0, f"{gain.value:+.3f} over the trivial rival on labels without meaning: the inputs hold the label"
