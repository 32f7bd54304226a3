"""Splits that names of folders, files, columns and values tell: `train`, `validation`, `test`, in any case and spelling.

A word inside one name is no evidence: "positive test" and "negative test" are two classes. Names are splits only together with
their neighbours, as `seg_train` and `seg_test` are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tasks.core.errors import UserError

UNLABELLED = "unlabelled"
"""What stands beside the splits without labels, such as `seg_pred`: it is left out."""
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "trainval", "trn", "训练", "训练集"), "train"),
    **dict.fromkeys(("entrenamiento", "entrainement", "entraînement", "apprentissage", "addestramento", "treino"), "train"),
    **dict.fromkeys(("treinamento", "trainieren", "обучение", "обучающая", "訓練", "学習", "학습", "훈련", "eğitim"), "train"),
    **dict.fromkeys(("validación", "validacion", "validierung", "validazione", "validação", "validacao"), "validation"),
    **dict.fromkeys(("валидация", "検証", "검증", "walidacja", "doğrulama"), "validation"),
    **dict.fromkeys(("prueba", "pruebas", "teste", "testen", "тест", "тестовая", "テスト", "테스트", "holdout"), "test"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "development", "validate"), "validation"),
    **dict.fromkeys(("validset", "valset", "devset", "验证", "验证集"), "validation"),
    **dict.fromkeys(("test", "testing", "testset", "tst", "t10k", "testb", "测试", "测试集"), "test"),
    **dict.fromkeys(("eval", "evaluation"), "eval"),
    "testa": "testa",
    **dict.fromkeys(("pred", "predict", "prediction", "unsup", "unlabelled", "unlabeled"), UNLABELLED),
}
"""`eval` and `testa` are the test split beside a validation split and without a test split, else the validation split."""
COLUMN_NAMES = ("split", "subset", "set", "partition", "fold", "data_split", "dataset_split", "usage")
"""Names of a column that may hold the split of each row."""
_BOUNDARIES = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=\d)")


def splits_of_folders(names: Iterable[str]) -> dict[str, str]:
    """The split of each of these sibling folders that is one; empty if none is.

    Folders are splits if two of them differ in nothing but the word for their split and one of them is for training, or if the
    only folder is for training. Raises a `UserError` for folders of validation and test rows without one for training.
    """
    matches: dict[tuple[str, ...], dict[str, str]] = {}
    names = sorted(set(names))
    for name in names:
        words = _words(name)
        splits = [SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS]
        if len(splits) == 1:
            stem = tuple(word for word in words if word not in SPLIT_WORDS and not word.isdigit())
            matches.setdefault(stem, {})[name] = splits[0]
    sets = [
        group for group in matches.values() if "train" in group.values() and (len(set(group.values())) > 1 or len(names) == 1)
    ]
    if sets:
        return _resolved({name: split for group in sets for name, split in group.items()})
    for group in matches.values():
        if len(group) == len(names) > 1 and {"validation", "test"} <= set(_resolved(group).values()):
            raise UserError(f"{' and '.join(names)} look like splits, not classes, but none is for training; add a folder train")
    return {}


def splits_of_files(names: Sequence[str]) -> dict[str, str]:
    """The split of each of these files of one source that is one, by the words of its name; empty if all have the same.

    A name with words for two splits, such as `train_test.csv`, is none.
    """
    matches = {}
    for name in names:
        splits = {SPLIT_WORDS[word] for word in _words(name.rpartition("/")[2]) if word in SPLIT_WORDS}
        if len(splits) == 1:
            matches[name] = splits.pop()
    return _resolved(matches) if len(set(matches.values())) > 1 or 0 < len(matches) < len(names) else {}


def splits_of_values(values: Iterable[str]) -> dict[str, str]:
    """The split of each value of a column; empty if one of them is no split, or none is for training or all are."""
    values = set(values)
    matches = {value: SPLIT_WORDS.get(value.strip().lower(), "") for value in values}
    if "" in matches.values() or UNLABELLED in matches.values():
        return {}
    resolved = _resolved(matches)
    return resolved if "train" in resolved.values() and len(set(resolved.values())) > 1 else {}


def split_in_name(name: str) -> str:
    """The split of one file whose neighbours are not known: `train`, `validation`, `test`, or empty."""
    return splits_of_files([name, ""]).get(name, "")


def _resolved(matches: dict[str, str]) -> dict[str, str]:
    """The names with `eval` and `testa` replaced by the split that is lacking."""
    lacking = "test" if "validation" in matches.values() and "test" not in matches.values() else "validation"
    return {name: lacking if split in ("eval", "testa") else split for name, split in matches.items()}


def _words(name: str) -> list[str]:
    """The words of a name in lower case: `TrainSet`, `seg_train` and `train-00001` are cut where a reader sees a border."""
    words = []
    for part in re.split(r"[\W_]+", name):
        whole = part.lower()
        words += [whole] if whole in SPLIT_WORDS else [word.lower() for word in _BOUNDARIES.split(part)]
    return [word for word in words if word]
