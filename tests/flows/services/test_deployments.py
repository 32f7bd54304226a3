"""Deployments: those of prefect.yaml, and two for each use case that it does not name."""

from __future__ import annotations

from pathlib import Path

import yaml

from flows.services.deployments import deployment_specs
from tasks.core import params_file
from tests.support.toy_project import REPOSITORY


def test_every_use_case_is_deployed_on_demand_and_nightly_and_all_together(toy: Path) -> None:
    specs = {each.name: each for each in deployment_specs(toy)}
    assert set(specs) == {"all", "monitor", "toy", "toy-nightly", "twin", "twin-nightly"}
    assert specs["twin"].parameters == {"use_cases": ["twin"]}
    assert [each["cron"] for name in ("toy-nightly", "twin-nightly") for each in specs[name].schedules] == [
        "0 3 * * *",
        "10 3 * * *",
    ]


def test_what_prefect_yaml_says_comes_first(toy: Path) -> None:
    schedules = [{"cron": "5 5 * * 1", "timezone": "Europe/Berlin", "active": False}]
    stanza = {"name": "toy-nightly", "parameters": {"use_cases": ["toy"]}, "schedules": schedules}
    gone_since = {"name": "pine", "parameters": {"use_cases": ["pine"]}}
    (toy / "prefect.yaml").write_text(yaml.safe_dump({"deployments": [stanza, gone_since]}))
    specs = {each.name: each for each in deployment_specs(toy)}
    assert specs["toy-nightly"].schedules == tuple(schedules)
    assert "twin-nightly" in specs
    assert "pine" not in specs, "params.yaml has no such use case any more"


def test_the_projects_prefect_yaml_deploys_use_cases_that_exist() -> None:
    params = params_file.read_params(REPOSITORY / "params.yaml")
    entries = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
    for entry in entries:
        assert set(entry.get("parameters", {}).get("use_cases", ())) <= set(params.use_cases)
        flow = "monitor" if entry["name"] == "monitor" else "pipeline"
        assert entry["entrypoint"] == f"flows/{flow}.py:{flow}"
        assert entry["work_pool"]["name"] == "bonsai"
    assert {"all", "vision", "vision-nightly"} <= {entry["name"] for entry in entries}
