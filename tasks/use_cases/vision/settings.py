"""Settings of images: source, validation, augmentation and network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.core import registry
from tasks.core.settings import Augment, Clean, Fetch, PretrainedModel, settings
from tasks.use_cases.vision.datasets import DATASETS, ImageDataset


@settings
class ImageFetch(Fetch):
    image: str = ""
    """Column of a parquet file that holds the encoded images; empty for image, img, jpeg, png or bytes."""
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
    def named_dataset(self) -> ImageDataset | None:
        """The data set named by `dataset`; None for files of the user's own."""
        return None if self.source == "path" else DATASETS[self.dataset or "digits"]


@settings
class ImageClean(Clean):
    side: Annotated[int, Field(ge=0, le=512)] = 0
    """Side in pixels to which images are resized; 0 keeps pictures of up to 64 pixels and takes 128 for photos. Pretrained
    architectures see more at 160 or 224."""
    fit: Literal["auto", "crop", "pad"] = "auto"
    """How an image that is not square becomes so: `crop` takes the middle, `pad` adds black. `auto` crops where the most common
    picture is larger than 64 pixels."""
    shrink_on_load: bool = False
    """Decode JPEGs at a half, a quarter or an eighth where three times the side remains. It is 2 to 3 times faster for photos of
    many megapixels, but the released file, fed whole pictures, then answers a little differently."""
    alike: Annotated[float, Field(ge=0, le=64)] = 3.5
    """Images closer than this are near-duplicates: root mean square of 12 x 12 thumbnails, in grey levels; 0 for none."""


@settings
class ImageAugment(Augment):
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.07
    """Maximum shift each way, as a share of the side."""
    rotate_degrees: Annotated[float, Field(ge=0, le=180)] = 12.0
    scale: Annotated[float, Field(ge=0, le=0.5)] = 0.12
    """Maximum relative change of height and of width, each drawn by itself."""
    shear: Annotated[float, Field(ge=0, le=0.5)] = 0.12
    flip: Literal["auto", "never", "sideways"] = "auto"
    """`auto` flips only data sets whose classes allow it: fashion_mnist and cifar10, never digits or your own."""
    cutout: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Side of the square that is cut out, as a share of the image's side."""
    colour: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    """Maximum relative change of brightness, contrast and saturation; for colour images only."""


PRETRAINED = ("efficientnet_lite0",)
"""Architectures that start from pretrained weights."""


@settings
class ImageModel(PretrainedModel):
    architecture: str = "cnn"
    """`cnn` learns small pictures from nothing; `efficientnet_lite0` knows ImageNet and suits photos of 96 pixels and more, also
    few of them (training it needs the extra `pretrained-vision`). Other files of tasks/models/vision may be named too."""
    widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = ()
    """Channels layer by layer, empty for the architecture's own; `cnn` only."""
    blocks: Annotated[int, Field(ge=1, le=16)] = 16
    """How many of the 16 blocks of `efficientnet_lite0` the network has: fewer are smaller and faster."""

    def __post_init__(self) -> None:
        if self.architecture in PRETRAINED and self.widths:
            raise ValueError(f"{self.architecture} has its own widths; leave model.widths empty, or take fewer model.blocks")
        if self.architecture not in PRETRAINED and self.weights not in ("", "none"):
            raise ValueError(f"{self.architecture} has no pretrained weights; take {PRETRAINED[0]}, or leave model.weights empty")
