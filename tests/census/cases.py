"""The networks of the census: small members of each family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
import torchvision
from torch import nn
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.densenet import _DenseLayer
from torchvision.models.maxvit import MaxVit
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large, fcn_resnet50, lraspp_mobilenet_v3_large

from moframework.backbones.base import Backbone, Shared, linear_heads
from moframework.backbones.timm import TimmBackbone
from moframework.backbones.torchvision import TorchvisionBackbone
from moframework.backbones.transformers import TransformersBackbone
from moframework.config import config, option
from tests.census.comparing import Case

__all__ = ["cases"]

HEADS = {"left": 3, "right": 2}


def cases(library: str) -> list[Case]:
    """Those of `timm`, `torchvision` or `transformers`."""
    return {"timm": _of_timm, "torchvision": _of_torchvision, "transformers": _of_transformers}[library]()


# ---------------------------------------------------------------------------------------------------------------- timm

# Family (a module of timm): network, side of the images, options where the smallest member is large.
TIMM: dict[str, tuple[str, int, dict[str, Any]]] = {
    "beit": ("beit_base_patch16_224", 32, {"embed_dim": 24, "depth": 2, "num_heads": 2, "img_size": 32}),
    "byoanet": ("botnet26t_256", 64, {}),
    "byobnet": ("test_byobnet", 32, {}),
    "cait": ("cait_xxs24_224", 32, {}),
    "coat": ("coat_tiny", 32, {}),
    "convit": ("convit_tiny", 32, {}),
    "convnext": ("test_convnext", 32, {}),
    "cpubone": ("cpubone_nano", 32, {}),
    "crossvit": ("crossvit_tiny_240", 240, {"embed_dim": (16, 24), "depth": ((1, 1, 0), (1, 1, 0)), "num_heads": (2,
                 2)}),
    "csatv2": ("csatv2", 64, {}),
    "cspnet": ("cs3darknet_focus_s", 32, {}),
    "cspnext": ("cspnext_tiny", 32, {}),
    "davit": ("davit_tiny", 32, {"embed_dims": (8, 16, 24, 32), "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1)}),
    "deit": ("deit_tiny_distilled_patch16_224", 32, {"depth": 2, "img_size": 32}),
    "densenet": ("densenet121", 32, {}),
    "dla": ("dla46_c", 32, {}),
    "dpn": ("dpn48b", 32, {}),
    "edgenext": ("edgenext_xx_small", 32, {}),
    "efficientformer": ("efficientformer_l1", 224, {}),
    "efficientformer_v2": ("efficientformerv2_s0", 224, {}),
    "efficientnet": ("test_efficientnet", 32, {}),
    "efficientvim": ("efficientvim_m1", 64, {}),
    "efficientvit_mit": ("efficientvit_b0", 32, {}),
    "efficientvit_msra": ("efficientvit_m0", 64, {}),
    "eva": ("eva02_tiny_patch14_224", 28, {"depth": 2, "img_size": 28}),
    "fasternet": ("fasternet_t0", 32, {}),
    "fastvit": ("fastvit_t8", 32, {}),
    "focalnet": ("focalnet_tiny_srf", 32, {}),
    "gcvit": ("gcvit_xxtiny", 224, {}),
    "ghostnet": ("ghostnet_050", 32, {}),
    "hardcorenas": ("hardcorenas_a", 32, {}),
    "hgnet": ("hgnetv2_b0", 32, {}),
    "hiera": ("hiera_tiny_224", 224, {"embed_dim": 16, "stages": (1, 1, 1, 1)}),
    "hrnet": ("hrnet_w18_small", 32, {}),
    "inception_next": ("inception_next_atto", 32, {}),
    "lcnetv2": ("lcnetv2_small", 32, {}),
    "levit": ("levit_128s", 224, {}),
    "mambaout": ("test_mambaout", 32, {}),
    "maxxvit": ("test_maxvit", 64, {}),
    "metaformer": ("poolformer_s12", 32, {}),
    "mlp_mixer": ("gmlp_ti16_224", 32, {"img_size": 32}),
    "mobilenetv3": ("mobilenetv3_small_050", 32, {}),
    "mobilevit": ("mobilevit_xxs", 64, {}),
    "naflexvit": ("naflexvit_base_patch16_gap", 32, {"embed_dim": 24, "depth": 2, "num_heads": 2}),
    "nfnet": ("test_nfnet", 32, {}),
    "pit": ("pit_ti_224", 64, {}),
    "pvt_v2": ("pvt_v2_b0", 32, {}),
    "rdnet": ("rdnet_tiny", 32, {"growth_rates": (8, 8, 8, 8), "num_blocks_list": (1, 1, 1, 1),
              "num_init_features": 8, "is_downsample_block": (None, True, True, True),
              "transition_compression_ratio": 0.5, "block_type": ("Block",) * 4}),
    "regnet": ("regnetx_002", 32, {}),
    "repghost": ("repghostnet_050", 32, {}),
    "repvit": ("repvit_m0_9", 32, {}),
    "res2net": ("res2net50_48w_2s", 32, {"layers": (1, 1, 1, 1)}),
    "resnest": ("resnest14d", 32, {}),
    "resnet": ("test_resnet", 32, {}),
    "resnetv2": ("resnetv2_18", 32, {"layers": (1, 1, 1, 1)}),
    "rexnet": ("rexnet_100", 32, {}),
    "senet": ("legacy_seresnet18", 32, {}),
    "sequencer": ("sequencer2d_s", 32, {"img_size": 32, "layers": (1, 1, 1, 1), "embed_dims": (16, 16, 16, 16),
                  "hidden_sizes": (4, 8, 8, 8)}),
    "shvit": ("shvit_s1", 64, {}),
    "sknet": ("skresnet18", 32, {}),
    "starnet": ("starnet_s050", 32, {}),
    "swiftformer": ("swiftformer_xs", 32, {}),
    "swin_transformer": ("swin_tiny_patch4_window7_224", 56, {"img_size": 56, "embed_dim": 8, "depths": (2, 2),
                         "num_heads": (1, 2)}),
    "swin_transformer_v2": ("swinv2_tiny_window8_256", 64, {"img_size": 64, "embed_dim": 8, "depths": (2, 2),
                            "num_heads": (1, 2)}),
    "swin_transformer_v2_cr": ("swinv2_cr_tiny_224", 64, {"img_size": 64, "embed_dim": 8, "depths": (2, 2),
                               "num_heads": (1, 2)}),
    "tiny_vit": ("tiny_vit_5m_224", 64, {}),
    "tnt": ("tnt_s_patch16_224", 32, {"img_size": 32, "depth": 2}),
    "tresnet": ("tresnet_m", 64, {"layers": (1, 1, 1, 1), "width_factor": 0.25}),
    "twins": ("twins_svt_small", 64, {"img_size": 64, "embed_dims": (8, 16, 16, 32), "num_heads": (1, 1, 2, 2),
              "depths": (1, 1, 1, 1)}),
    "visformer": ("visformer_tiny", 224, {}),
    "vision_transformer": ("test_vit", 32, {}),
    "vision_transformer_hybrid": ("vit_tiny_r_s16_p8_224", 64, {"img_size": 64, "depth": 2}),
    "vision_transformer_relpos": ("test_vit_relpos", 32, {}),
    "vision_transformer_sam": ("samvit_base_patch16", 32, {"img_size": 32, "embed_dim": 24, "depth": 2,
                               "num_heads": 2, "global_attn_indexes": (1,)}),
    "vovnet": ("ese_vovnet19b_slim_dw", 32, {}),
    "xception_aligned": ("xception41", 64, {}),
    "xcit": ("xcit_nano_12_p16_224", 32, {}),
}  # fmt: skip


@config
class SmallTimm(Backbone):
    """A network of timm made smaller by its own options."""

    model: str = option(help="timm's name of the network")
    options: dict[str, Any] = option(help="what `timm.create_model` is given further")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        import timm

        network = timm.create_model(self.model, num_classes=0, in_chans=input_shape[0], **self.options)
        width = getattr(network, "head_hidden_size", None) or network.num_features
        return Shared(network, linear_heads(cast(int, width), (), outputs))


def _timm_switch(network: nn.Module, reentrant: bool) -> bool:
    import timm

    try:
        cast(Any, network).encoder.set_grad_checkpointing(True)
    except (AssertionError, AttributeError, NotImplementedError):
        return False
    cast(Any, timm.layers).set_reentrant_ckpt(reentrant)
    return True


def _of_timm() -> list[Case]:
    return [
        Case(
            library="timm",
            family=family,
            network=name,
            backbone=SmallTimm(model=name, options=options) if options else TimmBackbone(model=name),
            shape=(3, side, side),
            outputs=HEADS,
            switch=_timm_switch,
        )
        for family, (name, side, options) in TIMM.items()
    ]


# --------------------------------------------------------------------------------------------------------- torchvision

TORCHVISION: dict[str, tuple[str, int]] = {
    "densenet": ("densenet121", 32),
    "efficientnet": ("efficientnet_b0", 32),
    "efficientnetv2": ("efficientnet_v2_s", 64),
    "googlenet": ("googlenet", 64),
    "inception": ("inception_v3", 96),
    "mnasnet": ("mnasnet0_5", 32),
    "mobilenetv2": ("mobilenet_v2", 32),
    "mobilenetv3": ("mobilenet_v3_small", 32),
    "regnet": ("regnet_y_400mf", 32),
    "resnet": ("resnet18", 32),
    "resnext": ("resnext50_32x4d", 32),
    "shufflenetv2": ("shufflenet_v2_x0_5", 32),
    "squeezenet": ("squeezenet1_1", 32),
}
"""Classification networks as they are: name and side of the images."""


def _narrow(network: Any, width: int) -> Any:
    """A network whose classifier has narrow layers: with the usual ones it has a hundred million weights."""
    classifier = network.classifier
    places = [i for i, layer in enumerate(classifier) if isinstance(layer, nn.Linear)]
    before = classifier[places[0]].in_features
    for place in places:
        classifier[place] = nn.Linear(before, width)
        before = width
    return network


SMALL: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "alexnet": (lambda: _narrow(torchvision.models.alexnet(), 16), 64),
    "vgg": (lambda: _narrow(torchvision.models.vgg11(), 16), 32),
    "vgg with batch norm": (lambda: _narrow(torchvision.models.vgg11_bn(), 16), 32),
    "convnext": (
        lambda: torchvision.models.ConvNeXt(
            [CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 2)],
            num_classes=16,
        ),
        32,
    ),
    "maxvit": (
        lambda: MaxVit((64, 64), 8, 2, [8, 16], [1, 1], 8, 0.0, num_classes=16),
        64,
    ),
    "swin": (lambda: torchvision.models.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=16), 32),
    "swinv2": (
        lambda: torchvision.models.SwinTransformer(
            [4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=16,
            block=torchvision.models.swin_transformer.SwinTransformerBlockV2,
            downsample_layer=torchvision.models.swin_transformer.PatchMergingV2,
        ),
        32,
    ),
    "vit": (lambda: torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=16), 32),
    "wide resnet": (
        lambda: torchvision.models.ResNet(
            torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], num_classes=16, width_per_group=128
        ),
        32,
    ),
}  # fmt: skip
"""Families whose members are large: a small network of the same class, its last layer as features."""

SEGMENTATION: dict[str, tuple[Callable[..., nn.Module], dict[str, int]]] = {
    "deeplabv3": (deeplabv3_mobilenet_v3_large, {"out": 4, "aux": 4}),
    "fcn": (fcn_resnet50, {"out": 4, "aux": 4}),
    "lraspp": (lraspp_mobilenet_v3_large, {"out": 4}),
}


@config
class SmallTorchvision(Backbone):
    """One of `SMALL` with heads, or of `SEGMENTATION` as it is."""

    family: str = option(help="its name")

    def build(self, input_shape: tuple[int, ...], outputs: Mapping[str, int]) -> nn.Module:
        if self.family in SEGMENTATION:
            options = {"aux_loss": True} if "aux" in outputs else {}
            return SEGMENTATION[self.family][0](
                weights=None, weights_backbone=None, num_classes=outputs["out"], **options
            )
        network = SMALL[self.family][0]()
        return Shared(network, linear_heads(16, (), outputs))


def _densenet_switch(network: nn.Module, reentrant: bool) -> bool:
    layers = [module for module in network.modules() if isinstance(module, _DenseLayer)]
    for layer in layers:
        layer.memory_efficient = True
    return bool(layers) and not reentrant


def _of_torchvision() -> list[Case]:
    whole = {family: TorchvisionBackbone(model=name) for family, (name, _) in TORCHVISION.items()}
    made: dict[str, tuple[Backbone, str, int, dict[str, int]]] = {
        family: (whole[family], name, side, HEADS) for family, (name, side) in TORCHVISION.items()
    }
    for family, (_, side) in SMALL.items():
        made[family] = SmallTorchvision(family=family), "a small one", side, HEADS
    for family, (builder, outputs) in SEGMENTATION.items():
        made[family] = SmallTorchvision(family=family), builder.__name__, 64, outputs
    return [
        Case(
            library="torchvision",
            family=family,
            network=name,
            backbone=backbone,
            shape=(3, side, side),
            outputs=outputs,
            switch=_densenet_switch,
        )
        for family, (backbone, name, side, outputs) in sorted(made.items())
    ]


# -------------------------------------------------------------------------------------------------------- transformers

_TEXT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 40}
_PAD = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_DECODER = {**_TEXT, **_PAD, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 32}
_SEQ2SEQ = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2,
            "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "vocab_size": 40, **_PAD,
            "max_position_embeddings": 32}  # fmt: skip
_IMAGES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
           "image_size": 32, "patch_size": 8}  # fmt: skip
_STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1], "embedding_size": 8}
_T5 = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "vocab_size": 40, **_PAD}
_SOUND = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
          "conv_dim": [8, 8], "conv_stride": [4, 4], "conv_kernel": [8, 4], "num_feat_extract_layers": 2,
          "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "mask_time_prob": 0.0, "layerdrop": 0.0,
          "feat_extract_norm": "layer", "do_stable_layer_norm": False}  # fmt: skip

TOKENS: dict[str, dict[str, Any]] = {
    "albert": {**_TEXT, "embedding_size": 8},
    "bart": _SEQ2SEQ,
    "bert": _TEXT,
    "big_bird": {**_TEXT, "attention_type": "original_full", "max_position_embeddings": 32},
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2, "vocab_size": 40, **_PAD},
    "camembert": {**_TEXT, **_PAD},
    "codegen": {"n_embd": 16, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "vocab_size": 40, "n_positions": 32, **_PAD},
    "convbert": {**_TEXT, "embedding_size": 16, "head_ratio": 1, "conv_kernel_size": 3},
    "ctrl": {"n_embd": 16, "n_layer": 2, "n_head": 2, "dff": 24, "vocab_size": 40, "n_positions": 32},
    "deberta": {**_TEXT, "pos_att_type": ["c2p", "p2c"], "relative_attention": True, "max_position_embeddings": 32},
    "deberta-v2": {**_TEXT, "pos_att_type": ["c2p", "p2c"], "relative_attention": True, "conv_kernel_size": 3},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "vocab_size": 40},
    "electra": {**_TEXT, "embedding_size": 8},
    "ernie": _TEXT,
    "falcon": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 40, **_PAD},
    "fnet": _TEXT,
    "funnel": {"d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 24, "block_sizes": [1, 1], "block_repeats": [1, 1],
               "vocab_size": 40, "architectures": ["FunnelBaseModel"]},
    "gemma": _DECODER,
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 40, "n_positions": 32, **_PAD},
    "gpt_neo": {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]],
                "vocab_size": 40, "max_position_embeddings": 32, **_PAD},
    "gpt_neox": {**_TEXT, **_PAD},
    "gptj": {"n_embd": 16, "n_layer": 2, "n_head": 2, "rotary_dim": 4, "vocab_size": 40, "n_positions": 32, **_PAD},
    "ibert": {**_TEXT, "quant_mode": False},
    "llama": _DECODER,
    "longformer": {**_TEXT, "attention_window": [4, 4]},
    "longt5": {**_T5, "local_radius": 3},
    "mamba": {"hidden_size": 16, "state_size": 4, "num_hidden_layers": 2, "vocab_size": 40, **_PAD},
    "marian": _SEQ2SEQ,
    "megatron-bert": _TEXT,
    "mistral": _DECODER,
    "mixtral": {**_DECODER, "num_local_experts": 3},
    "mobilebert": {**_TEXT, "embedding_size": 8, "intra_bottleneck_size": 8, "true_hidden_size": 8},
    "modernbert": {**_TEXT, **_PAD, "cls_token_id": 1, "sep_token_id": 2},
    "mpnet": _TEXT,
    "mt5": _T5,
    "nystromformer": {**_TEXT, "num_landmarks": 2, "segment_means_seq_len": 8},
    "olmo": _DECODER,
    "opt": {**_TEXT, **_PAD, "ffn_dim": 24, "word_embed_proj_dim": 16},
    "pegasus": _SEQ2SEQ,
    "phi": _DECODER,
    "qwen2": _DECODER,
    "reformer": {"hidden_size": 16, "attention_head_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2,
                 "feed_forward_size": 24, "axial_pos_shape": [2, 4], "axial_pos_embds_dim": [8, 8], "vocab_size": 40,
                 "attn_layers": ["local", "local"], "local_attn_chunk_length": 4, **_PAD},
    "rembert": {**_TEXT, "input_embedding_size": 8, "output_embedding_size": 8},
    "roberta": {**_TEXT, **_PAD, "max_position_embeddings": 32},
    "roformer": {**_TEXT, "embedding_size": 16},
    "rwkv": {"hidden_size": 16, "num_hidden_layers": 2, "vocab_size": 40, "attention_hidden_size": 16, **_PAD},
    "rwkv without rescaling": {"hidden_size": 16, "num_hidden_layers": 2, "vocab_size": 40,
                               "attention_hidden_size": 16, "rescale_every": 0, **_PAD},
    "squeezebert": {**_TEXT, "embedding_size": 16},
    "t5": _T5,
    "xglm": {"d_model": 16, "num_layers": 2, "attention_heads": 2, "ffn_dim": 24, "vocab_size": 40, **_PAD},
    "xlm": {"emb_dim": 16, "n_layers": 2, "n_heads": 2, "n_words": 40, "max_position_embeddings": 32},
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24, "vocab_size": 40},
}  # fmt: skip
"""Configurations of networks that read tokens, by model_type and what is special about them."""

PICTURES: dict[str, dict[str, Any]] = {
    "beit": _IMAGES,
    "convnext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "convnextv2": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "deit": _IMAGES,
    "dinov2": {**_IMAGES, "mlp_ratio": 2},
    "focalnet": {"image_size": 32, "embed_dim": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "focal_levels": [1, 1],
                 "focal_windows": [3, 3]},
    "hiera": {"image_size": [32, 32], "patch_size": [3, 3], "patch_stride": [4, 4], "patch_padding": [1, 1],
              "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "masked_unit_size": [4, 4], "num_query_pool": 1,
              "query_stride": [2, 2]},
    "levit": {"image_size": 32, "hidden_sizes": [16, 24, 32], "num_attention_heads": [1, 2, 2], "depths": [1, 1, 1],
              "key_dim": [8, 8, 8], "kernel_size": 3, "down_ops": [["Subsample", 8, 2, 2, 2, 2]] * 2},
    "mobilenet_v2": {"image_size": 32, "depth_multiplier": 0.25},
    "mobilevit": {"image_size": 64, "hidden_sizes": [16, 16, 16], "neck_hidden_sizes": [4, 4, 8, 8, 8, 8, 16],
                  "num_attention_heads": 2},
    "poolformer": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
    "pvt": {"image_size": 32, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2,
            2]},
    "regnet": {**_STAGES, "groups_width": 4},
    "resnet": _STAGES,
    "segformer": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2],
                  "decoder_hidden_size": 8},
    "swin": {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [2, 2], "num_heads": [1, 2],
             "window_size": 2},
    "swinv2": {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [2, 2], "num_heads": [1, 2],
               "window_size": 2},
    "vit": _IMAGES,
    "vit_msn": _IMAGES,
}  # fmt: skip
"""The same for images."""

SINGLE = {"levit", "mixtral", "xglm"}
"""Networks of transformers that do not run in double precision by themselves."""

SOUND: dict[str, dict[str, Any]] = {
    "data2vec-audio": {**_SOUND, "num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 3},
    "hubert": _SOUND,
    "wav2vec2": _SOUND,
    "wavlm": {**_SOUND, "num_buckets": 8, "max_bucket_distance": 8},
}
"""The same for sound."""


def _transformers_switch(network: nn.Module, reentrant: bool) -> bool:
    encoder = cast(Any, network).encoder
    enable = getattr(encoder, "activation_checkpointing_enable", None) or encoder.gradient_checkpointing_enable
    try:
        enable({"use_reentrant": reentrant})
    except ValueError:
        return False
    return True


def _of_transformers() -> list[Case]:
    made = [
        *((kind, given, (8,), 40) for kind, given in TOKENS.items()),
        *((kind, given, _images(given), 0) for kind, given in PICTURES.items()),
        *((kind, given, (160,), 0) for kind, given in SOUND.items()),
    ]
    return [
        Case(
            library="transformers",
            family=kind,
            network="tokens" if tokens else "images" if len(shape) == 3 else "sound",
            backbone=TransformersBackbone(config={"model_type": kind.split()[0], **given}),
            shape=shape,
            tokens=tokens,
            outputs=HEADS,
            switch=_transformers_switch,
            dtype=torch.float32 if kind in SINGLE else torch.float64,
        )
        for kind, given, shape, tokens in made
    ]


def _images(given: Mapping[str, Any]) -> tuple[int, ...]:
    size = given.get("image_size", 32)
    side = size[0] if isinstance(size, list) else size
    return 3, side, side
