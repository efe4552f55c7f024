"""Evaluation: dense scores equal those of crops, averages and metrics equal those by hand."""

import math

import pytest
import torch
from PIL import Image
from torch import nn

import classicnets as cn
from classicnets.data.images import ImageFiles, Images
from classicnets.data.scaling import Scaling
from classicnets.data.synthetic import shapes
from classicnets.evaluation.dense import DenseHead, dense_scores
from classicnets.evaluation.metrics import confusion_counts, evaluate_scores
from classicnets.evaluation.plots import evaluation_png
from classicnets.evaluation.protocols import (
    PROTOCOLS,
    TrainScale,
    log_probabilities,
    mean_log_probabilities,
)
from classicnets.recipes.fast import fast

UNSCALED = Scaling((1.0,), (0.0,))


class Sums(nn.Module):
    """Two scores: a hundredth of the sum of the pixels, and 0."""

    def forward(self, x):
        total = x.sum((1, 2, 3)) / 100
        return torch.stack([total, torch.zeros_like(total)], 1)


class Leftmost(nn.Module):
    """Two scores: the mean of the left column, and that of the right."""

    def forward(self, x):
        return torch.stack([x[..., 0].mean((1, 2)), x[..., -1].mean((1, 2))], 1)


class Darkest(nn.Module):
    """Two scores: a hundredth of the darkest pixel, and 0."""

    def forward(self, x):
        least = x.amin((1, 2, 3)) / 100
        return torch.stack([least, torch.zeros_like(least)], 1)


def images(*pixels) -> Images:
    x = torch.stack([torch.as_tensor(p, dtype=torch.uint8) for p in pixels])[:, None]
    return Images(x, torch.zeros(len(x), dtype=torch.long))


def probabilities(network, data, name, scale):
    return log_probabilities(network.eval(), data, PROTOCOLS[name], scale, UNSCALED).exp()


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_ten_crops_equal_the_average_worked_out_by_hand():
    square = torch.arange(16).view(4, 4)
    found = probabilities(Sums(), images(square, 0 * square), "ten-crop", TrainScale(4, 2))
    sums = (10, 18, 42, 50, 30)  # corners and centre; mirrored they are the same
    expected = sum(sigmoid(s / 100) for s in sums) / 5
    assert found[0, 0].item() == pytest.approx(expected)
    assert found[1].tolist() == pytest.approx([0.5, 0.5])


def test_mirror_images_make_left_and_right_equally_likely():
    square = torch.tensor([[3, 0], [3, 0]])
    assert probabilities(Leftmost(), images(square), "single", TrainScale(2, 2))[0, 0] > 0.9
    found = probabilities(Leftmost(), images(square), "dense", TrainScale(2, 2))
    assert found[0].tolist() == pytest.approx([0.5, 0.5])


def without_padding() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(27, 6),
        nn.Tanh(),
        nn.Dropout(0.5),
        nn.Linear(6, 4),
    ).eval()


@pytest.mark.parametrize(
    ("network", "side", "stride"), [(without_padding, 8, 2), (cn.lenet5, 32, 4)]
)
def test_without_padding_dense_scores_equal_those_of_the_crops(network, side, stride):
    network = network().eval()
    x = torch.randn(2, 1, side + 2 * stride, side + 3 * stride)
    found = dense_scores(network, DenseHead.of(network, x[..., :side, :side]), x)
    assert found.shape[2:] == (3, 4)
    for i in range(3):
        for j in range(4):
            crop = x[..., stride * i :, stride * j :][..., :side, :side]
            torch.testing.assert_close(found[..., i, j], network(crop), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: cn.lenet5(), (1, 32, 32)),
        (lambda: cn.resnet_cifar(8), (3, 32, 32)),
        (lambda: cn.googlenet(classes=7), (3, 224, 224)),
        (lambda: cn.resnet(18, classes=7), (3, 224, 224)),
    ],
)
def test_at_the_crop_size_dense_scores_equal_those_of_the_network(build, shape):
    network = build().eval()
    x = torch.randn(2, *shape)
    with torch.no_grad():
        found = dense_scores(network, DenseHead.of(network, x[:1]), x)
        assert found.shape[2:] == (1, 1)
        torch.testing.assert_close(found[..., 0, 0], network(x))


def test_a_network_with_global_pooling_is_applied_to_the_whole_image():
    network = cn.resnet_cifar(8).eval()
    x = torch.randn(1, 3, 48, 40)
    found = dense_scores(network, DenseHead.of(network, x[..., :32, :32]), x)
    torch.testing.assert_close(found[..., 0, 0], network(x))


def test_dense_evaluation_does_not_change_the_network():
    network = without_padding()
    x = torch.randn(1, 1, 8, 8)
    before = network(x)
    dense_scores(network, DenseHead.of(network, x), torch.randn(1, 1, 12, 12))
    assert torch.equal(network(x), before)


class OneSize(nn.Module):
    def __init__(self, flat):
        super().__init__()
        self.flat, self.fc = flat, nn.Linear(16, 2)

    def forward(self, x):
        return self.fc(self.flat(x))


@pytest.mark.parametrize(
    ("flat", "sentence"),
    [
        (lambda x: x.reshape(len(x), -1), "OneSize cannot be .* it takes one size only"),
        (nn.Sequential(nn.Flatten(2), nn.Flatten(1)), "does not flatten its maps once"),
    ],
)
def test_a_network_that_cannot_be_evaluated_densely_is_refused_with_the_reason(flat, sentence):
    square = images(torch.zeros(4, 4))
    with pytest.raises(ValueError, match=sentence):
        probabilities(OneSize(flat), square, "dense", TrainScale(4, 4))


@pytest.mark.parametrize("name", ["dense", "multi-scale", "fully-convolutional", "144-crop"])
def test_files_of_many_sizes_keep_their_order_and_get_no_border(tmp_path, name):
    shapes = [(47, 30), (30, 47), (64, 64), (47, 30), (33, 90)]
    lights = [250, 40, 160, 90, 200]
    paths = []
    for k, (shape, light) in enumerate(zip(shapes, lights, strict=True)):
        paths.append(str(tmp_path / f"{k}.png"))
        Image.new("L", shape, light).save(paths[-1])
    sizes = torch.tensor([(height, width) for width, height in shapes])
    files = ImageFiles(paths, torch.zeros(5, dtype=torch.long), sizes, 1)
    found = probabilities(Darkest(), files, name, TrainScale(24, 20))
    assert found[:, 0].tolist() == pytest.approx([sigmoid(light / 100) for light in lights])


def test_rounding_does_not_change_the_order_of_unlikely_classes():
    scores = torch.tensor([[-3000.0, 0.0, -2000.0, -1000.0]])
    found = mean_log_probabilities([scores.double(), scores.double()])
    assert found.argsort(descending=True).tolist() == [[1, 3, 2, 0]]


def test_averaging_two_networks_averages_their_probabilities():
    one = torch.tensor([[0.9, 0.1]]).double().log()
    other = torch.tensor([[0.2, 0.8]]).double().log()
    assert mean_log_probabilities([one, other]).exp()[0].tolist() == pytest.approx([0.55, 0.45])


def metrics(confidences, correct):
    """Metrics of two classes; class 0 is predicted with these confidences, correctly or not."""
    p = torch.tensor(confidences).double()
    labels = torch.tensor([0 if c else 1 for c in correct])
    return evaluate_scores(torch.stack([p, 1 - p], 1).log(), labels, ("a", "b"), "single", 1.0)


def test_calibration_equals_that_worked_out_by_hand():
    found = metrics([0.9, 0.9, 0.62, 0.62], [True, False, True, True])
    # half the images: accuracy 50 % at confidence 90 %; the other half: 100 % at 62 %
    assert found.calibration_error == pytest.approx(0.5 * 40 + 0.5 * 38)
    filled = [(k, b.images, b.accuracy) for k, b in enumerate(found.reliability) if b.images]
    assert filled == [(9, 2, 100.0), (13, 2, 50.0)]  # fifteenths: 0.6 to 0.667, 0.867 to 0.933
    assert [b.confidence for b in found.reliability if b.images] == pytest.approx([62, 90])


def test_a_confidence_of_one_falls_into_the_last_bin():
    found = metrics([1.0, 1.0], [True, True])
    assert (found.reliability[-1].images, found.calibration_error) == (2, 0)


def test_the_metrics_of_each_class_are_scikit_learns():
    """One class has no images, and one is never predicted."""
    from sklearn.metrics import balanced_accuracy_score, precision_recall_fscore_support

    truth = torch.randint(4, (200,))
    guess = torch.tensor([0, 1, 2, 4, 5])[torch.randint(5, (200,))]
    scores = nn.functional.one_hot(guess, 6).float()
    found = evaluate_scores(scores, truth, tuple("abcdef"), "single", 1.0)
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        balanced = balanced_accuracy_score(truth, guess)
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, guess, labels=range(6), zero_division=0
    )
    assert found.precision == pytest.approx(tuple(100 * precision))
    assert found.recall == pytest.approx(tuple(100 * recall))
    assert found.f1 == pytest.approx(tuple(100 * f1))
    assert found.support == tuple(support)
    assert found.balanced_accuracy == pytest.approx(100 * balanced)


def test_the_most_confident_mistakes_come_first():
    found = metrics([0.7, 0.99, 0.8, 0.95], [False, True, False, False])
    mistakes = [(m.image, m.predicted, m.label, round(m.probability, 2)) for m in found.mistakes]
    assert mistakes == [(3, "a", "b", 0.95), (2, "a", "b", 0.8), (0, "a", "b", 0.7)]


def test_the_confusion_matrix_has_true_classes_as_rows():
    labels, predicted = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 1, 0])
    assert confusion_counts(labels, predicted, 2).tolist() == [[1, 2], [1, 0]]


def test_among_equal_scores_the_lower_class_index_ranks_first():
    found = evaluate_scores(torch.zeros(8, 8), torch.arange(8), tuple("abcdefgh"), "single", 1.0)
    assert found.top1_error == 100 * 7 / 8
    assert found.top5_error == 100 * 3 / 8
    assert [row[0] for row in found.confusion] == [1] * 8


def test_class_names_with_dollar_signs_or_missing_glyphs_can_be_drawn():
    names = ("一", "a $b", "$x_1$")
    found = evaluate_scores(torch.eye(3), torch.arange(3), names, "single", 1.0)
    assert evaluation_png(found).startswith(b"\x89PNG")


def test_an_empty_set_is_refused():
    none = Images(torch.zeros(0, 1, 4, 4, dtype=torch.uint8), torch.zeros(0, dtype=torch.long))
    with pytest.raises(ValueError, match="no images to evaluate on"):
        probabilities(Sums(), none, "single", TrainScale(4, 4))


def test_nan_scores_are_refused():
    scores = torch.tensor([[1.0, 2.0], [math.nan, 1.0]])
    with pytest.raises(ValueError, match="NaN or infinite scores for 1 image"):
        evaluate_scores(scores, torch.tensor([0, 1]), ("a", "b"), "single", 1.0)


class Undefined(nn.Sequential):
    """Gives numbers in training only."""

    def forward(self, x):
        return super().forward(x) * (1.0 if self.training else float("nan"))


def test_scores_that_are_not_numbers_are_refused_by_evaluate(tmp_path):
    data = shapes(40, side=12)
    layers = nn.Conv2d(3, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    cn.train(nn.Sequential(*layers), data, fast(12), 1, tmp_path / "run").finish()
    with pytest.raises(ValueError, match="scores are not numbers for 8 of 8 images"):
        cn.evaluate(tmp_path / "run", data.test, network=Undefined(*layers))
