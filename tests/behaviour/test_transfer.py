"""Pictures reach a device without anybody waiting; with a stand-in where there is no GPU."""

import contextlib

import torch

from classicnets.data import transfer as sent


class Gpu:
    """What `prefetch` asks of CUDA, told in the order in which it asks."""

    def __init__(self, monkeypatch):
        self.told: list[str] = []
        self.count = 0
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: "road")
        monkeypatch.setattr(torch.cuda, "stream", lambda road: contextlib.nullcontext())
        monkeypatch.setattr(torch.cuda, "Event", self.event)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: self)
        monkeypatch.setattr(torch.Tensor, "record_stream", lambda x, stream: None)
        monkeypatch.setattr(sent, "sent", self.sent)

    def to_device(self, x, device):
        self.told.append(f"send {int(x[0])}")
        return x

    def event(self):
        self.count += 1
        return Event(self.count - 1)

    def wait_event(self, event):
        self.told.append(f"wait {event.number}")


class Event:
    def __init__(self, number: int):
        self.number = number

    def record(self, stream):
        assert stream == "road"


def test_a_batch_is_on_its_way_to_the_gpu_while_the_one_before_is_worked_on(monkeypatch):
    gpu = Gpu(monkeypatch)
    batches = [(torch.full((2,), k), torch.full((2,), k)) for k in range(3)]
    for x, _ in sent.prefetch(batches, torch.device("cuda")):
        gpu.told.append(f"work {int(x[0])}")
    sends = [2 * [f"send {k}"] for k in range(3)]
    assert gpu.told == [
        *sends[0], *sends[1], "wait 0", "work 0", *sends[2], "wait 1", "work 1", "wait 2", "work 2"
    ]  # fmt: skip


def test_what_is_sent_to_a_cpu_is_what_it_was():
    x, cpu = torch.arange(3), torch.device("cpu")
    assert sent.sent(x, cpu) is x
    assert [a is x for a, _ in sent.prefetch([(x, x)], cpu)] == [True]
