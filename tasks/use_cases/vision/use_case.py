"""What is in the picture? Small images of any source, classified by a convolutional network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from tasks.core import registry
from tasks.core.errors import UserError
from tasks.core.problem import PreprocessingState, Problem
from tasks.core.settings import ClassTraining, PretrainedModel, PretrainedTeacher, first_metric_state, settings
from tasks.core.splits import split_beside_source
from tasks.core.use_case import Corruption, InputRange, Suggestion, UseCase
from tasks.data import sources
from tasks.data.downloads import download
from tasks.problems.multiclass_classification import MulticlassClassification
from tasks.use_cases.vision import augmentation, corruptions, image_sources, images, near_duplicates, pixel_moments, pretrained
from tasks.use_cases.vision.datasets import DATASETS, packaged_digits
from tasks.use_cases.vision.images import PHOTO_SIDE, SMALL_SIDE
from tasks.use_cases.vision.settings import PRETRAINED, ImageAugment, ImageClean, ImageFetch, ImageModel

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.core.use_case import Array

BLANK_LEVELS = 2
"""An image whose values differ by at most this in every channel is blank."""
STUDENT_WIDTHS, STUDENT_SIDES = (32, 32, 80, 88), (20, 40)
"""The widths of a `strided_cnn` at `width_share` 1, and the least and the largest side of the pictures it suits."""
UNLABELLED_BLOCK = 256
"""Pictures to predict that are read at once."""
CLEANED_COLUMNS = ("image", "label", "subset", "pixels", "look", "fit", "fault", "fix")
PREVIEW_OF_A_CLASS, PREVIEW_PICTURES, PREVIEW_VARIANTS = 2, 24, 5


USAGE = """import json, numpy as np, onnx, onnxruntime
from PIL import Image, ImageOps

metadata = {entry.key: json.loads(entry.value) for entry in onnx.load("pixels.onnx").metadata_props}
picture = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")  # of any size
session = onnxruntime.InferenceSession("pixels.onnx")
logits, square = session.run(None, {"pixels": np.asarray(picture)[None]})
print(metadata["bonsai.learnt"]["classes"][int(logits[0].argmax())])
"""


@settings
class Vision(UseCase):
    fetch: ImageFetch = Field(default_factory=ImageFetch)
    clean: ImageClean = Field(default_factory=ImageClean)
    augment: ImageAugment = Field(default_factory=ImageAugment)
    model: ImageModel = Field(default_factory=ImageModel)
    training: ClassTraining = Field(default_factory=ClassTraining)

    class Schema(pa.DataFrameModel):
        image: object
        """The encoded image: unchanged, or as PNG if it was repaired."""
        label: str = pa.Field(str_length={"min_value": 1, "max_value": 100})
        subset: str = pa.Field(isin=["", "train", "validation", "test"])
        """The split that the source names, empty if none."""
        pixels: str = pa.Field(str_length=32)
        """A hash of the pixels, whatever their encoding."""
        look: str = pa.Field(str_length=2 * near_duplicates.THUMBNAIL_SIDE**2)
        """A grey thumbnail by which near-duplicates are found."""
        fit: str = pa.Field(isin=["crop", "pad"])
        """How pictures of this source are made square."""

    summary: ClassVar[str] = "What is in the picture? Small images of any source, told apart by a convolutional network."
    usage: ClassVar[str] = USAGE
    problem: ClassVar[MulticlassClassification] = MulticlassClassification(keep=("file", "row", "pixels", "split", "label"))
    unique_key: ClassVar[tuple[str, ...]] = ("pixels",)

    def problem_of(self, state: PreprocessingState) -> Problem:
        """Classification, with the first metric of the training."""
        return self.problem.of_state(state)

    def suggested_settings(self) -> Suggestion:
        """A pretrained backbone for colour photos of the user's own, and even draws of classes where one is rare."""
        return pretrained.for_pictures(self)

    def check_head(self) -> None:
        """Raise a `UserError` for a source without classes or images."""
        image_sources.check_head(self.fetch)

    def load(self) -> Iterator[pd.DataFrame]:
        """Yield encoded images with `label`, `subset`, and the most common size and channels of their source."""
        fetch = self.fetch
        if fetch.source == "path":
            return image_sources.read_path(fetch)
        dataset = DATASETS[fetch.dataset or "digits"]
        if fetch.source == "packaged":
            return packaged_digits(fetch.limit)
        instead = f"; or set fetch.dataset={dataset.instead}" if dataset.instead else ""
        files = [
            (download(tuple(mirror + name.rpartition("/")[2] for mirror in dataset.mirrors), sha256, name, instead), name, subset)
            for name, sha256, subset in dataset.files
        ]
        if files[0][1].endswith(".tar.gz"):
            return image_sources.from_cifar(files[0][0], fetch.limit)
        if files[0][1].endswith(".parquet"):
            return image_sources.from_tables(files, "jpeg", "label", fetch.limit)
        pairs = zip(files[::2], files[1::2], strict=True)
        named = [(pixels, labels, name, subset) for (pixels, name, subset), (labels, _, _) in pairs]
        return image_sources.from_idx(named, fetch.limit)

    def load_unlabelled(self, path: Path, state: PreprocessingState) -> Iterator[pd.DataFrame]:
        """One picture per file; of a folder all files in it and below."""
        place = sources.existing_path(path)
        files = [place] if place.is_file() else sources.list_files(place)
        for start in range(0, len(files), UNLABELLED_BLOCK):
            block = files[start : start + UNLABELLED_BLOCK]
            rows = self.unlabelled_rows([file.read_bytes() for file in block], state)
            yield rows.assign(file=[str(file.relative_to(place) if place.is_dir() else file.name) for file in block], row=0)

    def unlabelled_rows(self, inputs: Sequence[Any], state: PreprocessingState) -> pd.DataFrame:
        """Raw rows of N encoded pictures (bytes), with the first class as label."""
        if wrong := [value for value in inputs if not isinstance(value, bytes)]:
            raise UserError(f"expected the bytes of a picture, got {type(wrong[0]).__name__}: {str(wrong[0])[:40]}")
        usual = {"usual_height": state["side"], "usual_width": state["side"], "usual_channels": state["channels"]}
        usual["usual_fit"] = state.get("fit", "pad")
        columns = {"image": list(inputs), "label": state["classes"][0], "subset": "", **usual}
        return pd.DataFrame({**columns, "file": "", "row": range(1, len(inputs) + 1)}, index=range(len(inputs)))

    def clean_partition(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Decode each image; one that is unreadable or blank, or has an impossible label, is invalid."""
        dataset = self.fetch.named_dataset
        values = zip(*(rows[name].tolist() for name in rows), strict=True)  # quicker than `itertuples` for a single row
        each = (SimpleNamespace(**dict(zip(rows.columns, row, strict=True))) for row in values)
        cleaned = [self._clean_row(row, dataset.classes if dataset else ()) for row in each]
        return pd.DataFrame(cleaned, columns=list(CLEANED_COLUMNS), index=rows.index)

    def square(self, height: int, width: int) -> tuple[int, images.Fit]:
        """The side of the clean images, and how they become square, for a source whose most common picture has this size."""
        small = max(height, width) <= SMALL_SIDE
        usual = max(height, width) if small else min(PHOTO_SIDE, max(SMALL_SIDE, min(height, width)))
        fit = self.clean.fit if self.clean.fit != "auto" else "pad" if small else "crop"
        return self.clean.side or usual, fit

    def _clean_row(self, row: Any, classes: tuple[str, ...]) -> tuple[bytes, str, str, str, str, str, str, str]:
        """The values of one row, in the order of `CLEANED_COLUMNS`."""
        label = str(row.label).strip()
        if classes:
            number = int(label) if label.isdecimal() else -1
            label = classes[number] if number < len(classes) and number >= 0 else label
        side, fit = self.square(row.usual_height, row.usual_width)
        fit = getattr(row, "usual_fit", fit)
        try:
            if not label:
                raise images.UnreadableImage("empty-label: the row names no class")
            if (classes and label not in classes) or len(label) > 100 or not label.isprintable():
                raise images.UnreadableImage(
                    f"impossible-label: {label[:40]!r}" + (f", there is {', '.join(classes)}" if classes else "")
                )
            image, notes = images.decode_image(row.image, side if self.clean.shrink_on_load else 0)
            low, high = sorted(image.size)
            if low * 4 < side or high > 4 * low:
                most = f"{row.usual_height}x{row.usual_width}"
                raise images.UnreadableImage(f"wrong-size: {image.height}x{image.width}, most pictures are {most}")
            if all(high - low <= BLANK_LEVELS for low, high in np.reshape(image.getextrema(), (-1, 2))):
                raise images.UnreadableImage("blank: one colour all over")
            image, more = images.fit_square(image, side, "L" if row.usual_channels == 1 else "RGB", fit)
        except images.UnreadableImage as fault:
            return row.image, label, row.subset, "", "", fit, str(fault), ""
        notes = list(dict.fromkeys([*notes, *more]))
        repaired = any(note != images.DAMAGED_METADATA for note in notes)
        encoded = images.encode_png(image, compress_level=6 if side <= SMALL_SIDE else 1) if repaired else row.image
        look = near_duplicates.thumbnail(image)
        return encoded, label, row.subset, images.pixel_hash(image), look, fit, "", "; ".join(notes)

    def duplicate_group(self, rows: pd.DataFrame) -> pd.Series:
        """The smallest pixel hash of each group of near-duplicates; needs all rows at once."""
        if not self.clean.alike or rows.empty:
            return rows["pixels"]
        first = near_duplicates.near_duplicate_groups(list(rows["look"]), self.clean.alike)
        names = rows["pixels"].to_numpy(dtype=object)
        return pd.Series(pd.Series(names).groupby(first).transform("min").to_numpy(), index=rows.index)

    def assign_split(self, rows: pd.DataFrame, duplicate_group: pd.Series) -> pd.Series:
        """The source's test and validation rows keep their split; a split that it lacks is taken from the other rows.

        It has the same share of each class. In a named data set, whose classes are large, the hash alone decides, so that no
        row's split depends on other rows.
        """
        labels = rows["label"] if self.fetch.named_dataset is None else None
        return split_beside_source(rows["subset"], duplicate_group, labels, self.clean.validation_share, self.clean.test_share)

    def batch_augmentation(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """Shift, rotation, scale, flip, colour and cutout, as set in `augment`."""
        augment, dataset = self.augment, self.fetch.named_dataset
        flip = augment.flip == "sideways" or (augment.flip == "auto" and dataset is not None and dataset.flip)
        augmenter = augmentation.BatchAugmentation(
            shift=augment.shift,
            rotate_degrees=augment.rotate_degrees,
            scale=augment.scale,
            shear=augment.shear,
            flip=flip,
            cutout=augment.cutout,
            colour=augment.colour,
        )
        return augmenter if augmenter != augmentation.BatchAugmentation() else None

    def preview_augmentation(self, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        """A few images of each class and their variants, made by the augmentation that training uses."""
        import torch

        each_class = rows.groupby("label", sort=True).head(PREVIEW_OF_A_CLASS)
        originals = each_class.sort_values("label", kind="stable").head(PREVIEW_PICTURES).reset_index(drop=True)
        inputs, _ = self.encode(originals, self.fit_preprocessing(rows))
        inputs_NCHW, generator, augmenter = (
            torch.from_numpy(inputs),
            torch.Generator().manual_seed(seed),
            self.batch_augmentation(),
        )
        blocks = [originals[["image", "label"]].assign(original=range(len(originals)), variant=0)]
        for variant in range(1, PREVIEW_VARIANTS + 1 if augmenter else 1):
            assert augmenter is not None
            varied_NCHW = (
                augmenter(inputs_NCHW, torch.rand(len(inputs), images.UNIFORMS_PER_IMAGE, generator=generator))
                .round()
                .byte()
                .numpy()
            )
            blocks.append(blocks[0].assign(image=[images.encode_png(image) for image in varied_NCHW], variant=variant))
        return pd.concat(blocks, ignore_index=True).sort_values(["original", "variant"], kind="stable", ignore_index=True)

    def corruptions(self) -> tuple[Corruption, ...]:
        """Noise, blur, contrast, shift and inverted polarity."""
        return corruptions.corruptions()

    def input_range(self, state: PreprocessingState) -> InputRange | None:
        """All values of a pixel."""
        return InputRange(0.0, 255.0)

    def fit_preprocessing(self, rows: pd.DataFrame) -> PreprocessingState:
        """Class names, channels, side, `fit` if images are cropped, mean and standard deviation per channel on the scale 0..1."""
        dataset = self.fetch.named_dataset
        present = set(rows["label"])
        classes = [name for name in dataset.classes if name in present] if dataset else sorted(present)
        first, _ = images.decode_image(rows["image"].iloc[0])
        channels, side = 1 if first.mode == "L" else 3, first.width
        stride = max(1, len(rows) // pixel_moments.MOMENT_ROWS)
        mean, std = pixel_moments.moments(rows["image"].iloc[::stride], side, channels)
        fitted = {
            "mean": [round(float(value), 6) for value in mean],
            "std": [round(max(float(value), 1e-3), 6) for value in std],
        }
        crop = {"fit": "crop"} if "fit" in rows and rows["fit"].iloc[0] == "crop" else {}
        first_metric = first_metric_state(self.training, rows["label"])
        return {"classes": classes, "channels": channels, "side": side, **crop, **fitted, **first_metric}

    def encode(self, rows: pd.DataFrame, state: PreprocessingState) -> tuple[Array, Array]:
        """Encode N images as uint8 (N, C, H, W) and class indices, int64 (N,)."""
        number = {name: position for position, name in enumerate(state["classes"])}
        if unknown := set(rows["label"]) - set(number):
            raise UserError(f"the model knows no class {sorted(unknown)[0]!r}; it knows {', '.join(number)}")
        targets = np.array([number[label] for label in rows["label"]], dtype=np.int64)
        return images.decode_batch(rows["image"], state["side"], state["channels"], state.get("fit", "pad")), targets

    def release_files(self, model: bytes, state: PreprocessingState) -> dict[str, bytes]:
        """`pixels.onnx`: the model for decoded pictures of any size, which it makes square itself."""
        from tasks.use_cases.vision import pixel_input

        pixels = pixel_input.with_pixel_input(model, state)
        pixel_input.check_pixel_input(model, pixels, state)
        return {"pixels.onnx": pixels}

    def input_notes(self, inputs: Array, state: PreprocessingState) -> list[str]:
        """A hint where images are smaller than a pretrained network knows them."""
        return pretrained.size_notes(state["side"]) if self.transfer_learning() else []

    def slice_columns(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The label, and the mean (brightness) and the standard deviation (contrast) of the grey levels of the thumbnail."""
        grey = np.stack([np.frombuffer(bytes.fromhex(look), np.uint8) for look in rows["look"]]).astype(np.float64)
        return rows[["label"]].assign(brightness=grey.mean(axis=1), contrast=grey.std(axis=1))

    def build_model(self, state: PreprocessingState) -> nn.Module:
        """The configured architecture for the size, channels and classes of the train rows, with its pretrained weights."""
        if self.model.architecture not in PRETRAINED:
            return self._build(state, {"mean": state["mean"], "std": state["std"], **self._widths()})
        network = self._build(state, {"blocks": self.model.blocks})
        if self.model.weights != "none":
            network.load_pretrained(pretrained.imagenet_weights(self.model.weights))  # type: ignore[operator]
        return network

    def build_teacher(self, state: PreprocessingState, settings: PretrainedTeacher) -> tuple[nn.Module, PreprocessingState]:
        """EfficientNet-Lite0 with pretrained weights, which sees the images at no less than `pretrained.TEACHER_SIDE` pixels."""
        enlarged = {**state, "side": max(pretrained.TEACHER_SIDE, state["side"])}
        fields = {"channels": state["channels"], "side": enlarged["side"], "classes": len(state["classes"])}
        network: nn.Module = registry.build_network(self.name, PRETRAINED[0], fields)
        network.load_pretrained(pretrained.imagenet_weights(settings.weights))  # type: ignore[operator]
        return network, enlarged

    def own_network(self, state: PreprocessingState) -> dict[str, Any]:
        """Pictures (B, C, H, W) of mean 0 and standard deviation 1 per channel; `classes`, `channels`, `side`."""
        keywords = {"classes": len(state["classes"]), "channels": state["channels"], "side": state["side"]}
        described = {"inputs": "pictures", "keywords": keywords, "outputs": len(state["classes"])}
        return described | {"mean": state["mean"], "std": state["std"]}

    def build_student(self, state: PreprocessingState, width_share: float) -> nn.Module:
        """The same architecture with `width_share` of the channels of each layer, at least 4; see `pretrained.student_fields`.

        For small grey pictures it is a `strided_cnn`, which is smaller and faster at the same accuracy.
        """
        if self.model.architecture in PRETRAINED:
            return self._build(state, pretrained.student_fields(self.model, width_share))
        scaling = {"mean": state["mean"], "std": state["std"]}
        if self.model.architecture == "cnn" and state["channels"] == 1 and STUDENT_SIDES[0] <= state["side"] <= STUDENT_SIDES[1]:
            narrowed = [max(4, round(width * width_share)) for width in STUDENT_WIDTHS]
            return self._build(state, {**scaling, "widths": narrowed}, "strided_cnn")
        widths = self.build_model(state).fields["widths"]  # type: ignore[index]
        return self._build(state, {**scaling, "widths": [max(4, round(width * width_share)) for width in widths]})

    def start_student(self, student: nn.Module, teacher: nn.Module) -> bool:
        """The blocks of a pretrained student are the first ones of its teacher."""
        if shared := self.transfer_learning() is not None:
            student.take_over(teacher)  # type: ignore[operator]
        return shared

    def transfer_learning(self) -> PretrainedModel | None:
        """The mode of a pretrained architecture."""
        return self.model if self.model.architecture in PRETRAINED and not self.model.file else None

    def _widths(self) -> dict[str, Any]:
        return {"widths": list(self.model.widths)} if self.model.widths else {}

    def _build(self, state: PreprocessingState, shape: dict[str, Any], architecture: str = "") -> nn.Module:
        fields = {"channels": state["channels"], "side": state["side"], "classes": len(state["classes"])}
        network: nn.Module = registry.build_network(self.name, architecture or self.model.architecture, {**fields, **shape})
        return network
