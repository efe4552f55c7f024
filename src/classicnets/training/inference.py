"""A trained network that is shown many pictures and learns no more: the same function, faster."""

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from .step import Execution


class Inference(nn.Module):
    """A network in evaluation mode as it is best executed: fp32 images (n, c, h, w) -> fp32 scores.

    The network itself is left as it is.
    """

    def __init__(self, network: nn.Module, execution: Execution):
        super().__init__()
        self.network = network.eval()
        self.execution = execution

    @torch.no_grad()
    def forward(self, x: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n classes"]:
        with self.execution.casting(x.device):
            return self.network(self.execution.laid(x)).float()
