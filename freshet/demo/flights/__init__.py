"""The demo: the flights of 2013 from New York as four topics, and an app over them."""

from pathlib import Path

APP = Path(__file__).parent / "app.py"
