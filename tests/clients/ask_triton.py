"""Asks a scorer through Triton's own client; runs where tritonclient is installed.

    python ask_triton.py HOST:PORT MODEL VERSION

prints what it made of the answers, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any


def inputs(binary: bool, **columns: list[Any]) -> list[Any]:
    import numpy as np
    from tritonclient.http import InferInput

    kinds = {str: ("BYTES", np.object_), int: ("INT64", np.int64), float: ("FP64", np.float64)}
    made = []
    for name, values in columns.items():
        datatype, dtype = kinds[type(values[0])]
        tensor = InferInput(name, [len(values)], datatype)
        tensor.set_data_from_numpy(np.array(values, dtype), binary_data=binary)
        made.append(tensor)
    return made


def answer(client: Any, model: str, made: list[Any], **more: Any) -> Any:
    """Outputs and parameters, or the text of the exception."""
    from tritonclient.utils import InferenceServerException

    try:
        got = client.infer(model, made, **more)
    except InferenceServerException as error:
        return {"error": error.message(), "status": error.status()}
    ids = [
        x.decode() if isinstance(x, bytes) else x for x in got.as_numpy("prediction_id").tolist()
    ]
    response = got.get_response()
    return {
        "probability": got.as_numpy("probability").tolist(),
        "ids": ids,
        "version": response.get("model_version"),
        "parameters": response["parameters"],
    }


def main(address: str, model: str, version: str) -> None:
    from tritonclient.http import InferenceServerClient, InferRequestedOutput

    client = InferenceServerClient(address)
    row: dict[str, list[Any]] = {
        "parcel": ["t1", "t2"],
        "courier": ["ann", "bob"],
        "city": ["Lyon", "Porto"],
    }
    sent: dict[str, list[Any]] = {"by_courier.late": [50.0, 60.0], "by_leg.ewm": [50.0, 60.0]}
    outputs = [
        InferRequestedOutput(name, binary_data=False) for name in ("probability", "prediction_id")
    ]
    found = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "version_ready": client.is_model_ready(model, version),
        "other_ready": client.is_model_ready("nothing"),
        "server": client.get_server_metadata(),
        "model": client.get_model_metadata(model),
        "binary": answer(client, model, inputs(True, **row)),
        "json": answer(client, model, inputs(False, **row), outputs=outputs),
        "version": answer(client, model, inputs(True, **row), model_version=version),
        "packed": answer(client, model, inputs(True, **row), request_compression_algorithm="gzip"),
        "keys_only": answer(client, model, inputs(True, courier=row["courier"], city=row["city"])),
        "features": answer(client, model, inputs(True, **row, **sent)),
        "features_only": answer(client, model, inputs(True, city=row["city"], **sent)),
        "patience": answer(client, model, inputs(True, **row), timeout=1),
        "unknown_model": answer(client, "laet", inputs(True, **row)),
        "unknown_input": answer(client, model, inputs(True, **row, kilo=[2, 3])),
        "wrong_type": answer(client, model, inputs(True, **{**row, "city": [1, 2]})),
        "lengths": answer(client, model, inputs(True, **{**row, "city": ["Lyon"]})),
        "missing": answer(client, model, inputs(True, parcel=row["parcel"])),
        "unknown_output": answer(
            client, model, inputs(True, **row), outputs=[InferRequestedOutput("p")]
        ),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
