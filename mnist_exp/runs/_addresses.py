"""Classes that moved: run folders of earlier versions name them by their old addresses."""

from typing import Any

MOVED = {  # version 0.1.0 -> now
    "mnist_exp.dictionary.Dictionary": "mnist_exp.features.Dictionary",
    "mnist_exp.reduction.Reduced": "mnist_exp.features.Reduced",
    "mnist_exp.random_features.RandomFeatures": "mnist_exp.models.RandomFeatures",
}


def current_targets(config: Any) -> Any:
    """A configuration, as plain data, with every `_target_` that moved at its new address.

    What YAML's aliases share stays shared: unfolded, a few lines of them would fill any memory.
    """
    converted: dict[int, Any] = {}

    def convert(node: Any) -> Any:
        if not isinstance(node, dict | list):
            return node
        if id(node) not in converted:
            converted[id(node)] = (
                [convert(item) for item in node]
                if isinstance(node, list)
                else {key: address(key, convert(value)) for key, value in node.items()}
            )
        return converted[id(node)]

    def address(key: Any, value: Any) -> Any:
        return MOVED.get(value, value) if key == "_target_" and isinstance(value, str) else value

    return convert(config)
