#!/usr/bin/env python3
"""Embeddings of `POST /v1/embeddings` beside those of sentence-transformers itself, on a MiniLM.

    apt-get install python3-torch
    /usr/bin/python3 -m venv --system-site-packages FOLDER
    FOLDER/bin/pip install sentence-transformers==2.7.0 transformers==4.38.2 'numpy<2' onnx==1.17.0
    .venv/bin/python tests/models/fetch.py --only minilm-l3 && cargo build --release
    FOLDER/bin/python tests/models/beside_sentence_transformers.py

The weights are read from the ONNX file into the network that it was exported from (BERT, three layers of 384), so that
both sides have the same numbers and the same tokenizer; pooling and normalizing are sentence-transformers' own modules.
By hand, and not in CI: it needs PyTorch. What CI does is the same with onnxruntime, tokenizers and numpy.
"""

import json
import pathlib
import re
import shutil
import sys
import tempfile
import urllib.request

import numpy as np
import onnx
import torch
from sentence_transformers import SentenceTransformer, models
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "clients"))
import hosts  # noqa: E402  (the path above is where it lies)

MINILM = ROOT / "target" / "models" / "minilm-l3" / "model.onnx"
TOKENIZER = ROOT / "tests" / "models" / "texts" / "words" / "tokenizer.json"
TOKENS = 64
TEXTS = [
    "a bird",
    "The dunlin is a small wader that breeds in northern Europe.",
    "",
    "Größe, naïve Käfer — 東京 🐦",
    "win " * 100,
]
MODEL = f"""
[input]
kind = "text"
max_tokens = {TOKENS}
[output]
kind = "embedding"
tensor = "onnx::Shape_422"
"""
# Factors without a name of their own, as the exporter numbers them, in the order of their use.
FACTORS = [f"{part}.dense" for part in ("attention.output", "intermediate", "output")]
FACTORS = [f"attention.self.{part}" for part in ("query", "key", "value")] + FACTORS


def weights():
    """The file's weights under the names that transformers has for them."""
    found, factors = {}, []
    for tensor in onnx.load(MINILM).graph.initializer:
        numbers = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        if number := re.fullmatch(r"onnx::MatMul_(\d+)", tensor.name):
            factors.append((int(number[1]), numbers.T))
        else:
            found[tensor.name.removeprefix("model.0.auto_model.")] = numbers
    for place, (_, factor) in enumerate(sorted(factors, key=lambda pair: pair[0])):
        layer, which = divmod(place, len(FACTORS))
        found[f"encoder.layer.{layer}.{FACTORS[which]}.weight"] = factor
    return found


def theirs(folder):
    """The vectors of sentence-transformers, the texts in one batch."""
    bert = BertModel(BertConfig(num_hidden_layers=3, hidden_size=384, num_attention_heads=12, intermediate_size=1536))
    missing, unexpected = bert.load_state_dict(weights(), strict=False)
    # The pooler is no part of a sentence encoder; the positions are 0 to 511.
    assert not unexpected and all(name.startswith("pooler.") or "position_ids" in name for name in missing), missing
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")}
    bert.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_file=str(TOKENIZER), **special).save_pretrained(folder)
    transformer = models.Transformer(str(folder), max_seq_length=TOKENS)
    pooling = models.Pooling(transformer.get_word_embedding_dimension(), "mean")
    return SentenceTransformer(modules=[transformer, pooling, models.Normalize()], device="cpu").encode(TEXTS)


def ours(folder):
    """The vectors that a server answers over OpenAI's API."""
    shutil.copy(MINILM, folder / "model.onnx")
    shutil.copy(TOKENIZER, folder / "tokenizer.json")
    (folder / "model.toml").write_text(MODEL)
    store = f"file:{folder / 'store'}"
    hosts.dunlin("push", str(folder), "--name", "minilm", store=store)
    with hosts.local_server(store, folder) as address:
        body = json.dumps({"model": "minilm", "input": TEXTS}).encode()
        request = urllib.request.Request(f"http://{address}/v1/embeddings", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return np.array([row["embedding"] for row in json.load(answer)["data"]])


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    (folder / "theirs").mkdir()
    (folder / "ours").mkdir()
    reference, vectors = theirs(folder / "theirs"), ours(folder / "ours")
difference = float(np.abs(vectors - reference).max())
print(f"{len(TEXTS)} texts, vectors of {vectors.shape[1]}: they differ by {difference:.1e} at most")
assert difference < 1e-5
