"""Is this like what the model has learned from? A second, small judge beside the classifier, of the same frames.

A classifier answers whatever it is shown. Two judges say where its answers mean anything, and the stricter one counts:
a linear one that was shown outliers beside people (outlier exposure: Hendrycks et al. 2019), which knows what robots
usually meet, and the distance from the people (Mahalanobis distance within their main directions and what is left
outside of them: Lee et al. 2018, Kamoi and Kobayashi 2020), which knows what nobody thought of.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .pooling import Encoded, StatisticsPooling

#: Largest standardised value that counts: one wild feature must not decide alone.
_LARGEST = 10.0


class DomainHead(nn.Module):
    """Frames of an encoder -> logits (B, K) of what they are: in the domain first, then each reason to abstain.

    Sums of products instead of matrices, so that quantising leaves it alone. `distance`: weights of the two distances
    and their offset.
    """

    def __init__(self, width: int, reasons: int, directions: int) -> None:
        super().__init__()
        self.width = width
        self.pooling = StatisticsPooling(width)
        size = self.pooling.width
        self.mean = nn.Parameter(torch.zeros(size))
        self.scale = nn.Parameter(torch.ones(size))
        self.weight = nn.Parameter(torch.zeros(1 + reasons, size))
        self.bias = nn.Parameter(torch.zeros(1 + reasons))
        self.centre = nn.Parameter(torch.zeros(size))
        self.directions = nn.Parameter(torch.zeros(directions, size))
        self.spread = nn.Parameter(torch.ones(directions))
        self.distance = nn.Parameter(torch.zeros(3))
        self.requires_grad_(False)

    def forward(self, encoded: Encoded) -> Tensor:
        """frames (B, T, D or more, of which the first count), mask (B, T) -> logits (B, K)."""
        return self.judge(self.pooling(encoded.frames[..., : self.width], encoded.mask))

    def judge(self, described: Tensor) -> Tensor:
        """Statistics of frames (B, 2D) -> logits (B, K)."""
        logits = (self.standardise(described)[:, None] * self.weight).sum(2) + self.bias
        others = torch.logsumexp(logits[:, 1:], 1, keepdim=True)
        inside, outside = self.distances(described)
        near = self.distance[0] * inside + self.distance[1] * outside + self.distance[2]
        odds = torch.minimum(logits[:, :1] - others, near[:, None])
        return torch.cat([odds, logits[:, 1:] - others], 1)

    def standardise(self, described: Tensor) -> Tensor:
        """(B, 2D) -> the linear judge's values (B, 2D)."""
        return ((described - self.mean) / self.scale).clamp(-_LARGEST, _LARGEST)

    def distances(self, described: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of the distances within and outside of the people's main directions, (B,) each."""
        values = (described - self.mean) / self.scale - self.centre
        along = (values[:, None] * self.directions).sum(2)
        rest = (values.square().sum(1) - along.square().sum(1)).clamp(min=0) / values.shape[1]
        return (along / self.spread).square().mean(1).clamp(min=1e-6).log() / 2, rest.clamp(min=1e-6).log() / 2
