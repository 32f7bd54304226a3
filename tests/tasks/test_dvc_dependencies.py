"""dvc.yaml is the only place where the graph is written, and its code dependencies cover what the code imports."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from tasks.__main__ import SEED_STAGES, STAGES
from tasks.core import params_file, registry
from tasks.core.stage_context import SEEDS_FOLDER

ROOT = Path(__file__).parents[2]
ALL = [*STAGES, *SEED_STAGES]
DAG = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
UNNEEDED = {
    "tasks.core.exported_baseline",
    "tasks.core.hardware",
    "tasks.core.networks._source_file",
    "tasks.core.networks.onnx_file",
    "tasks.core.networks.own_network",
    "tasks.core.onnx_model",
    "tasks.core.onnx_session",
    "tasks.data.array_files",
    "tasks.data.date_cells",
    "tasks.data.layouts",
    "tasks.data.number_cells",
    "tasks.data.pretrained_weights",
    "tasks.data.sampling",
    "tasks.evaluation.latency",
    "tasks.evaluation.model_size",
    "tasks.evaluation.timing_process",
    "tasks.metrics.binary_classification",
    "tasks.metrics.calibration",
    "tasks.metrics.first_metric",
    "tasks.metrics.input_scores",
    "tasks.metrics.regression",
    "tasks.metrics.uncertainty",
    "tasks.problems.baselines.boosted_trees",
    "tasks.problems.baselines.class_scores",
    "tasks.problems.baselines.kernel_machine",
    "tasks.problems.baselines.linear_models",
    "tasks.problems.baselines.onnx_graph",
    "tasks.problems.baselines.tables",
    "tasks.problems.baselines.term_models",
    "tasks.problems.binary_classification",
    "tasks.problems.multiclass_classification",
    "tasks.problems.regression",
    "tasks.text.character_ngrams",
    "tasks.text.normalization",
    "tasks.text.pretrained_encoder",
    "tasks.text.term_counts",
    "tasks.text.tokenization",
    "tasks.text.word_vectors",
    "tasks.use_cases.nlp.predictor",
}
"""Modules that lie in a declared folder though some stage or use case does not need them: the price of declaring folders."""


@cache
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("tasks", exclude_type_checking_imports=True)


@cache
def closure(module: str) -> frozenset[str]:
    """The module and all it imports, packages left out: they hold nothing but a sentence."""
    return frozenset({module} | imports().find_upstream_modules(module)) - packages()


def packages() -> set[str]:
    return {"tasks"} | {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "tasks").rglob("__init__.py")}


def needed(stage: str, use_case: str) -> set[str]:
    """The modules that a stage of a use case may import, including those that are found by name at run time."""
    stage = SEED_STAGES.get(stage, stage)
    roots = [f"tasks.stages.{stage}", "tasks.__main__", f"tasks.use_cases.{use_case}.use_case"]
    if stage in ("train", "compress", "evaluate", "latency"):
        roots += [f"tasks.models.{use_case}.{name}" for name in registry.registered_names(f"models/{use_case}")]
        roots += [f"tasks.core.networks.{name}" for name in registry.SHARED_NETWORKS]
    if stage == "compress":
        roots += [f"tasks.compression.steps.{name}" for name in registry.registered_names(registry.STEPS_FOLDER)]
    return {module for root in roots for module in closure(root)}


def declared(stage: str) -> list[str]:
    return [dep for dep in DAG[stage]["deps"] if dep.startswith("tasks/")]


def covered(dependency: str, use_case: str) -> set[str]:
    """The modules that lie in a declared file or folder."""
    name = dependency.replace("${item.use_case}", use_case).removesuffix(".py").replace("/", ".")
    return {module for module in imports().modules - packages() if module == name or module.startswith(f"{name}.")}


def test_the_dag_holds_the_stages_that_the_command_line_knows() -> None:
    assert list(DAG) == ALL


@pytest.mark.parametrize("stage", SEED_STAGES)
def test_a_stage_of_an_additional_seed_declares_the_code_and_parameters_of_the_stage_that_it_repeats(stage: Any) -> None:
    assert declared(stage) == declared(SEED_STAGES[stage])
    assert DAG[stage].get("params") == DAG[SEED_STAGES[stage]].get("params")


def test_release_depends_on_folders_that_hold_the_outputs_of_additional_seeds_and_exist_without_them() -> None:
    for stage in ("compress_seed", "evaluate_seed"):
        (out,) = DAG[stage]["outs"]
        (folder,) = [each for each in DAG["release"]["deps"] if out.startswith(f"{each}/")]
        assert DAG[SEED_STAGES[stage]]["outs"] == [f"{folder}/${{item.recipe}}"]
        assert out == f"{folder}/{SEEDS_FOLDER}/${{item.seed}}/${{item.recipe}}"


@pytest.mark.parametrize("use_case", registry.registered_names("use_cases"))
@pytest.mark.parametrize("stage", ALL)
def test_a_stage_declares_all_the_code_that_it_imports(stage: Any, use_case: Any) -> None:
    missing = needed(stage, use_case) - {module for each in declared(stage) for module in covered(each, use_case)}
    assert not missing, f"add to the deps of {stage} in dvc.yaml: {sorted(missing)}"


@pytest.mark.parametrize("stage", ALL)
def test_each_declared_file_or_folder_is_needed_by_some_use_case(stage: Any) -> None:
    for each in declared(stage):
        users = [name for name in registry.registered_names("use_cases") if needed(stage, name) & covered(each, name)]
        assert users, f"take {each} from the deps of {stage} in dvc.yaml"


def test_the_declared_modules_that_are_not_needed_are_listed() -> None:
    unneeded = {
        module
        for stage in ALL
        for name in registry.registered_names("use_cases")
        for each in declared(stage)
        for module in covered(each, name) - needed(stage, name)
    }
    assert unneeded == UNNEEDED


@pytest.mark.parametrize("stage", ALL)
def test_a_stage_declares_at_most_twelve_code_dependencies(stage: Any) -> None:
    assert len(declared(stage)) <= 12


@pytest.mark.parametrize("stage", ALL)
def test_a_stage_says_in_one_sentence_what_it_does(stage: Any) -> None:
    assert DAG[stage]["desc"].endswith(".")
    assert len(DAG[stage]["desc"]) < 120


@pytest.mark.parametrize("stage", ALL)
def test_a_command_holds_names_only_and_never_a_parameter(stage: Any) -> None:
    assert DAG[stage]["cmd"] == f"python -m tasks {stage} ${{item}}"  # DVC quotes the names for the shell
    assert ("recipe" in DAG[stage]["matrix"]) == STAGES[SEED_STAGES.get(stage, stage)]
    assert ("seed" in DAG[stage]["matrix"]) == (stage in SEED_STAGES)


def test_packages_hold_a_sentence_and_no_code() -> None:
    for init in [*(ROOT / "tasks").rglob("__init__.py")]:
        assert len(ast.parse(init.read_text()).body) == 1, f"{init} must hold its docstring only"


@pytest.mark.parametrize("stage", ALL)
def test_a_stanza_that_says_nothing_has_every_parameter_a_stage_names(stage: Any) -> None:
    names = {"${item.use_case}": "mine", "${item.recipe}": "dense"}
    for dotted in DAG[stage].get("params", []):
        section: Any = {"use_cases": {"mine": params_file.default_stanza()}, "recipes": {"dense": []}, "seeds": []}
        for placeholder, name in names.items():
            dotted = dotted.replace(placeholder, name)
        for word in dotted.split("."):
            assert word in section, f"{dotted} is missing in params_file.default_stanza()"
            section = section[word]
