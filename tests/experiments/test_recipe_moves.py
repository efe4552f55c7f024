"""Each move of the recipe is trained for real, on images of its kind."""

import pytest
from PIL import Image

import classicnets as cn
from classicnets.api.recipe_moves import RECIPE_MOVES
from classicnets.api.recipes import resolve_network
from classicnets.designs.reader import read

NET = """every conv: relu

[16x16xC] input
[16x16x8] conv1: 8 3x3 filters, pad 1
[8x8x8]   pool1: 2x2 max pool at stride 2
[8x8x8]   conv2: 8 3x3 filters, pad 1
[10]      fc3: 10 neurons
"""
DECAYED = {"optimizer.weight_decay": 0.01}  # which no move sets


def _colours(root):
    """Two classes of squares, reddish and greenish."""
    for k in range(24):
        colour = (60 + 7 * k, 40, 3 * k) if k % 2 else (30, 60 + 7 * k, 5 * k)
        path = root / ("red" if k % 2 else "green") / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 20), colour).save(path)
    return root


@pytest.mark.parametrize("move", RECIPE_MOVES, ids=lambda move: move.name)
def test_a_move_of_the_recipe_trains(move, tmp_path):
    colour = move.name == "colour-noise"
    path = tmp_path / "mine.net"
    path.write_text(NET.replace("xC", "x3" if colour else "x1"))
    if move.name == "auxiliary-loss":
        cn.apply_move(str(path), "auxiliary-head").save(tmp_path / "head.net")
        path = tmp_path / "head.net"
    network = "lenet5" if move.name == "he-initialisation" else str(path)
    recipe = resolve_network(network, "digits").recipe
    design = read(path.read_text())
    if move.name.startswith("weight-decay"):
        recipe = cn.train(str(path), overrides=DECAYED, epochs=1, out=tmp_path / "a").recipe
    values = move.overrides(recipe, design)
    assert values, move.name
    data = str(_colours(tmp_path / "data")) if colour else "digits"
    training = cn.train(network, data, overrides=values, epochs=1, out=tmp_path / "run")
    assert training.finish().top1_error <= 100
    for name, value in values.items():
        found = training.recipe
        for part in name.split("."):
            found = getattr(found, part)
        assert repr(found) == value or name == "lr", name
