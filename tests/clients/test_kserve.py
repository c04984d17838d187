"""KServe's own Python SDK: its REST client (`InferenceRESTClient`), protocol v2."""

import asyncio

import httpx
import numpy as np
import pytest
from kserve.inference_client import InferenceRESTClient, RESTConfig
from kserve.protocol.infer_type import InferInput, InferRequest, RequestedOutput

from digits import LOGITS, PICTURES


@pytest.fixture
def ask(address):
    """Calls one method of a fresh client: `ask("infer", ...)`. The client is asynchronous, the suite is not."""

    def call(method, *arguments, **kwargs):
        async def go():
            async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
                return await getattr(client, method)(f"http://{address}", *arguments, **kwargs)

        return asyncio.run(go())

    return call


def request(values, binary, binary_reply, model="digits", name="image", output="logits"):
    given = InferInput(name, list(values.shape), {"f": "FP32", "O": "BYTES", "i": "INT64"}[values.dtype.kind])
    given.set_data_from_numpy(values, binary_data=binary)
    wanted = [RequestedOutput(output, {"binary_data": binary_reply})]
    return InferRequest(model, [given], request_id="seven", request_outputs=wanted)


def test_health(ask):
    assert ask("is_server_live") is True
    assert ask("is_server_ready") is True
    assert ask("is_model_ready", "digits") is True
    assert ask("is_model_ready", "nobody") is False


@pytest.mark.parametrize("binary_reply", [False, True], ids=["json_reply", "binary_reply"])
@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_digits_agrees_with_onnxruntime(ask, binary, binary_reply):
    answer = ask("infer", request(PICTURES, binary, binary_reply), model_name="digits")
    # The client drops the version of the reply.
    assert (answer.id, answer.model_name) == ("seven", "digits")
    (logits,) = answer.outputs
    assert (logits.name, logits.datatype, logits.shape) == ("logits", "FP32", [10, 10])
    np.testing.assert_allclose(logits.as_numpy(), LOGITS, atol=1e-4, rtol=0)


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("int64", np.array([[-(2**63), -1, 0, 2**63 - 1]], np.int64)),
        ("bytes", np.array([["", "dunlin", "Größe", "\n"]], np.object_)),
    ],
)
def test_integers_and_strings_come_back_as_they_went(ask, datatype, values, binary):
    model = f"echo-{datatype}"
    answer = ask("infer", request(values, binary, binary, model, "x", "y"), model_name=model)
    back = answer.outputs[0].as_numpy()
    if datatype == "bytes":
        back = np.array([[v.decode() if isinstance(v, bytes) else v for v in row] for row in back], np.object_)
    np.testing.assert_array_equal(back, values)


def test_a_plain_dictionary_of_nested_lists(ask):
    body = {
        "inputs": [
            {"name": "image", "shape": [10, 1, 28, 28], "datatype": "FP32", "data": PICTURES.tolist()},
        ]
    }
    answer = ask("infer", body, model_name="digits")
    np.testing.assert_allclose(answer.outputs[0].as_numpy(), LOGITS, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("model", "name", "status", "word"), [("nobody", "image", 404, "nobody"), ("digits", "picture", 400, "picture")]
)
def test_mistakes_are_told(ask, model, name, status, word):
    with pytest.raises(httpx.HTTPStatusError) as told:
        ask("infer", request(PICTURES[:1], True, True, model, name), model_name=model)
    assert told.value.response.status_code == status
    assert word in told.value.response.json()["error"]
    assert word in str(told.value)
