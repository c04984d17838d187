"""OpenAI's Python client against both hosts; vectors against onnxruntime, tokenizers and numpy."""

import base64

import numpy as np
import onnxruntime
import openai
import pytest
from tokenizers import Tokenizer

import hosts

WORDS = hosts.ROOT / "tests" / "models" / "texts" / "words"
TEXTS = [
    "The dunlin is a small wader that breeds in northern Europe.",
    "Free money!",
    "",
    "Größe, naïve Käfer — 東京 🐦",
    "it flies in great flocks " * 40,
]


@pytest.fixture
def client(address):
    return openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def reference():
    """The vectors of all texts, each by itself: mean over its tokens, then 1 long, as sentence-transformers does it."""
    tokenizer = Tokenizer.from_file(str(WORDS / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=64)
    session = onnxruntime.InferenceSession(WORDS / "model.onnx", providers=["CPUExecutionProvider"])
    vectors, tokens = [], 0
    for text in TEXTS:
        ids = np.array([tokenizer.encode(text).ids])
        (states,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        mean = states[0].mean(axis=0)
        vectors.append(mean / np.linalg.norm(mean))
        tokens += ids.size
    return np.array(vectors), tokens


# Without a format the client asks for base64, and decodes it.
@pytest.mark.parametrize("form", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
def test_embeddings_are_the_references(client, reference, form):
    vectors, tokens = reference
    answer = client.embeddings.create(model="words", input=TEXTS, **form)
    assert answer.model == "words@1"
    assert [entry.index for entry in answer.data] == list(range(len(TEXTS)))
    got = [entry.embedding for entry in answer.data]
    if form.get("encoding_format") == "base64":
        got = [np.frombuffer(base64.b64decode(vector), "<f4") for vector in got]
    np.testing.assert_allclose(np.array(got), vectors, atol=1e-5)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == tokens


def test_a_text_alone_means_the_same(client, reference):
    for text, vector in zip(TEXTS, reference[0], strict=True):
        answer = client.embeddings.create(model="words@1", input=text)
        np.testing.assert_allclose(answer.data[0].embedding, vector, atol=1e-5)


def test_models_are_listed(client):
    ids = {model.id for model in client.models.list()}
    assert {"words", "digits"} <= ids
    assert client.models.retrieve("words").owned_by == "dunlin"


def test_errors_are_the_clients_exceptions(client):
    with pytest.raises(openai.NotFoundError) as missing:
        client.embeddings.create(model="nobody", input="a")
    assert missing.value.code == "model_not_found"
    assert 'no model "nobody"' in missing.value.message
    with pytest.raises(openai.BadRequestError, match="no embeddings"):
        client.embeddings.create(model="digits", input="a")
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length"):
        client.embeddings.create(model="words", input=[[1, 2, 3]])
