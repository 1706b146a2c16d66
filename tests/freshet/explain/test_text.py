"""An answer reads as what was asked for: a probability, the likeliest classes, or a number."""

from __future__ import annotations

from freshet.explain.explanation import Answer
from freshet.explain.text import said


def answer(probability: float | list[float], classes: tuple[str, ...] = ()) -> Answer:
    facts = ("champion", 0, "serve/1", 1, 1, "lineage", 3, 0, True)
    return Answer(probability, *facts, classes=classes)


def test_a_probability_and_a_number_have_four_places() -> None:
    assert said(answer(0.25)) == "0.2500"
    assert said(answer(-1234.5)) == "-1234.5000"


def test_classes_are_told_by_name_the_likeliest_first() -> None:
    colours = answer([0.2, 0.7, 0.1], ("blue", "green", "red"))
    assert said(colours) == "green 0.7000, blue 0.2000, red 0.1000"


def test_of_many_classes_the_likeliest_five_are_told() -> None:
    names = tuple("abcdefg")
    many = answer([0.1, 0.2, 0.3, 0.15, 0.05, 0.12, 0.08], names)
    assert said(many) == "c 0.3000, b 0.2000, d 0.1500, f 0.1200, a 0.1000, 2 more"
