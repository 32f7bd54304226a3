"""A pretrained text encoder in miniature: the files of a folder, with random weights and a tokenizer of a few words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WIDTH, HEADS, HIDDEN, POSITIONS = 16, 2, 32, 24


def write_encoder(folder: Path, texts: Sequence[str], layers: int = 2) -> Path:
    """Write config.json, tokenizer.json and model.safetensors of a BERT of width 16 that knows the words of these texts."""
    folder.mkdir(parents=True, exist_ok=True)
    words = sorted({word for text in texts for word in text.lower().split()})
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.enable_padding(length=POSITIONS)  # as sentence-transformers saves it
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "vocab_size": len(vocabulary),
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "num_hidden_layers": layers,
        "intermediate_size": HIDDEN,
        "max_position_embeddings": POSITIONS,
        "layer_norm_eps": 1e-12,
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(_weights(len(vocabulary), layers), folder / "model.safetensors")
    return folder


def _weights(tokens: int, layers: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.3

    weights = {
        "embeddings.word_embeddings.weight": random(tokens, WIDTH),
        "embeddings.position_embeddings.weight": random(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": random(2, WIDTH),
    }
    sizes = {f"attention.self.{name}": (WIDTH, WIDTH) for name in ("query", "key", "value")}
    sizes |= {"attention.output.dense": (WIDTH, WIDTH), "intermediate.dense": (HIDDEN, WIDTH), "output.dense": (WIDTH, HIDDEN)}
    norms = ["embeddings.LayerNorm"]
    for layer in range(layers):
        for name, (out, width) in sizes.items():
            weights[f"encoder.layer.{layer}.{name}.weight"] = random(out, width)
            weights[f"encoder.layer.{layer}.{name}.bias"] = random(out)
        norms += [f"encoder.layer.{layer}.{name}.LayerNorm" for name in ("attention.output", "output")]
    for name in norms:
        weights |= {f"{name}.weight": 1 + random(WIDTH), f"{name}.bias": random(WIDTH)}
    return weights
