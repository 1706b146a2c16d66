"""Answers on the wire, by the task of the model: names, shapes, datatypes, and both encodings."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

import freshet as fr
from freshet.schemas.errors import RequestError
from freshet.serving.oip import messages as oip
from freshet.serving.scoring.contract import Answer, ModelCard

COLOURS = fr.Classes(["red", "grün"])
SHARES = np.array([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1]])


def answer(task: Any, given: Any) -> Answer:
    p = np.asarray(given, np.float64)
    ids = [f"id{row}" for row in range(len(p))]
    return Answer(p, ids, np.zeros(len(p), np.int64), task=task)


def written(task: Any, given: Any, **request: Any) -> tuple[dict[str, Any], bytes]:
    body, size = oip.write_answer(oip.InferRequest([], **request), "m", answer(task, given))
    head = body if size is None else body[:size]
    return json.loads(head), body[len(head) :]


def test_classes_are_answered_by_a_probability_of_each_and_by_name() -> None:
    told, tail = written(COLOURS, SHARES)
    probabilities, named, ids = told["outputs"]
    assert (probabilities["name"], probabilities["shape"]) == ("probabilities", [3, 2])
    assert probabilities["data"] == SHARES.ravel().tolist()
    # Of equal ones the first.
    assert (named["name"], named["shape"]) == ("class", [3])
    assert named["data"] == ["grün", "red", "red"]
    assert ids["data"] == ["id0", "id1", "id2"]
    assert tail == b""


def test_binary_tensors_of_classes_are_row_by_row_and_texts_after_their_lengths() -> None:
    told, tail = written(COLOURS, SHARES, parameters={"binary_data_output": True})
    sizes = [output["parameters"]["binary_data_size"] for output in told["outputs"]]
    assert sum(sizes) == len(tail)
    assert np.frombuffer(tail[: sizes[0]], "<f8").reshape(3, 2).tolist() == SHARES.tolist()
    first = "grün".encode()
    assert tail[sizes[0] :].startswith(struct.pack("<I", len(first)) + first)


def test_a_regression_is_answered_by_a_value_and_a_binary_model_as_ever() -> None:
    told, _ = written(fr.Regression(), [-1e9, 0.5])
    assert told["outputs"][0] == {
        "name": "value",
        "datatype": "FP64",
        "shape": [2],
        "data": [-1e9, 0.5],
    }
    told, _ = written(fr.Binary(), [0.25])
    assert [output["name"] for output in told["outputs"]] == ["probability", "prediction_id"]
    assert told["outputs"][0]["shape"] == [1]


def test_outputs_are_chosen_by_name_and_those_of_another_task_are_refused() -> None:
    wanted = [oip.RequestOutput("class")]
    told, _ = written(COLOURS, SHARES, outputs=wanted)
    assert [output["name"] for output in told["outputs"]] == ["class"]
    request = oip.InferRequest([], outputs=wanted)
    oip.check_outputs(request, COLOURS)
    for task, known in ((fr.Binary(), "probability"), (fr.Regression(), "value")):
        with pytest.raises(RequestError, match=f"outputs are {known} and prediction_id"):
            oip.check_outputs(request, task)


def test_metadata_says_shapes_and_the_order_of_the_classes() -> None:
    outputs = oip.metadata_of(ModelCard("m", (), task=COLOURS)).outputs
    said = {output.name: (output.datatype, output.shape, output.parameters) for output in outputs}
    classes = {"classes": ["red", "grün"]}
    assert said == {
        "probabilities": ("FP64", [-1, 2], classes),
        "class": ("BYTES", [-1], classes),
        "prediction_id": ("BYTES", [-1], {}),
    }
    (value, _) = oip.metadata_of(ModelCard("m", (), task=fr.Regression())).outputs
    assert (value.name, value.shape) == ("value", [-1])
