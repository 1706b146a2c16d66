"""An app of several files, some of which have the names of freshet's rooms: `write` puts it into a
folder."""

from __future__ import annotations

import json
from pathlib import Path

from tests.toy_app import ORDERS, PAYMENTS

FILES = {
    "app.py": """
import freshet as fr
import helpers
from features import by_shop
from schemas.orders import orders
from streams import payments

late = fr.Model(
    "late",
    on=orders,
    id="order_id",
    label=fr.Label(payments, id="order_id", value=helpers.is_late(limit=10)),
    features=[orders["price"], by_shop["late_1h"]],
    learners=[fr.Baseline()],
    fallback=[fr.constant(0.3)],
)
app = fr.App(helpers.NAME, topics=[orders, payments], views=[by_shop], models=[late])
""",
    "helpers.py": """
import polars as pl

NAME = "shop"


def is_late(limit):
    return pl.col("late") > limit
""",
    "features.py": """
import freshet as fr
from streams import payments

by_shop = fr.View("by_shop", payments, key="shop", features={"late_1h": fr.mean("late", over="1h")})
""",
    "streams.py": """
import freshet as fr

payments = fr.Topic("payments", schema="avro/payments.avsc", event_id="order_id", event_time="at")
""",
    "schemas/__init__.py": "",
    "schemas/orders.py": """
import freshet as fr

orders = fr.Topic("orders", schema="orders.avsc", event_id="order_id", event_time="at")
""",
    "schemas/orders.avsc": json.dumps(ORDERS),
    "avro/payments.avsc": json.dumps(PAYMENTS),
    "tests/__init__.py": "",
    "tests/test_app.py": "import app",
}


def write(folder: Path) -> Path:
    """The app's file."""
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "app.py"
