"""The GPU kernels of local response normalisation, in Triton's interpreter where there is no GPU.

They are compared with the formula in float64, map by map.
"""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch

from classicnets.layers import lrn
from classicnets.layers.lrn import LocalResponseNorm

INTERPRETED = """
import json, sys
import torch
from classicnets.layers import lrn_triton as kernels

def formula(x, size, alpha, beta, k):
    maps, half = x.shape[1], size // 2
    rows = []
    for i in range(maps):
        window = x[:, max(0, i - half) : i + half + 1]
        rows.append(x[:, i] / (k + alpha * window.square().sum(1)) ** beta)
    return torch.stack(rows, 1)

def relative_error(got, exact):
    assert got.shape == exact.shape
    return ((got.double() - exact).abs().max() / exact.abs().max()).item()

torch.manual_seed(0)
shape, settings, dtype, layouts, wide = json.loads(sys.argv[1])
kernels.LONG = 0 if wide else 2**31
x = (3 * torch.randn(shape)).to(getattr(torch, dtype))
x = x.to(memory_format=getattr(torch, layouts[0]))
g = torch.randn(shape).to(x.dtype).to(memory_format=getattr(torch, layouts[1]))
exact = x.double().requires_grad_()
value = formula(exact, *settings)
(slope,) = torch.autograd.grad(value, exact, g.double())
y, dx = kernels.forward(x, *settings), kernels.backward(g, x, *settings)
print(json.dumps({
    "errors": [relative_error(y, value.detach()), relative_error(dx, slope)],
    "same_layout": [t.dtype == x.dtype and t.stride() == x.stride() for t in (y, dx)],
}))
"""
PAPER = (5, 1e-4, 0.75, 2.0)
FIRST, LAST = "contiguous_format", "channels_last"
TOLERANCE = {"float32": 2e-6, "float16": 2e-3, "bfloat16": 1e-2}

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "settings", "dtype", "layouts", "wide"),
    [
        ((2, 20, 9, 7), PAPER, "float32", (FIRST, FIRST), False),
        ((2, 20, 9, 7), PAPER, "float32", (LAST, LAST), False),
        ((2, 20, 9, 7), PAPER, "float32", (LAST, FIRST), True),
        ((3, 7, 1, 5), (9, 0.3, 1.3, 0.7), "float32", (FIRST, LAST), True),
        ((1, 3, 3, 2), (9, 0.3, 0.5, 1.0), "float32", (LAST, LAST), False),
        ((2, 17, 1, 1), (1, 0.3, 0.75, 1.0), "float32", (FIRST, FIRST), False),
        ((2, 16, 5, 3), PAPER, "float16", (LAST, LAST), False),
        ((2, 16, 5, 3), PAPER, "bfloat16", (FIRST, FIRST), False),
        ((2, 1, 1, 1), PAPER, "bfloat16", (FIRST, FIRST), False),
    ],
)
def test_the_kernels_equal_the_formula_and_its_derivative(shape, settings, dtype, layouts, wide):
    case = json.dumps([shape, settings, dtype, layouts, wide])
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED, case],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert max(results["errors"]) <= TOLERANCE[dtype]
    assert results["same_layout"] == [True, True]


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("maps", ["x[::2, 1:, :, ::3]", "x.permute(0, 1, 3, 2)", "x[:0]"])
def test_strided_and_empty_tensors_are_supported(maps):
    script = f"""
import torch
from classicnets.layers import lrn, lrn_triton as kernels
x = {maps.replace("x", "torch.randn(4, 9, 5, 6)", 1)}
g = torch.randn(()).expand(x.shape)
torch.testing.assert_close(kernels.forward(x, *{PAPER}), lrn._forward(x, *{PAPER}))
torch.testing.assert_close(kernels.backward(g, x, *{PAPER}), lrn._gradient(g, x, *{PAPER}))
"""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


COMPILED = """
import re, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from classicnets.layers import lrn_triton as kernels

CONSTANTS = {"MAPS": 96, "HALF": 2, "ROOTS": True, "WIDE": False, "BLOCK": kernels.BLOCK}
for kernel, tensors in ((kernels._forward, 2), (kernels._backward, 3)):
    for dtype, deep in (("fp32", 1), ("bf16", 16)):
        constants = CONSTANTS | {"DEEP": deep, "CHUNKS": 96 // deep}
        constants |= {"inner": 1} if deep == 1 else {}
        kinds = dict.fromkeys(kernel.arg_names, "fp32") | {"columns": "i32", "inner": "i32"}
        kinds |= dict.fromkeys(kernel.arg_names[:tensors], f"*{dtype}")
        kinds |= dict.fromkeys(constants, "constexpr")
        source = ASTSource(fn=kernel, signature=kinds, constexprs=constants)
        options = {"num_warps": kernels.WARPS, "num_stages": 1}
        done = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
        threads = 32 * kernels.WARPS
        print(len(re.findall("ld.global", done.asm["ptx"])) * threads / kernels.BLOCK)
"""


@needs_triton
@pytest.mark.slow
def test_the_kernels_compile_for_an_h100_without_one_and_read_each_neighbour_once():
    pytest.importorskip("triton.backends.nvidia")
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # loads per value: five of the input; in the backward pass nine of it, five of the gradient
    assert [float(line) for line in done.stdout.split()] == [5, 5, 14, 14]


@needs_gpu
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_gpu_runs_the_kernels_and_they_are_correct(dtype, layout):
    layer = LocalResponseNorm()
    x = (3 * torch.randn(3, 96, 13, 11)).to(dtype)
    exact = x.double().requires_grad_()
    on_gpu = x.cuda().to(memory_format=layout).requires_grad_()
    assert lrn._triton(on_gpu.device, dtype, 5) is not None
    (grad,) = torch.autograd.grad(layer(on_gpu).sum(), on_gpu)
    (expected,) = torch.autograd.grad(layer(exact).sum(), exact)
    error = (grad.cpu().double() - expected).abs().max() / expected.abs().max()
    assert error <= TOLERANCE[str(dtype).removeprefix("torch.")]


def test_a_cpu_does_not_import_the_kernels():
    script = (
        "import sys, torch\nfrom classicnets.layers.lrn import LocalResponseNorm\n"
        "x = torch.ones(1, 8, 2, 2, requires_grad=True)\nLocalResponseNorm()(x).sum().backward()\n"
        "assert 'classicnets.layers.lrn_triton' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class OnGpu(torch.Tensor):
    """A tensor that claims to be on a GPU."""

    is_cuda = True


def test_a_gpu_runs_the_kernels_else_compiled_code_else_eager_code(monkeypatch):
    x = torch.ones(1, 8, 2, 2).as_subclass(OnGpu)
    kernels, compiled = lrn.Implementation(max, max), lrn.Implementation(min, min)
    monkeypatch.setattr(lrn, "_compiled", lambda device, dtype: compiled)
    monkeypatch.setattr(lrn, "_triton", lambda device, dtype, size: kernels)
    assert lrn._implementation(x, 5) is kernels
    assert lrn._implementation(torch.ones(1, 8, 2, 2), 5) is lrn.EAGER
    monkeypatch.setattr(lrn, "_triton", lambda device, dtype, size: None)
    assert lrn._implementation(x, 5) is compiled
    monkeypatch.setattr(lrn, "_compiled", lambda device, dtype: None)
    assert lrn._implementation(x, 5) is lrn.EAGER


def test_an_implementation_that_cannot_compile_is_not_used():
    cpu = torch.device("cpu"), torch.float32
    assert lrn._triton(*cpu, 5) is None  # Triton is missing, or has no CPU backend

    def fails(*_):
        raise RuntimeError("failed to find a C compiler")

    def full(*_):
        raise torch.OutOfMemoryError("not a reason to try another implementation")

    assert not lrn._runs(lrn.Implementation(fails, fails), *cpu)
    assert lrn._runs(lrn.EAGER, *cpu)
    with pytest.raises(torch.OutOfMemoryError):
        lrn._runs(lrn.Implementation(full, full), *cpu)


@pytest.mark.slow
def test_the_compiled_code_equals_the_eager_code():
    script = (
        "import torch\nfrom classicnets.layers import lrn\n"
        "compiled = lrn._compiled(torch.device('cpu'), torch.float32)\n"
        "assert compiled is not None\n"
        "x, g = torch.randn(2, 2, 7, 3, 5).unbind()\n"
        "for got, expected in zip(compiled, lrn.EAGER):\n"
        "    tensors = (g, x)[got is compiled.forward:]\n"
        f"    torch.testing.assert_close(got(*tensors, *{PAPER}), expected(*tensors, *{PAPER}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
