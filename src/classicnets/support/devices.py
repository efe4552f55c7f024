"""Devices: which one to use, what it can do, how much memory is free."""

import math
import platform
import sys
from pathlib import Path

import torch
from torch import nn

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def select_device(name: str) -> torch.device:
    """A usable device; "auto" is a GPU if there is one. Raises ValueError for others."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()  # not on meta, which has no values
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {name!r} cannot be used here; auto and cpu can") from error
    return device


def network_device(network: nn.Module) -> torch.device:
    """The device of the network's parameters; the CPU if it has none."""
    return next((p.device for p in network.parameters()), torch.device("cpu"))


def supports_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 natively rather than by emulation."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def free_memory(device: torch.device) -> float:
    """Free memory of a device in bytes; infinite where that is unknown."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    table = Path("/proc/meminfo")
    if device.type != "cpu" or not table.exists():
        return math.inf
    rows = dict(line.split(":") for line in table.read_text().splitlines())
    return 1024.0 * int(rows["MemAvailable"].split()[0])


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all its work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def device_name(device: torch.device) -> str:
    """The device's model name, or "" where it is unknown."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    if device.type != "cpu" or not info.exists():
        return platform.processor() if device.type == "cpu" else ""
    lines = info.read_text(encoding="utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if "model name" in line), "")


def peak_memory(device: torch.device) -> float:
    """The peak memory in bytes so far, of the GPU or of this process; NaN where it is unknown."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    if device.type != "cpu" or sys.platform != "linux":
        return math.nan
    import resource  # noqa: PLC0415  # not on every platform

    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
