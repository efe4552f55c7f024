"""A written file says what the network says, to the engine that opens it and to other readers."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from PIL import Image
from torch import nn

import classicnets as cn
from classicnets.exports import comparison

NARROW = {  # width and input of each family's design, the paper's own LeNet-5 as it is
    "lenet5": None,
    "alexnet": ("1/16", (3, 67, 67)),
    "zfnet": ("1/16", (3, 96, 96)),
    "vgg_a_lrn": ("1/16", (3, 32, 32)),
    "googlenet": ("1/8", (3, 64, 64)),
    "resnet50": ("1/16", (3, 64, 64)),
}

SLOW = ("zfnet", "googlenet", "resnet50")


@pytest.fixture(scope="module")
def narrow_run(make_run, tmp_path_factory):
    """The run of a narrow network of a family."""

    def make(name: str) -> Path:
        sizes = NARROW[name]
        if sizes is None:
            return make_run(name)
        width, shape = sizes
        file = tmp_path_factory.mktemp("design") / f"{name}.net"
        file.write_text(cn.design(name, width, shape, 4))
        return make_run(str(file), crop=shape[1], side=shape[1] + 8)

    return make


def scores_of(file: Path, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["images"]
    assert [o.name for o in session.get_outputs()] == ["scores"]
    return np.asarray(session.run(None, {"images": images})[0])


def same(found: np.ndarray, wanted: torch.Tensor, share: float = 1e-4) -> bool:
    largest = wanted.abs().max().item()
    return bool(np.abs(found - wanted.numpy()).max() < share * largest)


def attributes(model: onnx.ModelProto, operator: str) -> list[dict[str, float]]:
    nodes = [node for node in model.graph.node if node.op_type == operator]
    return [{a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} for node in nodes]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in NARROW],
)
def test_onnx_of_each_family(name, narrow_run, tmp_path):
    run = narrow_run(name)
    file = tmp_path / "a.onnx"
    done = cn.export(run, file)
    assert (done.images, done.agreed) == (8, 8)
    network = cn.load(run)
    scale = {"lenet5": 1, "resnet50": 50}.get(name, 128)
    config = json.loads((run / "run.json").read_text())
    c, h, w = config["input"]
    images = torch.randn(3, c, h, w) * scale
    image = cn.api.pretrained.open_trained(run).config.scaling.image
    model = onnx.load(file)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    mean, by = (np.array(json.loads(facts[k]))[:, None, None] for k in ("mean", "scale"))
    beyond = 0 if image is None else torch.from_numpy((image.numpy() - mean) * by).float()
    with torch.no_grad():
        assert same(scores_of(file, images.numpy()), network(images - beyond))
    assert json.loads(facts["classes"]) == ["disc", "square", "stripes", "cross"]
    assert (facts["size"], facts["opset"]) == (f"{c}x{h}x{w}", "18")
    assert {o.version for o in model.opset_import if o.domain == ""} == {18}
    operators = Counter(node.op_type for node in model.graph.node)
    assert operators["BatchNormalization"] == 0
    responses = [m for m in network.modules() if isinstance(m, cn.LocalResponseNorm)]
    for response, written in zip(responses, attributes(model, "LRN"), strict=True):
        assert written["alpha"] == pytest.approx(response.alpha * 5)  # which LRN divides again
        assert (written["size"], written["bias"]) == (5, response.k)
    assert str(Path(cn.__file__).parent).encode() not in file.read_bytes()


def test_the_standards_own_evaluation_of_response_normalisation_agrees():
    layer = cn.LocalResponseNorm(size=5, alpha=0.3, beta=0.6, k=1.5)
    node = onnx.helper.make_node("LRN", ["x"], ["y"], size=5, alpha=0.3 * 5, beta=0.6, bias=1.5)
    ends = [onnx.helper.make_tensor_value_info(n, 1, [9, 9, 4, 3]) for n in "xy"]
    graph = onnx.helper.make_graph([node], "lrn", ends[:1], ends[1:])
    opset = [onnx.helper.make_opsetid("", 18)]
    x = torch.randn(9, 9, 4, 3)  # as many images as maps, since it counts the wrong ones
    (found,) = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=opset)).run(
        None, {"x": x.numpy()}
    )
    assert same(found, layer(x), 1e-5)


def test_normalisation_stays_a_layer_if_asked(make_run, tmp_path):
    run = make_run("resnet20")
    cn.export(run, tmp_path / "a.onnx", fold=False)
    model = onnx.load(tmp_path / "a.onnx")
    assert len(attributes(model, "BatchNormalization")) == 19  # one for each convolution


@pytest.fixture(scope="module")
def with_bytes(make_run, tmp_path_factory) -> tuple[Path, Path]:
    """A network that crops, and its file that takes images as bytes."""
    run = make_run("lenet5", crop=32, side=40)
    file = tmp_path_factory.mktemp("bytes") / "a.onnx"
    done = cn.export(run, file, with_preprocessing=True)
    assert done.agreed == 8
    return run, file


@pytest.mark.parametrize(("h", "w"), [(40, 40), (70, 91), (33, 30)])
def test_bytes_of_any_size_are_resized_as_by_pillow(with_bytes, h, w):
    run, file = with_bytes
    noise = torch.randint(256, (1, h // 3, w // 3), generator=torch.Generator().manual_seed(h))
    image = Image.fromarray(noise[0].byte().numpy()).resize((w, h), Image.Resampling.BILINEAR)
    short = min(h, w)
    box = ((w - short) / 2, (h - short) / 2, (w + short) / 2, (h + short) / 2)
    square = np.asarray(image.resize((40, 40), Image.Resampling.BICUBIC, box))[4:36, 4:36]
    scaling = cn.api.pretrained.open_trained(run).config.scaling
    x = torch.from_numpy(square.copy()).float() * scaling.scale[0] + scaling.shift[0]
    with torch.no_grad():
        wanted = cn.load(run)(x[None, None])
    assert same(scores_of(file, np.asarray(image)[None, :, :, None]), wanted, 1e-2)


def test_a_program_of_torch_needs_neither_this_package_nor_its_operators(narrow_run, tmp_path):
    run = narrow_run("alexnet")
    cn.export(run, tmp_path / "a.pt2", with_preprocessing=True)
    program = torch.export.load(tmp_path / "a.pt2")
    assert "classicnets" not in str(program.graph)


def test_int8_leaves_what_comes_before_the_network_as_it_is(run, tmp_path):
    done = cn.export(run, tmp_path / "a.onnx", precision="int8", with_preprocessing=True)
    assert done.images == 40
    assert done.agreed >= 39
    assert done.bytes[0] < 0.5 * done.bytes[1]
    model = onnx.load(tmp_path / "a.onnx")
    kinds = [node.op_type for node in model.graph.node]
    assert "QuantizeLinear" not in kinds[: kinds.index("Round")]
    assert kinds.count("DequantizeLinear") > 5
    assert {entry.key for entry in model.metadata_props} >= {"classes", "mean", "scale"}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_weights_become_the_same_run_again(narrow_run, tmp_path, precision):
    run = narrow_run("alexnet")  # a design, which subtracts a mean image
    cn.export(run, tmp_path / "a.safetensors", precision=precision)
    cn.import_weights("alexnet.net", tmp_path / "a.safetensors", tmp_path / "back")
    image = Image.effect_noise((90, 70), 80)
    there, here = (cn.predict(one, image)[0].top for one in (run, tmp_path / "back"))
    assert [name for name, _ in there] == [name for name, _ in here]
    share = 0 if precision == "fp32" else 1e-2
    assert [p for _, p in here] == pytest.approx([p for _, p in there], abs=share)
    with pytest.raises(ValueError, match=r"holds weights of alexnet.net, not of lenet5"):
        cn.import_weights("lenet5", tmp_path / "a.safetensors", tmp_path / "other")


def test_a_file_that_disagrees_is_not_kept(make_run, tmp_path, monkeypatch):
    run, file = make_run("lenet5"), tmp_path / "a.safetensors"
    file.write_text("before")
    monkeypatch.setitem(comparison.TOLERANCE, "fp16", 0.0)
    with pytest.raises(ValueError, match=r"is not kept: its scores differ .* and 0 is allowed"):
        cn.export(run, file, precision="fp16", exist_ok=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    assert file.read_text() == "before"


class Summed(nn.Module):
    """Sums instead of means: torch's exporter to ONNX forgets the divisor."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(256, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.avg_pool2d(x, 2, divisor_override=1)
        return self.fc(x.flatten(1))


class Cancelling(nn.Module):
    """Takes the same number away as it adds, in another order: float32 keeps few digits of it."""

    def __init__(self, wrong: bool = False):
        super().__init__()
        self.fc, self.large, self.wrong = nn.Linear(1024, 4), nn.Linear(1024, 4), wrong

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, w = x.flatten(1), self.large.weight
        added = nn.functional.linear(h, w) - nn.functional.linear(h.flip(1), w.flip(1))
        scores = self.fc(h) + 1e4 * added
        if self.wrong:
            scores = scores + 3 * self.fc(nn.functional.avg_pool2d(
                x, 1, divisor_override=2).flatten(1))  # fmt: skip
        return scores


@pytest.mark.parametrize("wrong", [False, True])
def test_a_network_that_magnifies_rounding_may_differ_by_what_float32_does_to_it(
    make_run, tmp_path, wrong
):
    network = Cancelling(wrong)
    run, file = make_run("lenet5", network), tmp_path / "a.onnx"
    if wrong:
        with pytest.raises(ValueError, match=r"is not kept: .* since float32 alone changes"):
            cn.export(run, file, network=network)
        assert not file.exists()
        return
    done = cn.export(run, file, network=network)
    assert 1e-3 < done.difference <= done.tolerance <= comparison.MOST
    assert done.tolerance == min(4 * done.rounding, comparison.MOST)
    assert "since float32 alone changes the network's own by" in str(done)


class Choosing(Summed):
    """What it does depends on the values of the images."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x[:, :, ::2, ::2].flatten(1)) if x.sum() > 0 else super().forward(x)


def test_a_module_that_its_exporter_gets_wrong_is_found_out(make_run, tmp_path):
    network = Summed()
    run = make_run("lenet5", network)
    with pytest.raises(ValueError, match="is not kept: its scores differ"):
        cn.export(run, tmp_path / "a.onnx", network=network)
    cn.export(run, tmp_path / "a.pt2", network=network)  # torch's own file holds it
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt2"]


@pytest.mark.parametrize("ending", [".onnx", ".pt2"])
def test_a_module_that_cannot_be_exported_is_named(make_run, tmp_path, ending):
    network = Choosing()
    run = make_run("lenet5", network)
    with pytest.raises(ValueError, match=r"^Choosing cannot be exported: .*data-dependent"):
        cn.export(run, tmp_path / f"a{ending}", network=network)
    assert not list(tmp_path.iterdir())
