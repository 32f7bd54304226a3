"""Taggers with characters and neighbours, the CRF they are measured against, and the training that suits tagged texts."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from tasks.compression import onnx_export
from tasks.compression.steps.prune import select_channels
from tasks.core import onnx_model, registry
from tasks.core.errors import UserError
from tasks.core.settings import Training
from tasks.models.nlp.text_tagger import sum_of_places
from tasks.stages import baselines
from tasks.training import budget
from tasks.use_cases.nlp.data.fetch_settings import TextFetch
from tasks.use_cases.nlp.ner import crf_baseline, crf_loss, token_features, word_features
from tasks.use_cases.nlp.settings import PACKAGED_TRAINING
from tasks.use_cases.nlp.use_case import Nlp

SENTENCES = (
    ("Oslo won", "B-LOC O"),
    ("Anna Berg met Boris in New York .", "B-PER I-PER O B-PER O B-LOC I-LOC O"),
    ("the train left", "O O O"),
    ("In Paris , Clara spoke .", "O B-LOC O B-PER O O"),
    ("Clara !", "B-PER O"),
    ("MIT beat Yale 3-1", "B-ORG O B-ORG O"),
)


@pytest.fixture
def rows() -> pd.DataFrame:
    dice = random.Random(0)
    return pd.DataFrame(dice.choices(SENTENCES, k=60), columns=["text", "tags"])


@pytest.fixture
def case(tmp_path: Path) -> Nlp:
    return Nlp(fetch=TextFetch(path=str(tmp_path / "names.conll")))


def test_a_word_is_seen_by_its_form_its_ends_its_shape_and_its_place() -> None:
    first, second = word_features.features_of(["McDonald", "3-1"], "cased")
    assert first == ("w:mcdonald", "p:mcd", "s:ald", "e:ld", "x:XxXx", "c:McDonald", "S:nald", "n:<")
    assert second == ("w:3-1", "p:3-1", "s:3-1", "e:-1", "x:d-d", "c:3-1", "S:3-1", "n:>")
    assert word_features.features_of(["Oslo"], "classic") == [("w:oslo", "s:slo", "e:lo", "u:False", "t:True", "d:False", "n:<>")]
    assert word_features.features_of(["a", "b", "c"], "classic")[1][-1] == "n:-"


def test_words_are_encoded_as_features_and_characters(rows: pd.DataFrame) -> None:
    state = token_features.fit_preprocessing(rows, 1000, 1, 256, features="cased", characters=True)
    vocabulary = state["vocabulary"]
    entries = vocabulary["entries"].split(" ")
    (ids,) = token_features.encode_texts(["Oslo wins"], state)
    assert ids.shape == (8, 8 + token_features.MAX_CHARACTERS)
    assert [entries[number - 2] for number in ids[0, :8]] == list(word_features.features_of(["Oslo", "wins"], "cased")[0])
    assert "".join(vocabulary["characters"][number - 2] for number in ids[0, 8:12]) == "Oslo"
    assert ids[1, 0] == 1  # no train row has the word
    assert not ids[0, 12:].any()
    assert not ids[2:].any()
    assert token_features.network_fields(state) == {"features": 8, "characters": 2 + len(vocabulary["characters"])}


def test_a_vocabulary_of_an_earlier_version_is_encoded_as_before(rows: pd.DataFrame) -> None:
    state = token_features.fit_preprocessing(rows, 1000, 1, 256)
    assert set(state["vocabulary"]) == {"kind", "count", "entries", "length"}
    assert token_features.encode_texts(["Oslo won"], state).shape == (1, 8, 5)
    assert token_features.network_fields(state) == {}


def test_the_neighbours_of_a_place_say_their_part_of_it() -> None:
    rows = torch.tensor([[[1.0, 10, 100], [2, 20, 200], [3, 30, 300]]])
    assert sum_of_places(rows).squeeze(2).tolist() == [[10 + 200, 20 + 1 + 300, 30 + 2]]


@pytest.fixture
def network(case: Nlp, rows: pd.DataFrame) -> Any:
    torch.manual_seed(0)
    made: Any = case.build_model(case.fit_preprocessing(rows))
    for weight in made.parameters():
        weight.data = torch.randn_like(weight) * 0.3
    return made.eval()


def test_the_exported_tagger_answers_like_the_network_whatever_the_padding(case: Nlp, rows: pd.DataFrame, network: Any) -> None:
    state = case.fit_preprocessing(rows)
    inputs, _ = case.encode(rows, state)
    content = onnx_export.to_onnx(network, inputs, state, "nlp")
    assert onnx_export.parity(network, content, inputs, 1e-4)["equal_decisions_share"] == 1
    alone = network(torch.from_numpy(inputs[:1]))
    torch.testing.assert_close(alone, network(torch.from_numpy(inputs))[:1])
    torch.testing.assert_close(torch.from_numpy(onnx_model.predict(content, inputs[:1])), alone, rtol=1e-4, atol=1e-4)
    assert not alone[0, len(rows["text"].iloc[0].split()) :].any()


def test_channels_of_characters_that_say_nothing_can_be_taken_out(case: Nlp, rows: pd.DataFrame, network: Any) -> None:
    inputs = torch.from_numpy(case.encode(rows, case.fit_preprocessing(rows))[0])
    group, kept = network.groups()["filters"], 20
    assert network.fields["filters"] == group.size == 48
    for key, dimension, repeat in group.consumers:
        network.state_dict()[key].index_fill_(dimension, torch.arange(kept * repeat, group.size * repeat), 0)
    keep = {name: torch.arange(each.size if name != "filters" else kept) for name, each in network.groups().items()}
    narrow = select_channels(network, keep)
    assert narrow.characters_VRN.shape[2] == kept
    torch.testing.assert_close(narrow(inputs), network(inputs))


def test_a_tagger_reads_words_as_unknown_only_while_it_is_trained(network: Any) -> None:
    ids = torch.randint(2, 20, (4, 6, 24), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(ids), network(ids))
    network.dropout.p = 0.0
    network.train()
    assert network.fields["unknown"] == 0.1
    assert not torch.equal(network(ids), network(ids))


def test_characters_without_features_are_refused() -> None:
    with pytest.raises(UserError, match="expected both or neither"):
        registry.build_network("nlp", "text_tagger", {"tokens": 30, "classes": 3, "characters": 9})


def test_the_gradient_of_the_loss_is_zero_at_padding_and_finite() -> None:
    scores = torch.randn(2, 5, 3, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    crf_loss.negative_log_likelihood(scores, torch.tensor([[0, 1, 2, 0, -1], [2, -1, -1, -1, -1]])).backward()
    assert scores.grad is not None
    assert not scores.grad[0, 4].any()
    assert not scores.grad[1, 1:].any()
    assert scores.grad[0, 3].abs().sum() > 0


def test_the_file_of_the_crf_gives_the_answers_of_crfsuite(rows: pd.DataFrame, tmp_path: Path) -> None:
    import pycrfsuite

    exported = crf_baseline.exported(rows)
    content = baselines.to_bytes(exported, "nlp", "crf")
    assert baselines.parity(content, exported.inputs, exported.expected, "crf")["equal_decisions_share"] == 1
    assert content == baselines.to_bytes(crf_baseline.exported(rows), "nlp", "crf")
    state = exported.state
    seen = crf_baseline.seen_by_neighbours(state)
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", params=crf_baseline.PENALTIES, verbose=False)
    encoded = token_features.encode_texts(rows["text"].to_list(), state)
    for ids, tags in zip(encoded, rows["tags"], strict=True):
        trainer.append(crf_baseline.attributes(ids, seen), tags.split())
    trainer.train(str(tmp_path / "model"))
    tagger = pycrfsuite.Tagger()
    tagger.open(str(tmp_path / "model"))
    asked = pd.DataFrame({"text": ["Boris met Clara", "In Yale , Oslo won", *(text for text, _ in SENTENCES)]})
    inputs = token_features.encode_texts(asked["text"].to_list(), state)
    answers = token_features.decode(asked, onnx_model.predict(content, inputs), state)
    for ids, predicted, confidence in zip(inputs, answers["predicted"], answers["confidence"], strict=True):
        own = tagger.tag(crf_baseline.attributes(ids, seen))
        assert predicted.split() == own
        assert confidence >= tagger.probability(own) - 1e-5  # CRFsuite leaves a share to tags that are not allowed
    assert (answers["predicted"].iloc[2:] == [tags for _, tags in SENTENCES]).all()


def test_the_crf_competes_with_the_tagger(case: Nlp, rows: pd.DataFrame) -> None:
    (exported,) = case.exported_baselines(rows).values()
    assert exported.train_rows == len(rows)
    assert exported.parameters is not None
    assert exported.parameters > 0
    outputs, targets = exported.expected, case.encode(rows, exported.state)[1]
    assert outputs.shape[1:] == (8, 7, 7)
    assert targets.shape == (60, 8)


def test_tagged_texts_of_ones_own_get_a_training_that_suits_them(case: Nlp) -> None:
    packaged = yaml.safe_load((Path(__file__).parents[4] / "params.yaml").read_text())["use_cases"]["nlp"]["training"]
    assert Training(**packaged) == PACKAGED_TRAINING
    case = Nlp(fetch=case.fetch, training=Training(**{**packaged, "batch_size": 64}))
    suited, note = budget.within_budget(case, 1_000, {"tags": ["O", "B-X", "I-X"]})
    assert suited.training.batch_size == 64  # chosen
    assert (suited.training.learning_rate, suited.training.weight_decay, suited.training.clip_norm) == (0.005, 0.01, 5.0)
    assert suited.training.epochs == 38
    assert note == (
        "settings that suit these rows: epochs 8, not 5; min_steps 600, not 0; learning_rate 0.005, not 0.01; weight_decay "
        "0.01, not 0.3; clip_norm 5, not 0; 38 epochs, 608 steps, instead of 8 epochs: 1,000 train rows are few"
    )
    topics = Nlp(fetch=TextFetch(path="a.csv"), training=Training(**packaged))
    assert topics.suited_training() == replace(topics.training, learning_rate=0.001)
