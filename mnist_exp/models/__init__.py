"""Models: fitting in stages, the pipeline that is stored, its file and its checks."""

from mnist_exp.models._bounds import bound
from mnist_exp.models._fast_forest import Coded, grows_faster
from mnist_exp.models._files import dump_model, load_model
from mnist_exp.models._fitting import OnStage, assemble, check_parameters, fit, in_blocks, predict
from mnist_exp.models._random_features import RandomFeatures

__all__ = [
    "Coded",
    "OnStage",
    "RandomFeatures",
    "assemble",
    "bound",
    "check_parameters",
    "dump_model",
    "fit",
    "grows_faster",
    "in_blocks",
    "load_model",
    "predict",
]

RandomFeatures.__module__ = __name__  # the address that configurations and model files hold
