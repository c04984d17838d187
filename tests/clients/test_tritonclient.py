"""NVIDIA's own HTTP client, `tritonclient`, over every datatype and extension that Dunlin speaks."""

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from digits import LOGITS, PICTURES

EDGES = {
    "bool": np.array([[True, False, False, True]]),
    "uint8": np.array([[0, 1, 128, 255]], np.uint8),
    "uint16": np.array([[0, 1, 32768, 65535]], np.uint16),
    "uint32": np.array([[0, 1, 2**31, 2**32 - 1]], np.uint32),
    "uint64": np.array([[0, 1, 2**63, 2**64 - 1]], np.uint64),
    "int8": np.array([[-128, -1, 0, 127]], np.int8),
    "int16": np.array([[-(2**15), -1, 0, 2**15 - 1]], np.int16),
    "int32": np.array([[-(2**31), -1, 0, 2**31 - 1]], np.int32),
    "int64": np.array([[-(2**63), -1, 0, 2**63 - 1]], np.int64),
    "fp16": np.array([[-65504, 6e-8, 0.1, 65504]], np.float16),
    "bf16": np.array([[-3.3895e38, 1e-38, 0.1, 3.3895e38]], ml_dtypes.bfloat16),
    "fp32": np.array([[-3.4028235e38, 1e-45, 0.1, 16777217]], np.float32),
    "fp64": np.array([[-1.7976931348623157e308, 5e-324, 0.1, 2**53 + 1]], np.float64),
    "bytes": np.array([["", "dunlin", "Größe 𝛼", 'quote " and \\ and \n']], np.object_),
}


@pytest.fixture(scope="module")
def client(address):
    with triton.InferenceServerClient(address) as made:
        yield made


def tensor(name, values, binary):
    """`values` as an input of a request."""
    made = triton.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    return made.set_data_from_numpy(values, binary_data=binary)


def text(values):
    """BYTES come back as bytes from a binary reply and as str from JSON: compare them as str."""
    if values.dtype != np.object_:
        return values
    return np.array([[v.decode() if isinstance(v, bytes) else v for v in row] for row in values], np.object_)


def digits(client, binary, pictures, **kwargs):
    return client.infer("digits", [tensor("image", pictures, binary)], **kwargs)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("reply", ["json", "binary"])
@pytest.mark.parametrize("sent", ["json", "binary"])
@pytest.mark.parametrize("datatype", EDGES)
def test_every_datatype_comes_back_as_it_went(client, datatype, sent, reply, rows):
    if datatype == "bf16" and "json" in (sent, reply):
        pytest.skip("this client speaks BF16 in binary alone")
    values = np.repeat(EDGES[datatype], rows, axis=0)
    wanted = [triton.InferRequestedOutput("y", binary_data=reply == "binary")]
    answer = client.infer(f"echo-{datatype}", [tensor("x", values, sent == "binary")], outputs=wanted)
    np.testing.assert_array_equal(text(answer.as_numpy("y")), values)
    described = answer.get_output("y")
    assert described["datatype"] == np_to_triton_dtype(values.dtype)
    assert described["shape"] == [rows, 4]
    assert ("data" in described) == (reply == "json")


def test_many_inputs_and_a_choice_of_outputs_in_one_request(client):
    inputs = [tensor(f"{name}_in", values, index % 2 == 0) for index, (name, values) in enumerate(EDGES.items())]
    wanted = [
        triton.InferRequestedOutput("int64_out", binary_data=False),
        triton.InferRequestedOutput("bytes_out", binary_data=True),
        triton.InferRequestedOutput("fp16_out", binary_data=True),
    ]
    answer = client.infer("echo-all", inputs, outputs=wanted)
    assert [o["name"] for o in answer.get_response()["outputs"]] == ["int64_out", "bytes_out", "fp16_out"]
    for name in ("int64", "bytes", "fp16"):
        np.testing.assert_array_equal(text(answer.as_numpy(f"{name}_out")), EDGES[name])


def test_no_outputs_named_means_all_of_them(client):
    answer = client.infer("echo-all", [tensor(f"{n}_in", v, True) for n, v in EDGES.items()])
    assert {o["name"] for o in answer.get_response()["outputs"]} == {f"{n}_out" for n in EDGES}


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
def test_digits_agrees_with_onnxruntime(client, binary):
    for rows in (1, 4, 10):
        logits = digits(client, binary, PICTURES[:rows]).as_numpy("logits")
        np.testing.assert_allclose(logits, LOGITS[:rows], atol=1e-4, rtol=0)


def test_the_classification_extension(client):
    wanted = [triton.InferRequestedOutput("logits", class_count=3)]
    answer = digits(client, True, PICTURES, outputs=wanted).as_numpy("logits")
    assert answer.shape == (10, 3)
    for row, logits in zip(answer, LOGITS, strict=True):
        best = np.argsort(-logits, kind="stable")[:3]
        for entry, index in zip(row, best, strict=True):
            score, number, *label = entry.decode().split(":")
            assert int(number) == index
            assert label == [str(index)]
            assert float(score) == pytest.approx(logits[index], abs=1e-3)


def test_ids_and_versions(client):
    answer = digits(client, True, PICTURES[:1], request_id="request-7", model_version="1").get_response()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("request-7", "digits", "1")
    assert digits(client, True, PICTURES[:1]).get_response()["model_version"] == "2"


def test_asynchronous_requests(client):
    waiting = [client.async_infer("digits", [tensor("image", PICTURES[n : n + 1], True)]) for n in range(10)]
    for number, one in enumerate(waiting):
        assert one.get_result().as_numpy("logits").argmax() == number


def test_a_client_that_accepts_compressed_replies(client):
    answer = digits(client, True, PICTURES, response_compression_algorithm="gzip")
    np.testing.assert_allclose(answer.as_numpy("logits"), LOGITS, atol=1e-4, rtol=0)


def test_health(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "1")
    assert not client.is_model_ready("digits", "99")
    assert not client.is_model_ready("nobody")


def test_metadata(client):
    server = client.get_server_metadata()
    assert server["name"] == "dunlin"
    extensions = {"binary_tensor_data", "classification", "model_repository(index)", "statistics"}
    assert set(server["extensions"]) == extensions
    model = client.get_model_metadata("digits")
    assert model["name"] == "digits"
    assert set(model["versions"]) == {"1", "2"}
    assert model["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 28, 28]}]
    assert model["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}]


def test_repository_index(client):
    digits(client, True, PICTURES[:1])
    rows = {(row["name"], row["version"]): row["state"] for row in client.get_model_repository_index()}
    assert rows["digits", "2"] == "READY"
    assert {f"echo-{name}" for name in EDGES} <= {name for name, _ in rows}


def test_statistics_count_what_was_asked(client):
    def successes():
        (row,) = client.get_inference_statistics("digits", "2")["model_stats"]
        assert row["name"] == "digits"
        return row["inference_stats"]["success"]["count"], row["inference_count"]

    digits(client, True, PICTURES[:1])
    before, pictures = successes()
    digits(client, True, PICTURES[:3])
    assert successes() == (before + 1, pictures + 3)


def wrong_datatype(client):
    client.infer("digits", [tensor("image", PICTURES[:1].astype(np.float64), True)])


def wrong_shape(client):
    client.infer("digits", [tensor("image", PICTURES[:1, :, :27], True)])


def wrong_input(client):
    client.infer("digits", [tensor("picture", PICTURES[:1], True)])


def wrong_output(client):
    digits(client, True, PICTURES[:1], outputs=[triton.InferRequestedOutput("labels")])


def unknown_model(client):
    client.infer("nobody", [tensor("image", PICTURES[:1], True)])


def unknown_version(client):
    digits(client, True, PICTURES[:1], model_version="99")


def count_against_shape(client):
    made = tensor("image", PICTURES[:1], False)
    made.set_shape([2, 1, 28, 28])
    client.infer("digits", [made])


def too_few_bytes(client):
    made = tensor("image", PICTURES[:1], True)
    made._raw_data = made._raw_data[:-4]
    client.infer("digits", [made])


@pytest.mark.parametrize(
    ("mistake", "status", "words"),
    [
        (wrong_datatype, "400", ["image", "FP64", "FP32"]),
        (wrong_shape, "400", ["image", "27", "28"]),
        (wrong_input, "400", ["picture", "image"]),
        (wrong_output, "400", ["labels", "logits"]),
        (unknown_model, "404", ["nobody"]),
        (unknown_version, "404", ["digits", "99"]),
        (count_against_shape, "400", ["image", "784", "1568"]),
        (too_few_bytes, "400", ["image"]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_mistakes_are_told(client, mistake, status, words):
    with pytest.raises(InferenceServerException) as told:
        mistake(client)
    assert told.value.status() == status
    for word in words:
        assert word in told.value.message(), told.value.message()
    assert "exception occurred in the client" not in told.value.message()


def test_bfloat16_comes_as_numbers_in_json(client):
    values = EDGES["bf16"]
    wanted = [triton.InferRequestedOutput("y", binary_data=False)]
    answer = client.infer("echo-bf16", [tensor("x", values, True)], outputs=wanted)
    numbers = np.array(answer.get_output("y")["data"], np.float32)
    np.testing.assert_array_equal(numbers.astype(ml_dtypes.bfloat16), values.ravel())
