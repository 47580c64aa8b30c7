"""transformers' networks as encoders and as whole models, and what is said where something is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from moframework import ParetoModel
from moframework.backbones import transformers as module
from moframework.backbones.transformers import TransformersBackbone, WholeModel, pooled
from moframework.config import build, unstructure
from moframework.config.options import OptionError
from moframework.errors import DataError, SpecError
from moframework.model import Recipe
from moframework.weights.low_rank import LowRank
from tests.extras import needs_transformers

TINY: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "vocab_size": 20,
}
OUTPUTS = {"a": 3, "b": 1}


def tokens(*shape: int) -> Tensor:
    return torch.randint(20, shape, generator=torch.Generator().manual_seed(0))


def test_without_transformers_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"not installed: pip install 'moframework\[transformers\]'"):
        TransformersBackbone(config=TINY)


def test_pooling_leaves_padding_out() -> None:
    states = torch.randn(3, 4, 2)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
    mean = pooled(states, mask, "mean")
    torch.testing.assert_close(mean[0], states[0].mean(dim=0))
    torch.testing.assert_close(mean[1], states[1, :2].mean(dim=0))
    assert not bool(mean[2].any())
    torch.testing.assert_close(pooled(states, mask, "last")[:2], torch.stack([states[0, 3], states[1, 1]]))
    left = torch.tensor([[0, 0, 1, 1]]).expand(3, -1)
    torch.testing.assert_close(pooled(states, left, "last"), states[:, 3])
    torch.testing.assert_close(pooled(states, None, "first"), states[:, 0])
    torch.testing.assert_close(pooled(torch.ones(3, 2, 5, 5), None, "mean"), torch.ones(3, 2))


@needs_transformers
class TestWithTransformers:
    @pytest.mark.parametrize("pooling", ["auto", "pooler", "first", "last", "mean"])
    def test_an_encoder_with_heads(self, pooling: str) -> None:
        backbone = build(TransformersBackbone, {"config": TINY, "pooling": pooling, "hidden": [4]})
        network = backbone.build((5,), OUTPUTS).eval()
        found = network(tokens(2, 5))
        assert {key: tuple(value.shape) for key, value in found.items()} == {"a": (2, 3), "b": (2, 1)}
        torch.testing.assert_close(network(tokens(2, 5).to(torch.int16)), found)
        named = {"input_ids": tokens(2, 5), "attention_mask": torch.ones(2, 5, dtype=torch.long)}
        torch.testing.assert_close(network(named), found)
        torch.testing.assert_close(network((tokens(2, 5), named["attention_mask"])), found)

    def test_padding_changes_nothing(self) -> None:
        network = TransformersBackbone(config=TINY, pooling="mean").build((5,), OUTPUTS).eval()
        short = {"input_ids": tokens(2, 3), "attention_mask": torch.ones(2, 3, dtype=torch.long)}
        long = {key: torch.nn.functional.pad(value, (0, 2)) for key, value in short.items()}
        torch.testing.assert_close(network(long), network(short))

    def test_images(self) -> None:
        config = {"model_type": "vit", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
                  "intermediate_size": 8, "image_size": 16, "patch_size": 8}  # fmt: skip
        network = TransformersBackbone(config=config).build((3, 16, 16), OUTPUTS)
        assert network(torch.randn(2, 3, 16, 16))["a"].shape == (2, 3)

    def test_the_part_that_encodes(self) -> None:
        config = {"model_type": "t5", "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2,
                  "vocab_size": 20}  # fmt: skip
        network = TransformersBackbone(config=config).build((5,), OUTPUTS)
        assert network(tokens(2, 5))["b"].shape == (2, 1)
        assert not [name for name, _ in network.named_parameters() if "decoder" in name]

    def test_a_whole_model_with_outputs_of_its_own(self) -> None:
        backbone = TransformersBackbone(
            config=TINY, architecture="BertForQuestionAnswering", output_names={"start": "start_logits"}
        )
        network = backbone.build((5,), {"start": 5, "end_logits": 5}).eval()
        assert isinstance(network, WholeModel)
        found = network(tokens(2, 5))
        wanted = network.network(tokens(2, 5))
        assert list(found) == ["start", "end_logits"]
        torch.testing.assert_close(found["start"], wanted.start_logits)
        torch.testing.assert_close(found["end_logits"], wanted.end_logits)
        with pytest.raises(SpecError, match=r"gives no logits; it gives start_logits, end_logits.*output_names"):
            backbone.build((5,), {"logits": 5})(tokens(2, 5))

    def test_a_folder_with_weights(self, tmp_path: Path) -> None:
        import transformers

        folder = tmp_path / "bert"
        saved = transformers.BertModel(transformers.BertConfig(**{k: v for k, v in TINY.items() if k != "model_type"}))
        saved.half().save_pretrained(folder)  # type: ignore[no-untyped-call]
        made = TransformersBackbone(model=folder, pretrained=True).build((5,), OUTPUTS)
        for name, value in saved.named_parameters():
            found = cast(Any, made).encoder.get_parameter(name)
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, value.float())
        fresh = TransformersBackbone(model=folder).build((5,), OUTPUTS)
        drawn, own_weight = cast(Any, fresh).encoder, saved.embeddings.word_embeddings.weight.float()
        assert not torch.equal(drawn.embeddings.word_embeddings.weight, own_weight)
        changed = TransformersBackbone(model=folder, config={"num_hidden_layers": 1}).build((5,), OUTPUTS)
        assert sum(".layer.1." in name for name, _ in changed.named_parameters()) == 0

    def test_weights_that_are_missing_are_told(self, tmp_path: Path) -> None:
        import transformers

        own = transformers.BertConfig(**{k: v for k, v in TINY.items() if k != "model_type"})
        transformers.BertModel(own, add_pooling_layer=False).save_pretrained(tmp_path / "no pooler")
        with pytest.raises(DataError, match=r"lack pooler.dense.bias, pooler.dense.weight, .*at random"):
            TransformersBackbone(model=tmp_path / "no pooler", pretrained=True).build((5,), OUTPUTS)
        TransformersBackbone(model=tmp_path / "no pooler", pretrained=True, pooling="mean").build((5,), OUTPUTS)
        own.save_pretrained(tmp_path / "only config")
        with pytest.raises(DataError, match="holds no weights that can be read"):
            TransformersBackbone(model=tmp_path / "only config", pretrained=True).build((5,), OUTPUTS)

    def test_a_saved_model_needs_no_folder(self, tmp_path: Path) -> None:
        import transformers

        folder = tmp_path / "bert"
        own = transformers.BertConfig(**{k: v for k, v in TINY.items() if k != "model_type"})
        transformers.BertModel(own).save_pretrained(folder)
        recipe = Recipe(
            tasks=("a", "b"),
            backbone=TransformersBackbone(model=folder, pretrained=True, pooling="mean"),
            input_shape=(5,),
            outputs=OUTPUTS,
            weights=LowRank(rank=1),
        )
        model = ParetoModel(recipe).eval()
        model.save(tmp_path / "model")
        folder.rename(tmp_path / "elsewhere")
        loaded = ParetoModel.load(tmp_path / "model")
        torch.testing.assert_close(loaded(tokens(2, 5), [0.3, 0.7]), model(tokens(2, 5), [0.3, 0.7]))
        assert str(tmp_path) not in (tmp_path / "model" / "model.json").read_text()

    def test_nothing_is_downloaded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(OptionError, match=r"google-bert/bert-base-uncased is no folder .* Nothing is downloaded"):
            TransformersBackbone(model=Path("google-bert/bert-base-uncased"))

        def marked(*_: object, **__: object) -> None:
            reached.append(1)

        reached: list[int] = []
        monkeypatch.setattr("socket.socket.connect", marked)
        # A configuration that names the weights of another network on the hub.
        config = {"model_type": "upernet", "backbone": "microsoft/resnet-18", "use_pretrained_backbone": True}
        with pytest.raises(SpecError, match=r"transformers cannot make this network"):
            TransformersBackbone(config=config).build((3, 32, 32), OUTPUTS)
        assert not reached

    def test_what_is_wrong_is_told(self, tmp_path: Path) -> None:
        for options, words in [
            ({}, "give `model`, a local folder, or `config` with a `model_type`"),
            ({"config": {"model_type": "brt"}}, "no networks with model_type 'brt'; did you mean 'bert'"),
            ({"config": TINY, "pretrained": True}, "no weights to start from without `model`"),
            ({"config": TINY, "architecture": "BertForQuestions"}, "no model class 'BertForQuestions'; did you mean"),
            ({"config": TINY, "architecture": "BertModel", "pooling": "mean"}, "leave out `hidden` and `pooling`"),
            ({"config": TINY, "output_names": {"a": "b"}}, "only with `architecture`"),
        ]:
            with pytest.raises(SpecError, match=words):
                build(TransformersBackbone, options)
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(OptionError, match=r"config\.json cannot be read"):
            TransformersBackbone(model=tmp_path)
        with pytest.raises(SpecError, match="transformers cannot make this network"):
            TransformersBackbone(config={**TINY, "num_attention_heads": 3}).build((5,), OUTPUTS)
        network = TransformersBackbone(config=TINY).build((5,), OUTPUTS)
        with pytest.raises(SpecError, match="reads tokens, whole numbers, but `input_ids` has numbers of type"):
            network(torch.rand(2, 5))
        with pytest.raises(SpecError, match=r"cannot read inputs `input_ids` \(3, 5, 5\)"):
            TransformersBackbone(config=TINY).build((3, 5, 5), OUTPUTS)

    def test_code_that_comes_with_a_folder_is_not_run(self, tmp_path: Path) -> None:
        mark = tmp_path / "mark"
        (tmp_path / "mine.py").write_text(f"open({str(mark)!r}, 'w')\nclass Mine: ...\n")
        written = {**TINY, "auto_map": {"AutoConfig": "mine.Mine", "AutoModel": "mine.Mine"}}
        (tmp_path / "config.json").write_text(json.dumps(written))
        TransformersBackbone(model=tmp_path).build((5,), OUTPUTS)
        with pytest.raises(DataError):
            TransformersBackbone(model=tmp_path, pretrained=True).build((5,), OUTPUTS)
        assert not mark.exists()

    def test_checkpoints(self) -> None:
        network = TransformersBackbone(config=TINY, checkpointing=True).build((5,), OUTPUTS)
        assert all(layer.gradient_checkpointing for layer in cast(Any, network).encoder.encoder.layer)
        with pytest.raises(SpecError, match=r"backbone\.checkpointing: .*; use false"):
            build(TransformersBackbone, {"config": {"model_type": "resnet", "hidden_sizes": [4], "depths": [1],
                  "embedding_size": 4}, "checkpointing": True}).build((3, 16, 16), OUTPUTS)  # fmt: skip

    def test_the_spec_round_trip(self) -> None:
        backbone = TransformersBackbone(config=TINY, pooling="mean")
        assert build(TransformersBackbone, {k: v for k, v in unstructure(backbone).items() if k != "name"}) == backbone
