"""The Open Inference Protocol, version 2, over REST: its JSON, and answers in it.

Specification: github.com/kserve/open-inference-protocol,
`specification/protocol/inference_rest.md`; the binary tensors are Triton's extension
(`docs/protocol/extension_binary_data.md`), which its clients use unless told not to."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from freshet.schemas.errors import RequestError
from freshet.schemas.models.tasks import (
    BINARY,
    CLASSES,
    DEFAULT_TASK,
    REGRESSION,
    Classes,
    Task,
)
from freshet.serving.scoring.contract import Answer, ModelCard, TensorSpec

PREDICTION_ID = "prediction_id"
# By the task of a model: names of outputs, in order, with their datatypes.
OUTPUTS = {
    BINARY: {"probability": "FP64", PREDICTION_ID: "BYTES"},
    CLASSES: {"probabilities": "FP64", "class": "BYTES", PREDICTION_ID: "BYTES"},
    REGRESSION: {"value": "FP64", PREDICTION_ID: "BYTES"},
}
NUMBERS = frozenset(("probability", "probabilities", "value"))
Parameters = dict[str, Any]


class RequestInput(msgspec.Struct):
    """One tensor; its data is decoded later, when its declared type is known."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = {}
    data: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class RequestOutput(msgspec.Struct):
    name: str
    parameters: Parameters = {}


class InferRequest(msgspec.Struct):
    inputs: list[RequestInput]
    id: str | None = None
    parameters: Parameters = {}
    outputs: list[RequestOutput] | None = None


class ResponseOutput(msgspec.Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None = None
    data: list[Any] | None = None


class InferResponse(msgspec.Struct, omit_defaults=True):
    model_name: str
    outputs: list[ResponseOutput]
    model_version: str | None = None
    id: str | None = None
    parameters: Parameters | None = None


class TensorMetadata(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters = {}


class ModelMetadata(msgspec.Struct):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(msgspec.Struct):
    name: str
    version: str
    extensions: list[str]


_request = msgspec.json.Decoder(InferRequest)
_encode = msgspec.json.Encoder().encode


def read_request(body: bytes | memoryview) -> InferRequest:
    """Raises `RequestError` for what is no request; the text says where."""
    try:
        return _request.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(
            "body",
            f"is no inference request: {error}",
            'Send JSON as {"inputs": '
            '[{"name": "…", "shape": [1], "datatype": "BYTES", "data": ["…"]}]}.',
        ) from error


def metadata_of(card: ModelCard) -> ModelMetadata:
    inputs = [
        TensorMetadata(spec.name, spec.datatype, [-1], _said_of(spec)) for spec in card.inputs
    ]
    outputs = [
        TensorMetadata(
            name,
            datatype,
            _shape(name, -1, card.task),
            _said_of_output(name, card.task),
        )
        for name, datatype in OUTPUTS[card.task.kind].items()
    ]
    return ModelMetadata(
        card.name,
        list(card.versions),
        card.platform,
        inputs,
        outputs,
    )


def _said_of(spec: TensorSpec) -> Parameters:
    out: Parameters = {"required": spec.required, "nullable": spec.nullable}
    if spec.instead:
        out["instead"] = list(spec.instead)
    if spec.domain is not None:
        out["domain"] = sorted(spec.domain)
    if spec.range is not None:
        out["range"] = list(spec.range)
    return out


def _shape(name: str, rows: int, task: Task) -> list[int]:
    """Of an output: of probabilities of classes a row has one for each."""
    return [rows, task.width] if name == "probabilities" else [rows]


def _said_of_output(name: str, task: Task) -> Parameters:
    """The names of the classes, in the order of their probabilities."""
    if isinstance(task, Classes) and name != PREDICTION_ID:
        return {"classes": list(task.classes)}
    return {}


def check_outputs(request: InferRequest, task: Task = DEFAULT_TASK) -> None:
    """Raises `RequestError` if an output is asked for that a model of the task has not."""
    known = OUTPUTS[task.kind]
    for asked in request.outputs or ():
        if asked.name not in known:
            raise RequestError(
                f"output {asked.name!r}", "is unknown", f"The outputs are {' and '.join(known)}."
            )


def write_answer(request: InferRequest, model: str, answer: Answer) -> tuple[bytes, int | None]:
    """The body of an answer and, if binary tensors follow the JSON, the JSON's length.

    The answer's parameters get what is this request's own: `prediction_id` and `sequence` of the
    first row, and `oldest_value_age_ms`."""
    rows = len(answer.probabilities)
    outputs = []
    tail = []
    known = OUTPUTS[answer.task.kind]
    for name, binary in _wanted(request, known):
        out = ResponseOutput(
            name,
            known[name],
            _shape(name, rows, answer.task),
        )
        if binary:
            raw = _binary(name, answer)
            out.parameters = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            out.data = _listed(name, answer)
        outputs.append(out)
    parameters = _parameters(answer)
    # With the defaults left out: what a client did not ask for is not there as null.
    head = _encode(InferResponse(model, outputs, _version(parameters), request.id, parameters))
    if not tail:
        return head, None
    # In the order of the outputs: only their sizes stand in the JSON, not their places.
    return b"".join((head, *tail)), len(head)


def _binary(name: str, answer: Answer) -> bytes:
    if name in NUMBERS:
        # Little-endian on every machine, row by row, as the extension has it.
        return answer.probabilities.astype("<f8").tobytes()
    return _bytes_tensor(_texts(name, answer))


def _listed(name: str, answer: Answer) -> list[Any]:
    if name in NUMBERS:
        # Flat in the order of rows, whatever the shape, as the protocol recommends.
        numbers: list[Any] = answer.probabilities.ravel().tolist()
        return numbers
    return list(_texts(name, answer))


def _texts(name: str, answer: Answer) -> Sequence[str]:
    """The ids, or of each row the class that is most probable: of equal ones the first."""
    if name == PREDICTION_ID or not isinstance(answer.task, Classes):
        return answer.ids
    return [answer.task.classes[place] for place in answer.probabilities.argmax(axis=1).tolist()]


def _parameters(answer: Answer) -> Parameters:
    out: Parameters = dict(answer.parameters)
    if len(answer.ids):
        out["prediction_id"] = answer.ids[0]
        out["oldest_value_age_ms"] = max(answer.value_ages_ms.tolist())
    # Below 0 nothing was logged, so there is nothing to be found by it.
    if answer.sequence >= 0:
        out["sequence"] = answer.sequence
    return out


def _version(parameters: Parameters) -> str | None:
    """The snapshot that answered as a version, such as `hashed_logistic-1f2e3d4c.12`; None below
    the models."""
    if not parameters.get("lineage"):
        return None
    return f"{parameters['lineage']}.{parameters['snapshot']}"


def _wanted(request: InferRequest, known: Iterable[str]) -> list[tuple[str, bool]]:
    """The outputs to send, each with whether in binary."""
    everywhere = request.parameters.get("binary_data_output") is True
    if not request.outputs:
        return [(name, everywhere) for name in known]
    return [
        (asked.name, asked.parameters.get("binary_data", everywhere) is True)
        for asked in request.outputs
    ]


def _bytes_tensor(texts: Sequence[str]) -> bytes:
    """Each text after its length, a little-endian uint32."""
    encoded = [text.encode() for text in texts]
    return b"".join(part for data in encoded for part in (struct.pack("<I", len(data)), data))


def write_json(value: msgspec.Struct | Mapping[str, Any]) -> bytes:
    return _encode(value)
