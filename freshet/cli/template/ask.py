"""Ask the scorer about one parcel: `python ask.py [COURIER] [CITY]`."""

import json
import os
import sys
import uuid

import httpx

SCORER = os.environ.get("SCORER", "http://127.0.0.1:8080")


def main(courier: str = "bob", city: str = "Berlin") -> None:
    fields = {"parcel": uuid.uuid4().hex[:12], "courier": courier, "city": city}
    inputs = [
        {"name": name, "shape": [1], "datatype": "BYTES", "data": [value]}
        for name, value in fields.items()
    ]
    answer = httpx.post(
        f"{SCORER}/v2/models/late/infer", json={"inputs": inputs}, timeout=10.0
    ).json()
    if "error" in answer:
        raise SystemExit(answer["error"])
    print(f"probability of coming late: {answer['outputs'][0]['data'][0]:.3f}")
    print(json.dumps(answer["parameters"], indent=2))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except httpx.HTTPError as error:
        raise SystemExit(
            f"The scorer at {SCORER} does not answer ({error}). Is `freshet run app.py` running?"
        ) from None
