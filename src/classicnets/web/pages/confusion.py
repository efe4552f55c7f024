"""Confusion matrices: how many images of each class were predicted as which class."""

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from classicnets.web.texts import Text

MOST = 60  # classes of a matrix; of more, the pairs that are confused most
NUMBERED = 12  # classes up to which the cells have their counts
PAIRS = 15
WHITE = 40  # percent from which a cell is so dark that its count is white


def show_confusion(t: Text, result: Mapping[str, Any]) -> None:
    """The confusion of an evaluation, as `evaluate --json` gives it."""
    counts, classes = result["confusion"], result["classes"]
    if len(classes) > MOST:
        _pairs(t, counts, classes)
        return
    with ui.column().classes("gap-0 text-caption"):
        ui.label(
            t("Rows are true classes, columns predicted ones; a colour is a share of its row.")
        )
        if len(classes) <= NUMBERED:
            ui.label(t("The number in a cell counts images."))
    cells = [
        _cell(i, j, n, 100 * n / (sum(row) or 1))
        for i, row in enumerate(counts)
        for j, n in enumerate(row)
    ]
    size = f"min(100%, {max(320, 60 + 28 * len(classes))}px)"
    ui.echart(_matrix(t, cells, classes)).style(f"width:{size};height:auto;aspect-ratio:9/10")


def _cell(true: int, predicted: int, count: int, percent: float) -> dict[str, Any]:
    label = {"formatter": str(count), "color": "#fff" if percent > WHITE else "#888"}
    return {"value": [predicted, true, round(percent, 1), count], "label": label}


def _matrix(t: Text, cells: list[dict[str, Any]], classes: list[str]) -> dict[str, Any]:
    grey, names = {"color": "#888"}, [name[:16] for name in classes]
    few = len(classes) <= NUMBERED
    labels = {**grey, "interval": 0 if few else "auto"}
    axis = {"type": "category", "data": names, "nameTextStyle": grey}
    # pixels that the names take, which are turned below
    long = max(sum(6 if each.isascii() else 12 for each in name) for name in names)
    below = 25 + long
    return {
        "grid": {"left": max(45, 12 + long), "right": 10, "top": 60, "bottom": below + 20},
        "xAxis": {
            **axis,
            "name": t("predicted"),
            "nameLocation": "middle",
            "nameGap": below,
            "axisLabel": {"rotate": 60, **labels},
        },
        "yAxis": {
            **axis,
            "name": t("true class"),
            "nameLocation": "start",
            "inverse": True,
            "axisLabel": labels,
        },
        "visualMap": {
            "min": 0,
            "max": 100,
            "dimension": 2,
            "inRange": BLUES,
            "orient": "horizontal",
            "right": 10,
            "top": 0,
            "itemWidth": 12,
            "itemHeight": 100,
            "text": ["100 %", "0 %"],
            "textStyle": grey,
            "inactiveColor": "transparent",  # it lies below the scale, which is half clear
        },
        "series": [
            {
                "type": "heatmap",
                "data": cells,
                "animation": False,
                "label": {"show": few},
            }
        ],
    }


BLUES = {"color": ["rgba(63, 116, 181, 0.06)", "#3f74b5"]}


def _pairs(t: Text, counts: list[list[int]], classes: list[str]) -> None:
    """The pairs of many classes that are confused most."""
    found = [
        (n, classes[i], classes[j])
        for i, row in enumerate(counts)
        for j, n in enumerate(row)
        if n and i != j
    ]
    ui.label(t("Confused most: true class, predicted class, images")).classes("text-caption")
    for n, actual, predicted in sorted(found, reverse=True)[:PAIRS]:
        ui.label(f"{actual} → {predicted}: {n}")
