"""The memory of keys and values: pages of a fixed number of tokens, a tensor a layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workers.serve.native.constants import PAGE_TOKENS, SCRATCH_PAGE

__all__ = ["PAGE_TOKENS", "SCRATCH_PAGE", "KvLayout", "KvPool"]


@dataclass(frozen=True)
class KvLayout:
    """What a model keeps a token; a `Model` tells it as `kv_layout`."""

    layers: int
    dtype: torch.dtype
    kv_heads: int = 0
    head_dim: int = 0
    """Of keys and values alike."""
    latent_width: int = 0
    """Multi-head latent attention: kv_lora_rank + rope_dim, instead of keys and values."""

    @property
    def token_bytes(self) -> int:
        """Bytes that one token takes in all layers."""
        width = self.latent_width or 2 * self.kv_heads * self.head_dim
        return self.layers * width * self.dtype.itemsize


class KvPool:
    """The tensors. Who owns which page is known by `pages.PageAllocator` only.

    Attributes:
        keys, values: one tensor a layer, [pages, page_size, kv_heads, head_dim]; empty for MLA.
        latents: one tensor a layer, [pages, page_size, kv_lora_rank + rope_dim]; MLA only.
        pages: how many, the scratch page included.
        page_size: tokens a page.
    """

    def __init__(
        self,
        layout: KvLayout,
        pages: int,
        device: torch.device | str,
        page_size: int = PAGE_TOKENS,
    ) -> None:
        self.layout, self.pages, self.page_size = layout, pages, page_size
        self.device = torch.device(device)
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.latents: list[Tensor] = []
        for _ in range(layout.layers):
            if layout.latent_width:
                self.latents.append(self._zeros(layout.latent_width))
            else:
                self.keys.append(self._zeros(layout.kv_heads, layout.head_dim))
                self.values.append(self._zeros(layout.kv_heads, layout.head_dim))

    @property
    def capacity_tokens(self) -> int:
        """Tokens that rows can hold together."""
        return (self.pages - 1) * self.page_size

    def copy(self, sources: list[int], targets: list[int]) -> None:
        """Copy pages in all layers; a page may be in both lists."""
        source, target = torch.tensor(sources), torch.tensor(targets)
        for tensor in (*self.keys, *self.values, *self.latents):
            tensor[target] = tensor[source]

    def clear(self) -> None:
        """Zero everything, after a pass that may have left values that are not numbers."""
        for tensor in (*self.keys, *self.values, *self.latents):
            tensor.zero_()

    def _zeros(self, *width: int) -> Tensor:
        """Zeros: a masked score of a slot never written is still multiplied with its value."""
        shape = (self.pages, self.page_size, *width)
        if self.device.type != "cpu":
            return torch.zeros(shape, dtype=self.layout.dtype, device=self.device)
        # The system's zeros take no memory until they are written; torch's do.
        plain = np.zeros(math.prod(shape) * self.layout.dtype.itemsize, dtype=np.uint8)
        return torch.from_numpy(plain).view(self.layout.dtype).view(shape)
