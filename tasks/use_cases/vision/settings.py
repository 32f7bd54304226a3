"""Settings of pictures: where they come from, how they are checked, varied and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tasks.core import registry
from tasks.core.settings import Augment, Clean, Fetch, Model, settings

if TYPE_CHECKING:
    pass
from tasks.use_cases.vision.datasets import DATASETS, ImageDataset


@settings
class ImageFetch(Fetch):
    image: str = ""
    """Column of a parquet file that holds the encoded pictures; empty for image, img, jpeg, png or bytes."""
    label: str = ""
    """Column that holds the class; empty for label, class, target or fine_label."""

    def __post_init__(self) -> None:
        Fetch.__post_init__(self)
        if self.source != "path" and self.dataset:
            if self.dataset not in DATASETS:
                raise ValueError(registry.unknown_name("no data set", self.dataset, DATASETS))
            object.__setattr__(self, "source", "download" if DATASETS[self.dataset].files else "packaged")
        if self.source == "download" and not self.dataset:
            raise ValueError(f"source is 'download' but dataset is empty; there is {', '.join(DATASETS)}")

    @property
    def known(self) -> ImageDataset | None:
        """The data set of that name, none for the user's own."""
        return None if self.source == "path" else DATASETS[self.dataset or "digits"]


@settings
class ImageClean(Clean):
    side: Annotated[int, Field(ge=0, le=512)] = 0
    """Pixels to which every picture is brought, 0 for what most of them have (at most 64)."""
    alike: Annotated[float, Field(ge=0, le=64)] = 3.5
    """Grey levels (root mean square of 12 x 12 thumbnails) within which two pictures count as the same scene."""


@settings
class ImageAugment(Augment):
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.07
    """Share of the side by which a picture moves, each way."""
    rotate_degrees: Annotated[float, Field(ge=0, le=180)] = 12.0
    scale: Annotated[float, Field(ge=0, le=0.5)] = 0.12
    """Share by which height and width change, each by itself."""
    shear: Annotated[float, Field(ge=0, le=0.5)] = 0.12
    flip: Literal["auto", "never", "sideways"] = "auto"
    """`auto` flips where the data set is known to allow it: fashion_mnist and cifar10, never digits or your own."""
    cutout: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Side of a square cut out, as a share of the picture's."""
    colour: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Share by which brightness, contrast and saturation change; only where there is colour."""


@settings
class ImageModel(Model):
    architecture: str = "cnn"
    """A file of tasks/models."""
    widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = ()
    """Channels layer by layer, empty for the architecture's own."""
