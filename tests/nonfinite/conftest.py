"""The engine's tiny problem, trained by the same fixture."""

from __future__ import annotations

from tests.engine.conftest import train

__all__ = ["train"]
