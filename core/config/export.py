"""The spec of an export: a trained adapter, alone or merged into its base model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.config.base import Spec


class ExportSpec(Spec):
    """One export. A face fills in `source` and what the user chooses; the service the rest."""

    source: str = Field(description="Id of a training run, or a folder with an adapter.")
    kind: Literal["merged", "adapter"] = Field(
        "merged", description="merged: a whole model; adapter: the adapter with its tokenizer."
    )
    merge_into: Literal["original", "dequantized"] = Field(
        "original",
        description="original: the model's own 16-bit or 32-bit weights; dequantized: the weights "
        "an adapter on a 4-bit model has seen, nearer to what was trained, further from the model.",
    )
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Of the written weights; auto: as the base model's."
    )
    to: str = Field("", description="Folder to make; empty: in the export's own run folder.")
    model: str = Field("", description="Base model; empty: the one the adapter was trained on.")
    data: str = Field("", description="Compare on rows of this data; empty: the run's.")
    compare_rows: int = Field(
        16, ge=0, le=1000, description="Rows of data that both models are compared on."
    )
    quantization: Literal["none", "nf4", "int8"] = Field(
        "none", description="How the base was loaded when the adapter was trained."
    )
    bnb_4bit_use_double_quant: bool = Field(
        True, description="Whether its 4-bit scales were quantized as well."
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="Where to merge.")
