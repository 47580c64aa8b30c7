"""Marks of tests that need an optional package: skipped without it, with the reason."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

__all__ = ["needs_fairlearn", "needs_peft", "needs_timm", "needs_torchjd", "needs_transformers"]

needs_fairlearn = pytest.mark.skipif(find_spec("fairlearn") is None, reason="needs fairlearn, of the extra dev")
needs_peft = pytest.mark.skipif(find_spec("peft") is None, reason="needs peft, of the extra dev")
needs_torchjd = pytest.mark.skipif(find_spec("torchjd") is None, reason="needs the extra torchjd")
needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra timm")
needs_transformers = pytest.mark.skipif(find_spec("transformers") is None, reason="needs the extra transformers")
