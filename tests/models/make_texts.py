#!/usr/bin/env python3
"""Writes three tiny models that take texts and series, each a folder that `dunlin push` takes.

    make_texts.py [FOLDER]         (default: texts/ beside this file)

- `words`: texts to vectors. A seeded vector a token, which sees the mean of the text's others: without the attention
  mask, padding would show.
- `spam`: texts to two classes, by a score a token.
- `weather`: 24 hours of a temperature to the next three: what it was a day before, and half of the last change.

The tokenizer is the WordPiece of shared/transforms/tests/data/text. Needs `onnx`, `numpy` and `tokenizers`.
"""

import pathlib
import shutil
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).resolve().parent
TOKENIZER = HERE.parents[1] / "shared" / "transforms" / "tests" / "data" / "text" / "wordpiece.json"
SPAM = ["free", "money", "win", "click", "fee", "!"]


def save(folder, nodes, inputs, outputs, constants):
    """One graph; `constants` are arrays by name."""
    made = helper.make_graph(
        nodes,
        folder.name,
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], producer_name="dunlin-tests")
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / "model.onnx")


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output], name=output, **attributes)


def texts():
    """The inputs of a model that takes texts."""
    return [(name, TensorProto.INT64, ["batch", "tokens"]) for name in ("input_ids", "attention_mask")]


# [batch, tokens, 1]: 1 for a token, 0 for padding; and the sum of `rows` over a text's own tokens.
MASK = [
    node("Cast", ["attention_mask"], "flat_mask", to=TensorProto.FLOAT),
    node("Unsqueeze", ["flat_mask", "last"], "mask"),
    node("Mul", ["rows", "mask"], "own"),
]


def words(folder, tokenizer):
    table = np.random.default_rng(7).normal(size=(tokenizer.get_vocab_size(), 8)).astype(np.float32)
    nodes = [
        node("Gather", ["table", "input_ids"], "rows"),
        *MASK,
        node("ReduceSum", ["own", "middle"], "sums"),
        node("ReduceSum", ["mask", "middle"], "counts"),
        node("Div", ["sums", "counts"], "means"),
        node("Add", ["rows", "means"], "seen"),
        node("Tanh", ["seen"], "last_hidden_state"),
    ]
    constants = {"table": table, "last": np.array([-1]), "middle": np.array([1])}
    save(folder, nodes, texts(), [("last_hidden_state", ["batch", "tokens", 8])], constants)


def spam(folder, tokenizer):
    table = np.full((tokenizer.get_vocab_size(), 2), [0.1, -0.1], np.float32)
    for word in SPAM:
        if (token := tokenizer.token_to_id(word)) is None:
            raise SystemExit(f"{word!r} is no token")
        table[token] = [-1, 1]
    nodes = [
        node("Gather", ["table", "input_ids"], "rows"),
        *MASK,
        node("ReduceSum", ["own", "middle"], "logits", keepdims=0),
    ]
    constants = {"table": table, "last": np.array([-1]), "middle": np.array([1])}
    save(folder, nodes, texts(), [("logits", ["batch", 2])], constants)


def weather(folder):
    """The days are MEAN on average and differ by STD, as its model.toml says."""
    weights = np.zeros((24, 3), np.float32)
    weights[[0, 1, 2], [0, 1, 2]] = 1
    weights[-1] += 0.5
    weights[-2] -= 0.5
    nodes = [node("Squeeze", ["window", "last"], "flat"), node("MatMul", ["flat", "weights"], "next")]
    inputs = [("window", TensorProto.FLOAT, ["batch", 24, 1])]
    save(folder, nodes, inputs, [("next", ["batch", 3])], {"weights": weights, "last": np.array([2])})


def main(to):
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    for name, make in (("words", words), ("spam", spam), ("weather", weather)):
        (to / name).mkdir(parents=True, exist_ok=True)
        make(to / name, *([] if make is weather else [tokenizer]))
        if make is not weather:
            shutil.copy(TOKENIZER, to / name / "tokenizer.json")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "texts")
