"""LoRA by peft: the head and the adapters learn. An adapter is a product of two low-rank matrices beside a weight.

A training with LoRA has two models. The learning model has adapters. The exposed model has no adapters; its weights are
the merged weights. Embeddings, checkpoints and kept weights come from the exposed model, so they agree bit by bit.

References:
    Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, arXiv:2106.09685.
"""

import copy
from dataclasses import replace

import torch

from core.domain.families import FAMILIES
from core.domain.spec import TrainSpec
from core.errors import InvalidSpecError
from core.learn import families
from core.learn.backbones import Backbone
from core.learn.randomness import derived_seed

_ADAPTER = "default"
_FIELD = "train.lora"


def is_adapter(name: str) -> bool:
    """True if the parameter of this name belongs to an adapter."""
    return ".lora_" in name


def adapted(backbone: Backbone, spec: TrainSpec) -> Backbone:
    """Make the learning model: a copy of the model with new adapters. Without `spec.lora`, the model itself.

    The product of a new adapter is zero, so the copy has the same outputs. The same arguments give the same weights;
    torch's global random state does not change.

    Args:
        backbone: the model without adapters.
        spec: LoRA and seed of the training.

    Raises:
        InvalidSpecError: peft is not installed, or the model's family is not registered.
    """
    if spec.lora is None:
        return backbone
    family = families.family_of(backbone.model)
    if family is None:
        names = ", ".join(family.name for family in FAMILIES.values())
        raise InvalidSpecError(
            f"The layers of {backbone.model_id} that LoRA adapts are not known: leave lora out, or choose a model of "
            f"one of these families: {names}.",
            field=_FIELD,
        )
    try:
        from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise InvalidSpecError(
            "LoRA requires peft, which is not installed in this service's worker: ask the operator for "
            "pip install 'embedreel[lora]', or leave lora out.",
            field=_FIELD,
        ) from error
    config = LoraConfig(
        r=spec.lora.rank,
        lora_alpha=spec.lora.alpha,
        lora_dropout=spec.lora.dropout,
        target_modules=list(family.lora_targets),
    )
    model, head = copy.deepcopy((backbone.model, backbone.head))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derived_seed("lora", spec.seed))
        inject_adapter_in_model(config, model, adapter_name=_ADAPTER)
    return replace(backbone, model=model, head=head)


def merge(learning: Backbone, *, into: Backbone) -> None:
    """Load the merged weights of the learning model, W + scaling * B @ A, into the exposed model.

    Args:
        learning: the result of `adapted`.
        into: the argument of `adapted`. If it is the same model as `learning`, there is nothing to merge.
    """
    if learning is into:
        return
    weights = {
        name.replace(".base_layer.", "."): value
        for name, value in learning.model.state_dict().items()
        if not is_adapter(name)
    }
    with torch.no_grad():
        for path, module in learning.model.named_modules():
            if hasattr(module, "get_delta_weight"):
                weights[f"{path}.weight"] = weights[f"{path}.weight"] + module.get_delta_weight(_ADAPTER)
    into.model.load_state_dict(weights)
