"""Two processes under torchrun train as well as one."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.tiny_fits import QUICK, accuracy, fit, images

ROOT = Path(__file__).parents[4]


TORCHRUN = """
import json, os, sys
sys.path.insert(0, {root!r})
from dataclasses import replace
from pathlib import Path
from tests.support import tiny_fits
training = replace(tiny_fits.QUICK, epochs=8, batch_size=32, accumulate={accumulate}, patience={patience})
folder = Path({folder!r})
result = tiny_fits.fit(training, validation=tiny_fits.images(96, 1), monitor=tiny_fits.accuracy, checkpoint=folder)
print(json.dumps([os.environ.get("RANK"), result.curves[result.best_epoch - 1]["validation_accuracy"], result.steps]))
"""


@pytest.mark.slow
def test_two_processes_fit_as_well_as_one(tmp_path: Path) -> None:
    one = fit(replace(QUICK, epochs=8, batch_size=32), validation=images(96, 1), monitor=accuracy)
    body = TORCHRUN.format(root=str(ROOT), accumulate=1, patience=0, folder=str(tmp_path / "kept"))
    (tmp_path / "distributed_fit.py").write_text(body)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(tmp_path / "distributed_fit.py"),
    ]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    results = sorted(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    assert [rank for rank, *_ in results] == ["0", "1"]
    assert results[0][1:] == results[1][1:], "every process has what rank 0 decided"
    assert results[0][1] >= one.curves[one.best_epoch - 1]["validation_accuracy"] - 0.05
    assert results[0][2] == one.steps
    assert list((tmp_path / "kept").glob("*/*.safetensors"))
