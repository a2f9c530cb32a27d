"""The linear layers of a T5 that can carry experts."""
import re

from torch import nn

#: never lm_head, embeddings, norms or position bias
ROUTABLE = re.compile(
    r"(encoder|decoder)\.block\.\d+\.layer\.\d+\.(SelfAttention\.[qkvo]|EncDecAttention\.[qkvo]|DenseReluDense\.(wi|wi_0|wi_1|wo))")


def routable(model: nn.Module) -> dict[str, nn.Linear]:
    """Hugging Face name -> layer, in the order of a forward pass."""
    return {name: layer for name, layer in model.named_modules() if ROUTABLE.fullmatch(name)}


def replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, layer)
