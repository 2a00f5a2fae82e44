"""Attention between the frames of different modalities (paper B: Krishna 2021; Tsai et al. 2019), with masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .pooling import Encoded

#: Added to the score of a masked frame: far below any real one, yet finite, so that a row without frames is no NaN.
_MASKED = -1e4


class MultiHeadAttention(nn.Module):
    """Scaled dot product attention of one sequence to another (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, to: Tensor, of: Tensor, mask: Tensor) -> Tensor:
        """to (B, T, D), of (B, S, D), mask (B, S) True where real -> what `to` finds in `of` (B, T, D)."""
        query = self._split(self.query(to))
        key, value = self.key_value(of).chunk(2, 2)
        scores = query @ self._split(key).transpose(2, 3) * (query.shape[-1] ** -0.5)
        scores = scores + (~mask)[:, None, None].to(scores.dtype) * _MASKED
        shares = self.dropout(scores.float().softmax(-1).to(scores.dtype))
        return self.out((shares @ self._split(value)).transpose(1, 2).flatten(2))

    def _split(self, frames: Tensor) -> Tensor:
        """(B, T, D) -> (B, heads, T, D / heads)."""
        return frames.unflatten(2, (self.heads, -1)).transpose(1, 2)


class CrossModalAttention(nn.Module):
    """Every stream looks into every other: a pair of modalities has an attention in each direction."""

    def __init__(self, modalities: tuple[str, ...], *, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.modalities = modalities
        self.pairs = nn.ModuleDict(
            {
                f"{to}_from_{of}": MultiHeadAttention(width, heads, dropout)
                for to in modalities
                for of in modalities
                if to != of
            }
        )
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name in modalities})

    def forward(self, streams: dict[str, Encoded], weight: Tensor) -> dict[str, Encoded]:
        """Frames (B, T_m, D) and mask (B, T_m) by modality; weight (B, M), 0 where a modality is missing -> the same.

        What a stream finds in the others is averaged by their weights and added to it: one without others stays as it
        is.
        """
        out = {}
        for name in self.modalities:
            own = streams[name]
            found, total = torch.zeros_like(own.frames), own.frames.new_zeros(len(own.frames), 1, 1)
            for index, other in enumerate(self.modalities):
                if other == name:
                    continue
                share = weight[:, index, None, None].to(own.frames.dtype)
                context = self.pairs[f"{name}_from_{other}"](own.frames, streams[other].frames, streams[other].mask)
                found = found + torch.where(share > 0, context, torch.zeros_like(context)) * share
                total = total + (share > 0)
            frames = self.norms[name](own.frames + found / total.clamp(min=1))
            out[name] = Encoded(frames, own.mask)
        return out
