"""Benchmarks: one module answers one question, told by the first line of its docstring. `make
bench` runs them.

A module takes part by defining `run() -> list[Row]` (see `harness.py`); its file name is its name.
What is beside it is measured in the same run on the same machine, in turns, and checked to give the
same result first. pytest collects none.
"""
