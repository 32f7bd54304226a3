"""A network of a person's own, from a file such as `my_net.py:build`, behind the use case's inputs.

Its source is one of its fields, so that a checkpoint can be opened after the file has changed or gone.

Legend: B rows, C channels, H = W side, L tokens, F numeric columns, K categorical columns, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.core.errors import UserError
from tasks.core.networks._source_file import call_with_known, errors_in_one_line, load_function

MAX_DEVIATIONS = 5.0
"""Numbers of tables are clamped to this many standard deviations."""


class OwnNetwork(nn.Module):
    """Encoded rows (B, ...) to outputs (B, O), through the network that a person's function returned.

    `inputs` says what that network reads: `pictures`, float (B, C, H, W) that have mean 0 and standard deviation 1 per channel;
    `tokens`, int64 (B, L), 0 for padding; `table`, float (B, 2F + K): standardized numbers (0 where missing), whether each is
    missing, and category numbers; `windows`, float (B, days, channels) as they are. `mean` and `std` are per channel, on the
    scale 0..1, or per numeric column.
    """

    def __init__(
        self,
        *,
        file: str,
        function: str,
        source: str,
        inputs: Literal["pictures", "tokens", "table", "windows"],
        keywords: Mapping[str, Any],
        outputs: int,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {"file": file, "function": function, "source": source, "inputs": inputs}
        self.fields |= {"keywords": dict(keywords), "outputs": outputs, "mean": list(mean), "std": list(std)}
        network = call_with_known(load_function(file, source, function), file, keywords)
        if not isinstance(network, nn.Module):
            raise UserError(f"{file}: {function} returned {type(network).__name__}; it must return a torch.nn.Module")
        self.network = network
        level = 255.0 if inputs == "pictures" else 1.0
        shape = (1, -1, 1, 1) if inputs == "pictures" else (1, -1)
        self.scale: Tensor
        self.shift: Tensor
        scale = torch.tensor([1 / (level * deviation) for deviation in std]).view(shape)
        shift = torch.tensor([-centre / deviation for centre, deviation in zip(mean, std, strict=True)]).view(shape)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.network(self.prepared(inputs))
        return outputs

    def prepared(self, inputs: Tensor) -> Tensor:
        """What the person's network reads."""
        kind = self.fields["inputs"]
        if kind == "pictures":
            return inputs.float() * self.scale + self.shift
        if kind == "tokens":
            return inputs.long()
        if kind == "windows":
            return inputs
        numbers = self.scale.shape[1]
        value_BF = inputs[:, :numbers]
        missing_BF = torch.isnan(value_BF)
        scaled_BF = (torch.where(missing_BF, 0.0, value_BF) * self.scale + self.shift).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)
        return torch.cat([torch.where(missing_BF, 0.0, scaled_BF), missing_BF.to(inputs.dtype), inputs[:, numbers:]], dim=1)

    def check(self, inputs: NDArray[Any]) -> None:
        """Run a few rows; raise a `UserError` where the network fails or gives outputs of another shape."""
        file, outputs = self.fields["file"], self.fields["outputs"]
        with errors_in_one_line(file), torch.no_grad():
            result = self.eval()(torch.from_numpy(inputs))
        self.train()
        shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        if shape != (len(inputs), outputs):
            raise UserError(f"{file}: the network gives {shape} for {len(inputs)} rows; expected ({len(inputs)}, {outputs})")
        if not any(weight.requires_grad for weight in self.parameters()):
            raise UserError(f"{file}: the network has no weights to train")
