"""The one error that is a person's mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


class UserError(ValueError):
    """A person's mistake, said in one line: what came, what would do, and the nearest right thing."""
