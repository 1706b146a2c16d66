"""A delivery firm at work, sped up: parcels are handed over, asked about, and delivered a few
seconds later.

`python produce.py`, until Ctrl-C. The scorer's address is that of the environment variable SCORER,
if there is one.
"""

import os
import random
import time
import uuid
from typing import Any

import httpx

SCORER = os.environ.get("SCORER", "http://127.0.0.1:8080")
COURIERS = {"ann": 0.0, "bob": 25.0, "cleo": -5.0, "dan": 15.0}  # minutes that each is usually late
CITIES = {"Berlin": 6.0, "Lyon": 0.0, "Porto": -6.0}
Event = dict[str, Any]


def hand_over() -> Event:
    """A parcel that a courier takes now."""
    courier = random.choice(list(COURIERS))
    city = random.choice(list(CITIES))
    weight = round(random.expovariate(0.5), 1) if random.random() < 0.9 else None
    return {
        "parcel": uuid.uuid4().hex[:12],
        "at": now_ms(),
        "courier": courier,
        "city": city,
        "weight_kg": weight,
    }


def deliver(parcel: Event) -> Event:
    """Its delivery: late as its courier and city are, and by chance."""
    late = COURIERS[parcel["courier"]] + CITIES[parcel["city"]] + random.gauss(0.0, 10.0)
    told = {name: parcel[name] for name in ("parcel", "courier", "city")}
    return {**told, "at": now_ms(), "minutes_late": round(late, 1)}


def push(client: httpx.Client, topic: str, events: list[Event]) -> None:
    """Publish events to a topic: a list for each of its fields. They are safe in its log once this
    returns."""
    columns = {name: [event[name] for event in events] for name in events[0]}
    client.post("/push", json={"push_source_name": topic, "df": columns}).raise_for_status()


def ask(client: httpx.Client, parcels: list[Event]) -> tuple[list[float], Event]:
    """How likely each is to come late, and which model said so."""
    inputs = [tensor(name, "BYTES", parcels) for name in ("parcel", "courier", "city")]
    body = {"inputs": [*inputs, tensor("weight_kg", "FP64", parcels)]}
    answer = client.post("/v2/models/late/infer", json=body).raise_for_status().json()
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    return outputs["probability"], answer["parameters"]


def tensor(name: str, datatype: str, parcels: list[Event]) -> Event:
    return {
        "name": name,
        "shape": [len(parcels)],
        "datatype": datatype,
        "data": [parcel[name] for parcel in parcels],
    }


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def main() -> None:
    # when each will be delivered, what was answered, the parcel
    under_way: list[tuple[float, float, Event]] = []
    # a scorer that is started again is there within a second
    again = httpx.HTTPTransport(retries=3)
    with httpx.Client(base_url=SCORER, timeout=30.0, transport=again) as client:
        while True:
            parcels = [hand_over() for _ in range(10)]
            answers, by = ask(client, parcels)
            push(client, "handovers", parcels)
            under_way += [
                (time.time() + random.uniform(1.0, 4.0), probability, parcel)
                for probability, parcel in zip(answers, parcels)
            ]
            now = time.time()
            come = [
                (probability, deliver(parcel))
                for due, probability, parcel in under_way
                if due <= now
            ]
            under_way = [waiting for waiting in under_way if waiting[0] > now]
            if come:
                push(client, "deliveries", [delivery for _, delivery in come])
                told = " ".join(
                    f"{delivery['minutes_late']:+.0f}min:{probability:.2f}"
                    for probability, delivery in come[:6]
                )
                who = f"{by['rung']:9} {by.get('lineage') or '':25}"
                print(f"{who} delivered (late: answered) {told}", flush=True)
            time.sleep(0.25)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except httpx.HTTPStatusError as error:
        raise SystemExit(f"The scorer refuses: {error.response.text}") from None
    except httpx.HTTPError as error:
        raise SystemExit(
            f"The scorer at {SCORER} does not answer ({error}). Is `freshet run app.py` running?"
        ) from None
