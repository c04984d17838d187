"""The people's API with an ordinary HTTP client: pictures as they are, through both hosts."""

import io

import httpx
import numpy as np
import pytest
from PIL import Image

from digits import FILES, LOGITS


def post(address, body, kind, model="digits"):
    return httpx.post(f"http://{address}/predict/{model}", content=body, headers={"content-type": kind}, timeout=60)


@pytest.mark.parametrize("digit", range(10))
def test_each_picture_is_its_digit(address, digit):
    answer = post(address, FILES[digit].read_bytes(), "image/png")
    assert answer.status_code == 200, answer.text
    best = answer.json()["predictions"][0]
    assert best["label"] == str(digit)
    scores = np.exp(LOGITS[digit] - LOGITS[digit].max())
    assert best["score"] == pytest.approx((scores / scores.sum()).max(), abs=1e-4)
    assert "infer" in answer.headers["server-timing"]


@pytest.mark.parametrize("kind", ["jpeg", "webp", "gif", "bmp"])
def test_other_formats(address, kind):
    made = io.BytesIO()
    Image.open(FILES[3]).convert("RGB").save(made, kind, quality=95)
    answer = post(address, made.getvalue(), f"image/{kind}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"][0]["label"] == "3"


def test_what_is_no_picture_is_told(address):
    for body, kind in [(b"hello", "text/plain"), (FILES[0].read_bytes()[:100], "image/png"), (b"", "image/png")]:
        answer = post(address, body, kind)
        assert 400 <= answer.status_code < 500, answer.text
        said = answer.json()
        assert said["error"] and said["kind"] and said["model"] == "digits"
        assert said["request_id"] == answer.headers["x-request-id"]


def test_metrics_are_prometheus_text(address):
    post(address, FILES[0].read_bytes(), "image/png")
    answer = httpx.get(f"http://{address}/metrics")
    assert answer.status_code == 200
    assert 'nv_inference_request_success{model="digits",version="2"}' in answer.text
