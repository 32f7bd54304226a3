"""Settings as frozen dataclasses: the decorator, and the sections that every use case has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import MISSING, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar, dataclass_transform

import pydantic
from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
from tasks.core.errors import UserError

T = TypeVar("T")

Share = Annotated[float, Field(ge=0, le=1)]
"""A share of a whole, from 0 to 1."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field, field))
def settings(cls: type[T]) -> type[T]:
    """A frozen dataclass whose fields are parameters: typed, with bounds, and without unknown names.

    Bounds are written `Annotated[int, Field(ge=1)]`; the docstring under a field is its help text.
    """
    config = pydantic.ConfigDict(extra="forbid", use_attribute_docstrings=True, arbitrary_types_allowed=True)
    made: Any = pydantic.dataclasses.dataclass(cls, frozen=True, kw_only=True, config=config)
    for name, info in made.__pydantic_fields__.items():
        field_ = made.__dataclass_fields__[name]
        if info.description and not isinstance(field_.default, pydantic.fields.FieldInfo) and field_.default is not MISSING:
            # pydantic reads docstrings from a class's own source, so subclasses inherit the text only in this way
            field_.default = Field(default=field_.default, description=info.description)
    return made  # type: ignore[no-any-return]


@settings
class Fetch:
    """Where the raw rows come from. A use case adds the columns it needs by subclassing."""

    path_settings: ClassVar[tuple[str, ...]] = ("path", "train", "validation", "test")
    """The settings that name a file or folder of the user's own. The stage runs again when its content changes."""

    source: Literal["packaged", "download", "path"] = "packaged"
    """`packaged` ships with a dependency, `download` is downloaded once and verified, `path` is your own."""
    dataset: str = ""
    """The name of the data set; empty for the use case's default."""
    path: str = ""
    """A file or folder of your own, or several files as a pattern such as data/*.csv; it sets `source` to `path`."""
    train: str = ""
    """Train rows of your own, where they are apart from the others; instead of `path`."""
    validation: str = ""
    """Validation rows of your own; empty to take them from the others."""
    test: str = ""
    """Test rows of your own; empty to take them from the others."""
    fingerprint: str = ""
    """SHA-256 of each of `path_settings` when the run was requested, joined by + (set by `bonsai run`). Other content fails."""
    limit: Annotated[int, Field(ge=0)] = 0
    """Keep at most this many raw rows, 0 for all."""
    partition_rows: Annotated[int, Field(ge=1)] = 2500
    """Rows per partition, the unit of work of a Dask worker. It does not depend on the number of workers."""

    def __post_init__(self) -> None:
        own = self.path or self.train
        if own and self.source == "packaged":
            object.__setattr__(self, "source", "path")
        if self.source == "path" and not own:
            raise ValueError("source is 'path' but path is empty; name a file or folder, as in fetch.path=my.csv")
        if self.path and self.train:
            raise ValueError("path and train are both set; name the train rows in one of them")
        if (self.validation or self.test) and not own:
            raise ValueError("validation or test is set, but no train rows; name them in fetch.train")

    def expected_fingerprint(self, name: str) -> str:
        """The fingerprint of the file or folder of setting `name` when the run was requested; empty if not recorded."""
        set_names = [setting for setting in self.path_settings if getattr(self, setting)]
        fingerprints = self.fingerprint.split("+") if self.fingerprint else [""] * len(set_names)
        if len(fingerprints) != len(set_names):
            raise UserError(
                f"fetch.fingerprint holds {len(fingerprints)} checksums, but {len(set_names)} of "
                f"{', '.join(self.path_settings)} are set; leave it empty"
            )
        return dict(zip(set_names, fingerprints, strict=True)).get(name, "")


@settings
class Clean:
    """The share of invalid rows allowed, the sizes of the splits, and corrections of labels."""

    path_settings: ClassVar[tuple[str, ...]] = ("corrections",)
    """The settings that name a file of the user's own. The stage clean runs again when its content changes."""

    max_reject_share: Share = 0.05
    """Stop when more than this share of the raw rows is quarantined."""
    validation_share: Share = 0.15
    test_share: Share = 0.15
    rare_classes: Literal["drop", "merge", "keep", "refuse"] = "drop"
    """Classes with too few rows for every split (three rows are enough): `drop` them, `merge` them into one class "other", `keep`
    those that have a train row, or `refuse` the data."""
    official_test: Literal["all", "unique"] = "all"
    """Rows of a test split that the source names: `all` keeps every one that can be read, so that results compare with published
    ones; `unique` leaves out repeats and rows with faults as in the other splits. Either way both are counted."""
    corrections: str = ""
    """A file of decisions on single rows: confirmed, relabelled or excluded. `bonsai correct` writes it and sets this."""
    fingerprint: str = ""
    """SHA-256 of `corrections` (set by `bonsai correct` and `bonsai run`). Other content fails."""


@settings
class Augment:
    """How rows are augmented; a use case adds its settings by subclassing."""


@settings
class Model:
    """Which network is built; a use case adds its architecture and sizes by subclassing."""

    path_settings: ClassVar[tuple[str, ...]] = ("file",)
    """The settings that name a file of the user's own. The stage train runs again when its content changes."""

    file: str = ""
    """A network of your own instead: `my_net.py:build` names a function that returns a torch.nn.Module; or an exported
    `model.onnx`."""
    fingerprint: str = ""
    """SHA-256 of `file` when the run was requested (set by `bonsai run`). Other content fails."""


PretrainedMode = Literal["frozen", "last_blocks", "all"]
"""The part of a pretrained network that is fitted: a linear head on its features, also its last blocks, or all of it."""


@settings
class PretrainedModel(Model):
    """A network that may start from pretrained weights, and the part of it that is fitted."""

    weights: str = ""
    """A file of pretrained weights (.safetensors or .pth, whole path); empty for the installed package's, `none` for none."""
    mode: PretrainedMode = "frozen"
    """`frozen` fits a linear head on features that are computed once: minutes. `last_blocks` also fits the last blocks, `all`
    every layer: slower, better for pictures unlike photos. For pretrained architectures only."""
    trained_blocks: Annotated[int, Field(ge=1, le=100)] = 5
    """Blocks before the last convolution that `last_blocks` trains."""
    block_decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Learning rate of each block as a share of that of the block after it (discriminative learning rates)."""
    cached_variants: Annotated[int, Field(ge=1, le=32)] = 2
    """Variants of each train row of which `frozen` and `last_blocks` compute features: the row as it is, the others augmented."""


@settings
class Training:
    """How a network is trained: all the settings that the training loop reads."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 8
    """Passes over the train rows; on data of your own as many as `min_steps` and `max_steps` allow."""
    min_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Least optimizer steps on data of your own: a few rows get more epochs. 0 derives it from rows and classes, 1 for none."""
    max_steps: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """Most optimizer steps on data of your own: very many rows get fewer epochs. 0 for 20,000."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 128
    optimizer: Literal["sgd", "nesterov", "adam", "adamw", "adagrad", "adafactor", "muon"] = "adamw"
    """`muon` updates the hidden matrices and kernels; AdamW updates the other parameters."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.002
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    schedule: Literal["one_cycle", "cosine", "constant"] = "one_cycle"
    warmup_share: Share = 0.2
    """Share of the steps in which the learning rate rises."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mixup: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Beta parameter of mixup (Zhang et al. 2018), 0 for none."""
    adversarial: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Adversarial training: the largest change of an input as a share of its range, such as 0.1; 0 for none. Twice the time."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay per step of the exponential moving average of the weights, 0 for none."""
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    """Largest gradient norm, 0 for no clipping."""
    balanced_sampling: bool = False
    """Draw the rows of every class equally often, however rare it is; a head on frozen features weighs the classes so."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Batches whose gradients are summed before a step."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without a better validation score before training stops, 0 for never."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto` times the network and takes bf16 only if it is clearly faster."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads; another count gives other bytes."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    coverage: Annotated[float, Field(ge=0.5, lt=1)] = 0.9
    """Share of rows whose prediction set is to hold the true class (split-conformal prediction). A set of several classes
    makes the model abstain."""


@settings
class PretrainedTeacher(PretrainedModel):
    """Which pretrained network teaches a student, and how it is fitted to the labelled train rows first."""

    weights: str = ""
    """A file or folder of pretrained weights (whole path); empty for the installed package of the use case."""
    mode: PretrainedMode = "all"
    """`frozen` fits a linear head on the features: minutes. `last_blocks` also fits the last blocks, `all` every layer."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 3
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.0001


@settings
class ClassTraining(Training):
    """How a classifier is trained, and which metric decides."""

    first_metric: Literal["accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "sensitivity"] = "accuracy"
    """The metric that decides the kept epoch and the release. `balanced_accuracy`, `macro_f1` and `roc_auc` count rare classes as
    much as common ones; `sensitivity` is that of `event` at `specificity`."""
    event: str = ""
    """The class that `sensitivity` is for; empty for the rarest class of the train rows."""
    specificity: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """The share of other rows that must not be taken for the event, for `sensitivity`."""


def first_metric_state(training: ClassTraining, labels: Iterable[str]) -> dict[str, Any]:
    """What the state says of the first metric, from the labels of the train rows; empty for accuracy.

    Raises `UserError` for an event that is no label.
    """
    if training.first_metric == "accuracy":
        return {}
    if training.first_metric != "sensitivity":
        return {"first_metric": {"first_metric": training.first_metric}}
    counts = Counter(labels)
    event = training.event or min(sorted(counts), key=lambda name: counts[name])
    if event not in counts:
        raise UserError(f"training.event={event!r} is no class of the train rows; there is {', '.join(sorted(counts))}")
    return {"first_metric": {"first_metric": "sensitivity", "event": event, "specificity": training.specificity}}


@settings
class Contract:
    """What a released model must hold, each term shown with 95 % confidence on test rows; 0 leaves an optional term out."""

    max_drop: Share = 0.02
    """Maximum drop of the first metric against the dense model."""
    min_speedup: Annotated[float, Field(ge=0)] = 1.0
    """At least this many times as fast as the dense ONNX model at batch 1. No term for a classic baseline."""
    max_size_share: Annotated[float, Field(ge=0)] = 0.5
    """At most this share of the dense model's bytes. No term for a classic baseline."""
    beats: Literal["baseline", "champion", "none"] = "baseline"
    """`baseline` refuses a model that is shown worse than the best baseline, `champion` one that is shown worse than the model
    promoted now (the best baseline where none is); `none` leaves that out."""
    champion: str = ""
    """Folder of the champion that `beats` compares with, such as registry/vision/7 (set by `bonsai run`)."""
    min_score: float = 0.0
    """The first metric is at least this (at most, where lower is better)."""
    max_latency_ms: Annotated[float, Field(ge=0)] = 0.0
    """Milliseconds of one call at batch 1 on the machine that evaluates, at most."""
    max_bytes: Annotated[int, Field(ge=0)] = 0
    """Bytes of the ONNX file, at most."""
    max_class_drop: Share = 0.0
    """Maximum drop of the first metric in each class against the dense model."""
    max_group_gap: Share = 0.0
    """Maximum difference of the share of right answers between two groups, where the rows have groups."""
    max_robustness_drop: Share = 0.0
    """Maximum drop of the first metric against the dense model, averaged over the corruptions of the test rows."""
