"""LoRA, by peft: what learns is a product of two narrow matrices beside each weight, and the head.

A training has two models then: the one that learns, with adapters, and the one that everybody else sees, whose weights
are the merged ones. So embeddings, checkpoints and kept weights are those of a plain model, and agree bit by bit.

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
    """Whether a parameter of this name is an adapter's."""
    return ".lora_" in name


def adapted(backbone: Backbone, spec: TrainSpec) -> Backbone:
    """The model that learns: a copy with adapters that change nothing yet; without `spec.lora` the very same.

    The same arguments give the same weights; torch's own random state is left as it was.

    Raises:
        InvalidSpecError: peft is not installed, or the layers of this model are not known.
    """
    if spec.lora is None:
        return backbone
    family = families.family_of(backbone.model)
    if family is None:
        names = ", ".join(family.name for family in FAMILIES.values())
        raise InvalidSpecError(
            f"Which layers of {backbone.model_id} LoRA would adapt is not known: leave lora out, or choose a model of "
            f"one of these families: {names}.",
            field=_FIELD,
        )
    try:
        from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise InvalidSpecError(
            "LoRA wants peft, which this service's worker does not have: ask its operator for "
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
    """Give a model the weights that the one of `adapted` has come to."""
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
