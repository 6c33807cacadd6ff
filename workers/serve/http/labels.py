"""The optional label of answers made by AI.

China's "Measures for Labeling AI-Generated Synthetic Content" (Cyberspace Administration of China,
in force since 2025-09-01; GB 45438-2025) ask for a visible text mark at the beginning, the end or
another fitting place of a text, and for an implicit one in its metadata.
"""

from __future__ import annotations

from typing import Any

VISIBLE = "\n\n[AI-generated content · 本内容由人工智能生成]"
"""Behind an answer's end. Left out where it would break JSON that a program reads."""
HEADERS = {"x-ai-generated": "true"}


def metadata(model: str, request_id: str) -> dict[str, Any]:
    """Fields of every answer and every chunk; `aigc` has the names of GB 45438-2025, annex E."""
    return {
        "ai_generated": True,
        "aigc": {
            "Label": "1",
            "ContentProducer": f"DeepDeck local API, {model}",
            "ProduceID": request_id,
        },
    }
