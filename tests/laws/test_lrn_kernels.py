"""The GPU's kernels of local response normalisation, in Triton's interpreter where there is no GPU.

They are compared with the formula in float64, a map at a time.
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

def far(got, exact):
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
    "far": [far(y, value.detach()), far(dx, slope)],
    "kept": [t.dtype == x.dtype and t.stride() == x.stride() for t in (y, dx)],
}))
"""
PAPER = (5, 1e-4, 0.75, 2.0)
FIRST, LAST = "contiguous_format", "channels_last"
TOLERANCE = {"float32": 2e-6, "float16": 2e-3, "bfloat16": 1e-2}

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


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
def test_the_kernels_obey_the_formula_and_its_derivative(shape, settings, dtype, layouts, wide):
    told = json.dumps([shape, settings, dtype, layouts, wide])
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED, told],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert max(found["far"]) <= TOLERANCE[dtype]
    assert found["kept"] == [True, True]


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("maps", ["x[::2, 1:, :, ::3]", "x.permute(0, 1, 3, 2)", "x[:0]"])
def test_tensors_with_gaps_and_without_numbers_are_taken_too(maps):
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
def test_the_kernels_compile_for_a_gpu_that_is_not_there_and_read_a_neighbour_once():
    pytest.importorskip("triton.backends.nvidia")
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # of each number five of the input; back nine of it, and five of the gradient
    assert [float(line) for line in done.stdout.split()] == [5, 5, 14, 14]


@needs_gpu
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_on_a_gpu_it_is_the_kernels_and_they_are_right(dtype, layout):
    layer = LocalResponseNorm()
    x = (3 * torch.randn(3, 96, 13, 11)).to(dtype)
    exact = x.double().requires_grad_()
    there = x.cuda().to(memory_format=layout).requires_grad_()
    assert lrn._kernels(there.device, dtype, 5) is not None
    (slope,) = torch.autograd.grad(layer(there).sum(), there)
    (wanted,) = torch.autograd.grad(layer(exact).sum(), exact)
    error = (slope.cpu().double() - wanted).abs().max() / wanted.abs().max()
    assert error <= TOLERANCE[str(dtype).removeprefix("torch.")]


def test_a_cpu_leaves_the_kernels_alone():
    script = (
        "import sys, torch\nfrom classicnets.layers.lrn import LocalResponseNorm\n"
        "x = torch.ones(1, 8, 2, 2, requires_grad=True)\nLocalResponseNorm()(x).sum().backward()\n"
        "assert 'classicnets.layers.lrn_triton' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class OnGpu(torch.Tensor):
    """A tensor that says it is on a GPU."""

    is_cuda = True


def test_a_gpu_takes_the_kernels_else_compiled_code_else_plain_code(monkeypatch):
    x = torch.ones(1, 8, 2, 2).as_subclass(OnGpu)
    kernels, compiled = lrn.Way(max, max), lrn.Way(min, min)
    monkeypatch.setattr(lrn, "_compiled", lambda device, dtype: compiled)
    monkeypatch.setattr(lrn, "_kernels", lambda device, dtype, size: kernels)
    assert lrn._way(x, 5) is kernels
    assert lrn._way(torch.ones(1, 8, 2, 2), 5) is lrn.PLAIN
    monkeypatch.setattr(lrn, "_kernels", lambda device, dtype, size: None)
    assert lrn._way(x, 5) is compiled
    monkeypatch.setattr(lrn, "_compiled", lambda device, dtype: None)
    assert lrn._way(x, 5) is lrn.PLAIN


def test_what_cannot_compile_here_is_left_alone(monkeypatch):
    here = torch.device("cpu"), torch.float32
    assert lrn._kernels(*here, 5) is None  # no Triton, or a Triton that has no processor to work on

    def fails(*_):
        raise RuntimeError("failed to find a C compiler")

    def full(*_):
        raise torch.OutOfMemoryError("that is no reason to compile anything else")

    assert not lrn._works(lrn.Way(fails, fails), *here)
    assert lrn._works(lrn.PLAIN, *here)
    with pytest.raises(torch.OutOfMemoryError):
        lrn._works(lrn.Way(full, full), *here)


@pytest.mark.slow
def test_the_compiled_code_is_the_plain_code():
    script = (
        "import torch\nfrom classicnets.layers import lrn\n"
        "way = lrn._compiled(torch.device('cpu'), torch.float32)\nassert way is not None\n"
        "x, g = torch.randn(2, 2, 7, 3, 5).unbind()\n"
        f"for got, want in zip(way, lrn.PLAIN):\n    given = (g, x)[got is way.forward:]\n"
        f"    torch.testing.assert_close(got(*given, *{PAPER}), want(*given, *{PAPER}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
