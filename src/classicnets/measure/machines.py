"""Published rates of devices that are not here, for estimates."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """A device by its data sheet: FLOP/s by precision, bytes/s and bytes of its memory.

    Rates in bf16 are those of dense matrices with sums in float32; without `bf16` it has none.
    """

    title: str
    fp32: float
    bf16: float | None
    copy: float
    memory: float
    source: str

    def peaks(self) -> dict[str, float]:
        """As `roofline.sample` names them."""
        rates = {"fp32": self.fp32, "bf16": self.bf16 or self.fp32}
        kinds = ("matrix product", "convolution")
        named = {f"{kind} {name}": rate for kind in kinds for name, rate in rates.items()}
        return {**named, "copy": self.copy}


T, G = 1e12, 1e9
MACHINES = {
    "h100": Machine("NVIDIA H100 SXM", 67 * T, 989 * T, 3350 * G, 80 * G,
                    "NVIDIA H100 Tensor Core GPU data sheet"),
    "a100": Machine("NVIDIA A100 SXM 80 GB", 19.5 * T, 312 * T, 2039 * G, 80 * G,
                    "NVIDIA A100 Tensor Core GPU data sheet"),
    "v100": Machine("NVIDIA V100 SXM2 16 GB", 15.7 * T, None, 900 * G, 16 * G,
                    "NVIDIA V100 Tensor Core GPU data sheet"),
    "l4": Machine("NVIDIA L4", 30.3 * T, 121 * T, 300 * G, 24 * G,
                  "NVIDIA L4 Tensor Core GPU data sheet; half of its rate for sparse matrices"),
    "t4": Machine("NVIDIA T4", 8.1 * T, None, 320 * G, 16 * G,
                  "NVIDIA T4 Tensor Core GPU data sheet"),
    "rtx4090": Machine("NVIDIA GeForce RTX 4090", 82.6 * T, 165.2 * T, 1008 * G, 24 * G,
                       "NVIDIA Ada GPU architecture white paper, appendix A"),
    "rtx3090": Machine("NVIDIA GeForce RTX 3090", 35.6 * T, 71 * T, 936 * G, 24 * G,
                       "NVIDIA Ampere GA102 GPU architecture white paper, appendix A"),
}  # fmt: skip
