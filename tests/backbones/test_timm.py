"""timm's networks as encoders, and what is said where timm is missing."""

from __future__ import annotations

import pytest
import torch

from moframework.backbones import timm as module
from moframework.backbones.timm import TimmBackbone
from moframework.config.options import OptionError
from moframework.errors import DataError, SpecError
from tests.extras import needs_timm


def test_without_timm_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"not installed: pip install 'moframework\[timm\]'"):
        TimmBackbone(model="resnet18")


@needs_timm
class TestWithTimm:
    @pytest.mark.parametrize("model", ["test_resnet", "test_vit"])
    def test_shapes(self, model: str) -> None:
        network = TimmBackbone(model=model).build((1, 32, 32), {"a": 3, "b": 1}).eval()
        outputs = network(torch.randn(2, 1, 32, 32))
        assert {key: tuple(value.shape) for key, value in outputs.items()} == {"a": (2, 3), "b": (2, 1)}

    def test_names_that_are_wrong(self) -> None:
        with pytest.raises(OptionError, match="timm has no network 'resnet18x'; did you mean 'resnet"):
            TimmBackbone(model="resnet18x.a1")
        with pytest.raises(SpecError, match="backbone timm needs images"):
            TimmBackbone(model="test_vit").build((4,), {"y": 1})

    def test_weights_that_cannot_be_had(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import timm

        def fail(*_: object, **__: object) -> None:
            raise OSError("no route to host")

        monkeypatch.setattr(timm, "create_model", fail)
        made = TimmBackbone(model="resnet18", pretrained=True)
        assert made.bare() == TimmBackbone(model="resnet18")
        with pytest.raises(
            DataError, match=r"resnet18 cannot be downloaded \(no route to host\).*timm/resnet18.*`weights`"
        ):
            made.build((3, 32, 32), {"y": 1})
