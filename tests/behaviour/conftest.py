"""What several of these tests need."""

import socket

import pytest
import torch

from classicnets.api.train import Training
from classicnets.training.execution.graph import GraphedCallable


@pytest.fixture
def replayed(monkeypatch):
    """Recordings as CUDA makes them, but on the CPU: the lengths of what they are replayed on."""
    lengths = []

    before = []

    def eager(graph: GraphedCallable, *tensors: torch.Tensor):
        before[:] = graph.work(*tensors)
        return tuple(before)

    def record(graph: GraphedCallable):  # it notes, and runs nothing
        with torch.inference_mode(False):
            out = tuple(map(torch.zeros_like, before))

        def replay():
            lengths.append(len(graph.static_inputs[0]))
            for held, new in zip(out, graph.work(*graph.static_inputs), strict=True):
                held.copy_(new)

        return replay, out

    monkeypatch.setattr(GraphedCallable, "_eager", eager)
    monkeypatch.setattr(GraphedCallable, "record", record)
    return lengths


@pytest.fixture
def stop_after():
    """Trains so many steps and saves a checkpoint: stop_after(training, 3)."""

    def stop(training: Training, step: int) -> None:
        for record in training:
            if record.step == step:
                break
        training.save()

    return stop


@pytest.fixture
def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
