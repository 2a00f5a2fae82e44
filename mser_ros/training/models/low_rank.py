"""Fine-tuning by a difference of low rank to each matrix (LoRA: Hu et al. 2022, "Low-Rank Adaptation of Large Language
Models"), which is a hundredth of the matrix and can be shipped without it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LowRankLinear(nn.Module):
    """A frozen linear layer (out, in) plus the product of `up` (out, rank) and `down` (rank, in)."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(rank, base.in_features))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, inputs: Tensor) -> Tensor:
        difference = nn.functional.linear(nn.functional.linear(inputs, self.down), self.up)
        return self.base(inputs) + difference


def add_low_rank(encoder: nn.Module, rank: int) -> None:
    """Give each linear layer of an encoder a trainable difference; the layer itself stays as it is."""
    for parent in list(encoder.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, LowRankLinear(child, rank))
