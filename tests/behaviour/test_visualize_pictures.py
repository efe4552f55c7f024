"""Figures of what a network has learnt, and that visualisations find planted objects."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from classicnets.evaluation.metrics import confusion_counts
from classicnets.layers.wiring import chain
from classicnets.support.plots import png
from classicnets.visualize import render
from classicnets.visualize.cam import grad_cam
from classicnets.visualize.deconv import deconv, reconstruct
from classicnets.visualize.features import add_reconstructions, feature_maps, strongest_activations
from classicnets.visualize.filters import filters
from classicnets.visualize.health import health
from classicnets.visualize.invariance import AMOUNTS, invariance
from classicnets.visualize.occlusion import occlusion
from classicnets.visualize.page import Plate, page
from classicnets.visualize.predictions import embedding, predict_all
from classicnets.visualize.tiles import montage

SIDE, PATCH = 32, 10


def planted(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise with a cross, a ring (10x10 pixels) or nothing at a random place; kinds and corners."""
    cross = torch.zeros(PATCH, PATCH)
    cross[4:6] = cross[:, 4:6] = 1
    ring = torch.ones(PATCH, PATCH)
    ring[2:-2, 2:-2] = 0
    kinds = torch.arange(count) % 3
    corners = torch.randint(0, SIDE - PATCH + 1, (count, 2))
    images = 0.1 * torch.randn(count, 1, SIDE, SIDE)
    for image, kind, (y, x) in zip(images, kinds, corners.tolist(), strict=True):
        image[0, y : y + PATCH, x : x + PATCH] += (cross, ring, 0)[kind]
    return images, kinds, corners


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A small network that classifies crosses, rings and nothing."""
    torch.manual_seed(0)
    network = chain(
        conv1=nn.Conv2d(1, 8, 5, padding=2), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(8, 16, 5, padding=2), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(), fc=nn.Linear(16 * 8 * 8, 3),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(80):
        images, kinds, _ = planted(64)
        optimizer.zero_grad()
        F.cross_entropy(network(images), kinds).backward()
        optimizer.step()
    images, kinds, _ = planted(200)
    assert (network(images).argmax(1) == kinds).float().mean() > 0.95
    return network


def objects(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images with an object."""
    images, kinds, corners = planted(count)
    some = kinds < 2
    return images[some], kinds[some], corners[some]


def mask(corners: torch.Tensor, margin: int = 2) -> torch.Tensor:
    """Where the objects are, with a small margin."""
    inside = torch.zeros(len(corners), SIDE, SIDE)
    for area, (y, x) in zip(inside, corners.tolist(), strict=True):
        area[max(0, y - margin) : y + PATCH + margin, max(0, x - margin) : x + PATCH + margin] = 1
    return inside


def test_deconvnet_puts_its_energy_inside_the_object(trained):
    images, _, corners = objects(36)
    inside = mask(corners)
    fractions = []
    for image, area in zip(images, inside, strict=True):
        energy = deconv(trained, image, "relu2", count=3).reconstructions.square().sum((0, 1))
        fractions.append((energy * area).sum() / energy.sum())
    expected_by_chance = inside.mean().item()
    assert expected_by_chance < 0.2
    assert torch.stack(fractions).mean() > 0.8


def test_the_probability_drops_where_the_object_is_hidden(trained):
    images, kinds, corners = objects(36)
    hits = 0
    for image, kind, (y, x) in zip(images, kinds, corners.tolist(), strict=True):
        found = occlusion(trained, image, int(kind), size=8, stride=2)
        row, column = divmod(int(found.probability.argmin()), len(found.lefts))
        centre = (found.tops[row] + 4, found.lefts[column] + 4)
        hits += y - 2 <= centre[0] <= y + PATCH + 2 and x - 2 <= centre[1] <= x + PATCH + 2
    assert hits >= 0.9 * len(images)


def test_a_reconstruction_stays_within_the_receptive_field(trained):
    images, _, _ = planted(40)
    found = add_reconstructions(
        trained, images, strongest_activations(trained, images, "relu2", count=4)
    )
    assert found.reconstructions is not None
    for rows, boxes in zip(found.reconstructions, found.boxes, strict=True):
        for reconstruction, (top, left, h, w) in zip(rows, boxes.tolist(), strict=True):
            y, x = reconstruction[0].nonzero().T
            assert ((y >= top) & (y < top + h) & (x >= left) & (x < left + w)).all()
    one, _ = reconstruct(trained, images[found.images[0, :1]], "relu2",
                         torch.tensor(found.maps[:1]), found.positions[0, :1])  # fmt: skip
    torch.testing.assert_close(found.reconstructions[0, :1], one)


def figures(network: nn.Module) -> dict[str, Any]:
    images, labels, _ = planted(40)
    x, image, classes = images[0], images[0].clamp(0, 1), ["cross", "ring", "nothing"]
    predictions = predict_all(network, images, (labels + 1) % 3)  # all are mistakes
    changes = [
        invariance(network, images[:3], labels[:3], ["conv1", "conv2"], "fc", transformation)
        for transformation in AMOUNTS
    ]
    found = add_reconstructions(network, images, strongest_activations(network, images, "conv2"))
    heatmaps = [grad_cam(network, images[i]) for i in predictions.mistakes[:12]]
    confusion = confusion_counts(labels, predictions.probability.argmax(1), 3)
    return {
        "filters": render.filters_figure(filters(network)),
        "second filters": render.filters_figure(filters(network, "conv2"), shared_scale=True),
        "maps": render.maps_figure(feature_maps(network, x, ["relu1"])[0], image),
        "chosen maps": render.maps_figure(feature_maps(network, x, ["fc"])[0], image, "", [1]),
        "deconv": render.deconv_figure(deconv(network, x, "conv2"), image),
        "strongest": render.strongest_figure(found, images.clamp(0, 1)),
        "occlusion": render.occlusion_figure(occlusion(network, x), image, classes),
        "gradients": render.gradients_figure({"saliency": torch.zeros(1, SIDE, SIDE)}, image),
        "cam": render.heatmap_figure([grad_cam(network, x)], image, classes),
        "invariance": render.invariance_figure(changes, classes),
        "probes": render.probes_figure({"conv1": 50.0, "conv2": 90.0}, 50.0),
        "embedding": render.embedding_figure(
            embedding(predictions.features), labels, images.clamp(0, 1), classes, "pca"
        ),
        "mistakes": render.mistakes_figure(
            predictions, predictions.mistakes[:12], heatmaps, images.clamp(0, 1), classes
        ),
        "confusion": render.confusion_figure(confusion, classes),
        "health": render.health_figure({"trained": health(network, images, labels)}),
    }


def test_every_plate_is_a_figure_with_a_title(trained):
    for name, figure in figures(trained).items():
        assert isinstance(figure, Figure), name
        assert figure.texts[0].get_text(), name
        file = png(figure)
        assert file[:8] == b"\x89PNG\r\n\x1a\n", name
        assert figure._repr_png_()[:8] == file[:8], name  # what a notebook asks for


def test_a_mistake_has_the_name_of_its_file(trained):
    images, labels, _ = planted(3)
    predictions = predict_all(trained, images, (labels + 1) % 3)
    first = predictions.mistakes[0]
    paths = [f"photos/ring/{k}.jpg" for k in range(3)]
    figure = render.mistakes_figure(
        predictions, [first], None, images.clamp(0, 1), ["cross", "ring", "nothing"], "", paths
    )
    assert figure.axes[0].get_title().splitlines()[-1] == f"{first}.jpg"


def test_a_montage_holds_every_tile():
    tiles = torch.rand(5, 3, 96, 96)
    canvas = montage(tiles, 2)
    assert canvas.shape == (3, 3 * 96 + 2 * 6, 2 * 96 + 6)
    assert torch.equal(canvas[:, -96:, :96], tiles[4])
    assert torch.equal(canvas[:, :96, -96:], tiles[1])


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_a_page_embeds_all_its_images(trained):
    plates = [
        Plate("filters", "dead < saturated", render.filters_figure(filters(trained))),
        Plate("cam", "none <here>"),
    ]
    html = page("What a & b learnt", "shown: x.png", plates)
    reader = _Reader()
    reader.feed(html)
    sources = [attrs["src"] for tag, attrs in reader.found if tag == "img"]
    assert len(sources) == 1
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert [a["href"] for tag, a in reader.found if tag == "a"] == ["#filters"]
    assert {tag for tag, _ in reader.found} & {"script", "link", "iframe"} == set()
    assert "url(" not in html
    assert "://" not in html
    assert "none &lt;here&gt;" in html
    assert re.search(r"What a &amp; b learnt</h1>", html)
