"""Prefetching to a device; a fake CUDA stands in where there is no GPU."""

import contextlib

import torch

from classicnets.data import transfer


class FakeCuda:
    """Records what `prefetch` does with CUDA, in order."""

    def __init__(self, monkeypatch):
        self.calls: list[str] = []
        self.count = 0
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: "copy stream")
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
        monkeypatch.setattr(torch.cuda, "Event", self.event)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: self)
        monkeypatch.setattr(torch.Tensor, "record_stream", lambda x, stream: None)
        monkeypatch.setattr(transfer, "to_device", self.to_device)

    def to_device(self, x, device):
        self.calls.append(f"copy {int(x[0])}")
        return x

    def event(self):
        self.count += 1
        return Event(self.count - 1)

    def wait_event(self, event):
        self.calls.append(f"wait {event.number}")


class Event:
    def __init__(self, number: int):
        self.number = number

    def record(self, stream):
        assert stream == "copy stream"


def test_a_batch_is_copied_to_the_gpu_while_the_one_before_is_in_use(monkeypatch):
    cuda = FakeCuda(monkeypatch)
    batches = [(torch.full((2,), k), torch.full((2,), k)) for k in range(3)]
    for x, _ in transfer.prefetch(batches, torch.device("cuda")):
        cuda.calls.append(f"work {int(x[0])}")
    copies = [2 * [f"copy {k}"] for k in range(3)]
    assert cuda.calls == [
        *copies[0], *copies[1], "wait 0", "work 0",
        *copies[2], "wait 1", "work 1", "wait 2", "work 2",
    ]  # fmt: skip


def test_tensors_on_the_cpu_are_not_copied():
    x, cpu = torch.arange(3), torch.device("cpu")
    assert transfer.to_device(x, cpu) is x
    assert [a is x for a, _ in transfer.prefetch([(x, x)], cpu)] == [True]
