"""A person's own network is built from its file, checked before it trains, and opened again when the file has gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.compression import onnx_export
from tasks.compression.steps.prune import Prune
from tasks.core import onnx_model, registry
from tasks.core.compression import described_fields
from tasks.core.errors import UserError
from tasks.core.storage.artifacts import Checkpoint
from tests.support import tiny_images

NET = """from torch import nn


def build(classes, channels, width=16):
    return nn.Sequential(
        nn.Conv2d(channels, width, 3), nn.BatchNorm2d(width), nn.Hardswish(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, classes),
    )
"""
STATE: dict[str, Any] = {"classes": ["a", "b", "c"], "channels": 1, "side": 8, "mean": [0.4], "std": [0.2]}


def pictures(count: int = 4) -> Any:
    return np.random.default_rng(0).integers(0, 256, (count, 1, 8, 8), np.uint8)


def own(folder: Path, source: str, function: str = "build", case: str = "vision", **settings: Any) -> Any:
    (folder / "my_net.py").write_text(source)
    model = {"file": f"{folder / 'my_net.py'}:{function}", **settings}
    return registry.build("use_cases", case, {"model": model})


def refusal(folder: Path, source: str, **settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        own(folder, source, **settings).new_network(STATE, pictures())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pictures_reach_a_persons_network_with_mean_0_and_deviation_1(tmp_path: Path) -> None:
    network: Any = own(tmp_path, NET).new_network(STATE, pictures())
    level = torch.full((1, 1, 8, 8), 102, dtype=torch.uint8)
    torch.testing.assert_close(network.prepared(level), torch.zeros(1, 1, 8, 8), atol=1e-6, rtol=0)
    torch.testing.assert_close(network.prepared(level + 51), torch.ones(1, 1, 8, 8))
    assert network.network[0].weight.shape == (16, 1, 3, 3)
    assert network.eval()(torch.from_numpy(pictures())).shape == (4, 3)


def test_tables_reach_it_standardized_with_missing_values_marked() -> None:
    source = "from torch import nn\ndef build(numbers, categories, outputs):\n"
    source += "    return nn.Linear(2 * numbers + len(categories), outputs)\n"
    network = registry.build_network(
        "credit",
        "own_network",
        {
            "file": "my_net.py",
            "function": "build",
            "source": source,
            "inputs": "table",
            "keywords": {"numbers": 2, "categories": [3], "outputs": 1},
            "outputs": 1,
            "mean": [10.0, 0.0],
            "std": [2.0, 1.0],
        },
    )
    rows = torch.tensor([[12.0, float("nan"), 2.0], [10.0, 100.0, 0.0]])
    assert network.prepared(rows).tolist() == [[1, 0, 0, 1, 2], [0, 5, 0, 0, 0]]
    assert network(rows).shape == (2, 1)


def test_a_checkpoint_opens_after_the_file_has_gone(tmp_path: Path) -> None:
    network: Any = own(tmp_path, NET).new_network(STATE, pictures()).eval()
    Checkpoint(tmp_path / "saved", "vision").write(network, STATE)
    (tmp_path / "my_net.py").unlink()
    again, _ = Checkpoint(tmp_path / "saved", "vision").read()
    rows = torch.from_numpy(pictures())
    assert torch.equal(network(rows), again(rows))
    assert "source" not in described_fields(again)


def test_a_pruned_network_is_saved_opened_and_exported_with_its_new_widths(tmp_path: Path) -> None:
    network: Any = own(tmp_path, NET).new_network({**STATE, "classes": ["a", "b"]}, pictures()).eval()
    context = tiny_images.compression_context(tmp_path / "scratch")
    pruned = Prune(ratio=0.5, effort=0.5)(network, context)
    assert context.notes["prune"] == {"channels": {"network.0": [16, 8]}, "whole": [], "not_traced": []}
    Checkpoint(tmp_path / "saved", "vision").write(pruned, STATE)
    again: Any = Checkpoint(tmp_path / "saved", "vision").read()[0]
    rows = torch.from_numpy(context.validation_inputs)
    assert torch.equal(pruned(rows), again(rows))
    assert (again.network[0].out_channels, again.network[1].num_features, again.network[5].in_features) == (8, 8, 32)
    content = onnx_export.to_onnx(again, context.inputs, STATE, "bars")
    assert onnx_export.parity(again, content, context.validation_inputs, 1e-4)["max_difference"] < 1e-4
    assert b"def build" not in content
    fields = onnx_model.read_metadata(onnx_model.from_bytes(content))["fields"]
    assert (fields["file"], fields["function"]) == ("my_net.py", "build")


def test_errors_of_a_file_name_its_line(tmp_path: Path) -> None:
    assert "my_net.py, line 2: ZeroDivisionError: division by zero" in refusal(
        tmp_path, "def build(classes):\n    return classes / 0\n"
    )
    assert "my_net.py, line 1: '(' was never closed" in refusal(tmp_path, "def build(\n")
    message = refusal(tmp_path, "import no_such_package\n")
    assert "my_net.py, line 1: ModuleNotFoundError" in message
    assert "may import installed packages" in message


def test_errors_of_the_first_rows_name_their_line_too(tmp_path: Path) -> None:
    source = "from torch import nn\nclass N(nn.Module):\n    def forward(self, x):\n        return x @ x.new_ones(3, 3)\n"
    assert "my_net.py, line 4: RuntimeError" in refusal(tmp_path, source + "def build():\n    return N()\n")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def build(depth):\n    pass\n", "build cannot be told its 'depth'; There is: classes, channels, side; give any other"),
        ("def build():\n    return 3\n", "build returned int; it must return a torch.nn.Module"),
        ("def built():\n    pass\n", "has no function 'build'; did you mean 'built'?"),
        (NET.replace("classes)", "classes + 1)"), "the network gives (2, 4) for 2 rows; expected (2, 3)"),
        (
            "from torch import nn\ndef build():\n    return nn.Sequential(nn.AdaptiveAvgPool2d((1, 3)), nn.Flatten())\n",
            "the network has no weights to train",
        ),
    ],
)
def test_a_network_that_does_not_fit_is_refused_in_one_line(tmp_path: Path, source: str, message: str) -> None:
    assert message in refusal(tmp_path, source)


def test_a_setting_that_names_no_function_or_no_file_is_refused(tmp_path: Path) -> None:
    def message(file: str) -> str:
        with pytest.raises(UserError) as caught:
            registry.build("use_cases", "vision", {"model": {"file": file}}).new_network(STATE, pictures())
        return str(caught.value)

    assert "names no function; write my_net.py:build" in message("my_net.py")
    assert "expected a function as in my_net.py:build, or an exported model.onnx" in message("my_net.txt")
    (tmp_path / "my_net.py").write_text(NET)
    assert "did you mean 'my_net.py'?" in message(f"{tmp_path}/my_nett.py:build")


def test_a_file_that_changed_since_the_request_is_refused(tmp_path: Path) -> None:
    assert "changed since this run was requested" in refusal(tmp_path, NET, fingerprint="0" * 64)


@pytest.mark.parametrize(
    ("case", "state", "expected"),
    [
        (
            "nlp",
            {"classes": ["a", "b"], "vocabulary": {"kind": "words", "length": 9, "count": 5}},
            ("tokens", 2, {"length": 9, "classes": 2}),
        ),
        ("finance", {"window": 66, "fear": True, "news": False}, ("windows", 3, {"window": 66, "channels": 7, "outputs": 3})),
        ("finance", {"window": 66, "fear": True, "news": True}, ("windows", 3, {"window": 66, "channels": 9, "outputs": 3})),
        (
            "credit",
            {"numbers": ["a"], "categories": {"b": ["x", "y"]}, "knots": [[0.0, 4.0]], "classes": ["n", "y"]},
            ("table", 1, {"numbers": 1, "categories": [3], "outputs": 1}),
        ),
    ],
)
def test_every_use_case_tells_a_network_its_sizes(case: str, state: Any, expected: Any) -> None:
    described = registry.build("use_cases", case, {}).own_network(state)
    inputs, outputs, keywords = expected
    assert (described["inputs"], described["outputs"]) == (inputs, outputs)
    assert {name: described["keywords"][name] for name in keywords} == keywords
