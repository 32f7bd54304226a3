"""Named entities: tagged files, CRF loss, decoding, and metrics of whole entities."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.cleaning.deduplication import deduplicate_and_split
from tasks.compression.steps.prune import select_channels
from tasks.core import registry
from tasks.core.errors import UserError
from tasks.core.settings import Training
from tasks.core.splits import row_keys
from tasks.text.normalization import UnusableText
from tasks.training import trainer
from tasks.use_cases.nlp.data import conll_files
from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.ner import crf_loss, entity_metrics
from tasks.use_cases.nlp.use_case import Nlp

NAMES = ["Anna", "Boris", "Clara", "Dmitri", "Elena", "Farid", "Greta", "Hugo"]
CITIES = ["London", "Paris", "Oslo", "New York", "San Jose", "Quito"]
FRAMES = ["{p} went to {c} .", "In {c} , {p} met {q} .", "The train to {c} is late .", "{p} of {c} spoke .", "It rains ."]


def sentences(count: Any = 240, seed: Any = 0) -> Iterator[Any]:
    """Words with tags, made of a few frames."""
    dice = random.Random(seed)
    for _ in range(count):
        words, tags = [], []
        fillers = {"p": (dice.choice(NAMES), "PER"), "q": (dice.choice(NAMES), "PER"), "c": (dice.choice(CITIES), "LOC")}
        for part in dice.choice(FRAMES).split():
            text, kind = fillers[part[1]] if part.startswith("{") else (part, "")
            for number, word in enumerate(text.split()):
                words.append(word)
                tags.append(f"{'I' if number else 'B'}-{kind}" if kind else "O")
        yield words, tags


@pytest.fixture
def columns(tmp_path: Path) -> Any:
    path = tmp_path / "small.conll"
    lines = ["\n".join(f"{word} X {tag}" for word, tag in zip(*sentence, strict=True)) for sentence in sentences()]
    path.write_text("-DOCSTART- X O\n\n" + "\n\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("tags", "iob2"),
    [
        ("I-PER I-PER O I-LOC", "B-PER I-PER O B-LOC"),
        ("I-PER B-PER O", "B-PER B-PER O"),
        ("B-PER I-LOC", "B-PER B-LOC"),
        ("S-PER B-LOC E-LOC", "B-PER B-LOC I-LOC"),
        ("U-PER U-PER L-PER", "B-PER B-PER B-PER"),
        ("B-PER I-PER O", "B-PER I-PER O"),
    ],
)
def test_every_way_of_writing_tags_becomes_one(tags: Any, iob2: Any) -> None:
    assert " ".join(entity_metrics.to_iob2(tags.split())) == iob2


@pytest.mark.parametrize("tags", ["O PER", "O B-", "O X-PER"])
def test_what_is_no_tag_is_refused_with_its_word(tags: Any) -> None:
    with pytest.raises(UnusableText, match="on word 2"):
        entity_metrics.to_iob2(tags.split())


def test_f1_counts_whole_entities_and_is_the_mean_of_the_row_values() -> None:
    predictions = pd.DataFrame(
        {
            "tags": ["B-PER I-PER O B-LOC", "O O", "B-LOC O"],
            "predicted": ["B-PER O O B-LOC", "O B-PER", "B-LOC O"],
        }
    )
    scores = entity_metrics.metrics(predictions)
    assert scores["precision"] == pytest.approx(2 / 4)
    assert scores["recall"] == pytest.approx(2 / 3)
    assert scores["entity_f1"] == pytest.approx(4 / 7)
    assert entity_metrics.per_row_metric(predictions).mean() == pytest.approx(4 / 7)
    table = {row["class"]: row for row in entity_metrics.report(predictions)["per_entity"]}
    assert table["LOC"]["f1"] == 1.0
    assert table["PER"]["support"] == 1


def test_the_likelihood_is_that_of_all_ways_and_the_best_path_is_the_likeliest() -> None:
    tags = ["O", "B-X", "I-X"]
    scores = torch.randn(2, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    lengths = np.array([3, 2])
    truth = torch.tensor([[0, 1, 2], [1, 0, entity_metrics.PADDING_TAG]])

    def worth(row: Any, path: Any) -> Any:
        return sum(float(scores[row, place, path[place - 1] if place else 0, tag]) for place, tag in enumerate(path))

    nats = 0.0
    for row, length in enumerate(lengths):
        ways = {path: worth(row, path) for path in itertools.product(range(3), repeat=int(length))}
        nats += np.log(sum(np.exp(value) for value in ways.values())) - ways[tuple(truth[row, :length].tolist())]
        allowed = entity_metrics.allowed_transitions(tags)
        possible = {path: value for path, value in ways.items() if all(allowed[a, b] for a, b in itertools.pairwise((0, *path)))}
        decoded, sure = entity_metrics.viterbi(scores[row : row + 1].numpy(), lengths[row : row + 1], tags)
        assert tuple(decoded[0, :length]) == max(possible, key=lambda path: possible[path])
        assert 0 < sure[0] <= 1
    assert float(crf_loss.negative_log_likelihood(scores, truth)) == pytest.approx(nats / 5, rel=1e-4)


def test_padding_and_company_say_nothing(columns: Any) -> None:
    case, rows = prepared(columns)
    state = case.fit_preprocessing(rows)
    torch.manual_seed(0)
    network = case.build_model(state).eval()
    inputs, _ = case.encode(rows.head(8), state)
    whole = network(torch.from_numpy(inputs))
    alone = network(torch.from_numpy(inputs[3:4]))
    length = len(rows["text"].iloc[3].split())
    torch.testing.assert_close(whole[3:4, :length], alone[:, :length])


def prepared(columns: Any) -> Any:
    case = Nlp(fetch=TextFetch(path=str(columns)), training=Training(precision="fp32"))
    raw = pd.concat(list(case.load()), ignore_index=True)
    rows = case.clean_partition(raw)
    assert (rows["fault"] == "").all()
    return case, rows


def test_a_column_file_is_read_sentence_by_sentence(columns: Any) -> None:
    case, rows = prepared(columns)
    assert (type(case.problem).__name__, case.problem.label_column, len(rows)) == ("EntityTagging", "", 240)
    assert (rows["text"].str.split().str.len() == rows["tags"].str.split().str.len()).all()
    raw = next(case.load())
    assert raw["row"].iloc[0] == 3
    assert set(rows["label"]) == {"PER", "LOC", "none"}


def test_a_ragged_line_is_refused_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "ragged.conll"
    path.write_text("London X B-LOC\nis O\n")
    with pytest.raises(UserError, match=r"ragged.conll, line 2 has 2 columns, expected 3"):
        list(conll_files.read_path(TextFetch(path=str(path))))


@pytest.mark.parametrize(
    ("content", "message"), [("", "is empty"), ("\n\n", "holds no sentence"), ("London\n", "line 1 has 1 column")]
)
def test_a_file_without_sentences_is_refused(tmp_path: Path, content: Any, message: Any) -> None:
    path = tmp_path / "none.conll"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        list(conll_files.read_path(TextFetch(path=str(path))))


def test_names_are_found_in_sentences_never_seen(columns: Any) -> None:
    case, rows = prepared(columns)
    train, test = rows.iloc[:180].reset_index(drop=True), rows.iloc[180:].reset_index(drop=True)
    state = case.fit_preprocessing(train)
    inputs, targets = case.encode(train, state)
    torch.manual_seed(0)
    training = Training(epochs=6, batch_size=16, learning_rate=0.01, precision="fp32")
    fitted = trainer.fit(
        case.build_model(state),
        inputs,
        targets,
        objective=lambda network, x, y: case.problem.loss(network(x), y, case.training),
        training=training,
    )
    predictions = case.problem.decode(test, trainer.predict(fitted.network, case.encode(test, state)[0]), state)
    scores = case.problem.metrics(predictions)
    assert scores["entity_f1"] > 0.9
    assert np.mean(case.problem.per_row_metric(predictions)) == pytest.approx(scores["entity_f1"])
    baselines = case.baselines(train, test)
    assert case.problem.metrics(baselines["no entity"])["entity_f1"] == 0


@pytest.mark.parametrize(("name", "fields"), [("text_tagger", {"classes": 3}), ("text_writer", {})])
def test_channels_that_say_nothing_can_be_taken_out_of_taggers_and_writers(name: Any, fields: Any) -> None:
    torch.manual_seed(0)
    network = registry.build_network("nlp", name, {"tokens": 30, "width": 8, "hidden": 8, **fields}).eval()
    for weight in network.parameters():
        weight.data = torch.randn_like(weight) * 0.3
    state, keep = network.state_dict(), {}
    for group_name, group in network.groups().items():
        half = group.size // 2
        keep[group_name] = torch.arange(half)
        for key, dimension in group.producers:
            state[key].index_fill_(dimension, torch.arange(half, group.size), 0)
        for key, dimension, repeat in group.consumers:
            state[key].index_fill_(dimension, torch.arange(half * repeat, group.size * repeat), 0)
    numbers = torch.randint(1, 30, (4, 7, 5) if name == "text_tagger" else (4, 7), generator=torch.Generator().manual_seed(0))
    narrow = select_channels(network, keep)
    assert narrow.fields["hidden"] == narrow.fields["width"] == 4
    torch.testing.assert_close(narrow(numbers.int()), network(numbers.int()))


def test_every_sentence_of_a_column_file_counts_and_equal_ones_with_other_tags_contradict(tmp_path: Path) -> None:
    for name, sentences in {
        "train": ["Rome B-LOC\nwon O", "1996-08-22 O", "Rome B-ORG\nwon O"],
        "test": ["Rome B-LOC\nwon O", "3 O\n- O\n1 O", "3 O\n- O\n1 O"],
    }.items():
        (tmp_path / f"{name}.conll").write_text("\n\n".join(sentences) + "\n")
    case = Nlp(fetch=TextFetch(path=str(tmp_path)))
    raw = pd.concat(list(case.load()), ignore_index=True)
    cleaned = case.clean_partition(raw).assign(file=raw["file"], row=raw["row"], part=0)
    outcome = deduplicate_and_split(case, cleaned.assign(key=row_keys(cleaned, case.unique_key)))
    assert outcome["split"].value_counts()["test"] == 3
    verdicts = dict(zip(outcome["file"] + ":" + outcome["row"].astype(str), outcome["verdict"] + outcome["reason"], strict=True))
    assert verdicts == {
        "test.conll:1": "kept",
        "test.conll:4": "kept",
        "test.conll:8": "kept",
        "train.conll:1": "duplicateduplicate of test.conll:1",
        "train.conll:4": "kept",
        "train.conll:6": "duplicateduplicate of test.conll:1, which is labelled 'B-LOC O'",
    }
