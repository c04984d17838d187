"""Vectors of a real sentence transformer, where fetch.py has put it, as onnxruntime, tokenizers and numpy make them."""

import json
import shutil
import subprocess

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from fetch import HERE

MINILM = HERE.parents[1] / "target" / "models" / "minilm-l3" / "model.onnx"
DUNLIN = HERE.parents[1] / "target" / "release" / "dunlin"
# The package has no tokenizer: the numbers are checked, not what they mean.
TOKENIZER = HERE / "texts" / "words" / "tokenizer.json"
TEXTS = ["a bird", "The dunlin is a small wader that breeds in northern Europe.", "", "win " * 100]
STATES = "onnx::Shape_422"
MODEL = f"""
[input]
kind = "text"
max_tokens = 64
[output]
kind = "embedding"
tensor = "{STATES}"
"""


@pytest.mark.skipif(not MINILM.exists(), reason="fetch.py --only minilm-l3 brings it")
def test_vectors_are_the_references(tmp_path):
    shutil.copy(MINILM, tmp_path / "model.onnx")
    shutil.copy(TOKENIZER, tmp_path / "tokenizer.json")
    (tmp_path / "model.toml").write_text(MODEL)
    (tmp_path / "texts.json").write_text(json.dumps({"texts": TEXTS}))
    store = ["--store", f"file:{tmp_path / 'store'}"]
    subprocess.run([DUNLIN, "push", tmp_path, "--name", "minilm", *store], check=True, capture_output=True)
    run = [DUNLIN, "run", "minilm", tmp_path / "texts.json", "--json", *store]
    got = json.loads(subprocess.run(run, check=True, capture_output=True).stdout)["embeddings"]

    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=64)
    session = onnxruntime.InferenceSession(MINILM, providers=["CPUExecutionProvider"])
    for text, vector in zip(TEXTS, got, strict=True):
        ids = np.array([tokenizer.encode(text).ids])
        (states,) = session.run([STATES], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        mean = states[0].mean(axis=0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
