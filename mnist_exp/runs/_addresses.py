"""Classes that moved: run folders of earlier versions name them by their old addresses."""

from typing import Any

MOVED = {  # version 0.1.0 -> now
    "mnist_exp.dictionary.Dictionary": "mnist_exp.features.Dictionary",
    "mnist_exp.reduction.Reduced": "mnist_exp.features.Reduced",
    "mnist_exp.random_features.RandomFeatures": "mnist_exp.models.RandomFeatures",
}


def current_targets(node: Any) -> Any:
    """A configuration, as plain data, with every `_target_` that moved at its new address."""
    if isinstance(node, list):
        return [current_targets(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: MOVED.get(value, value)
        if key == "_target_" and isinstance(value, str)
        else current_targets(value)
        for key, value in node.items()
    }
