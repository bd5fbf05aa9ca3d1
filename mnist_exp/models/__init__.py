"""Models: fitting in stages, the pipeline that is stored, its file and its checks."""

from mnist_exp.models._bounds import bound
from mnist_exp.models._calibration import Calibrated, Calibrator, Isotonic, Temperature, as_logits
from mnist_exp.models._fast_forest import Coded, grows_faster
from mnist_exp.models._files import dump_model, load_model
from mnist_exp.models._fitting import (
    OnStage,
    assemble,
    check_parameters,
    fit,
    in_blocks,
    predict,
    uncalibrated,
)
from mnist_exp.models._out_of_fit import Training, Unseen, calibrate, dense, hold_out
from mnist_exp.models._random_features import RandomFeatures

__all__ = [
    "Calibrated",
    "Calibrator",
    "Coded",
    "Isotonic",
    "OnStage",
    "RandomFeatures",
    "Temperature",
    "Training",
    "Unseen",
    "as_logits",
    "assemble",
    "bound",
    "calibrate",
    "check_parameters",
    "dense",
    "dump_model",
    "fit",
    "grows_faster",
    "hold_out",
    "in_blocks",
    "load_model",
    "predict",
    "uncalibrated",
]

for _stored in (Calibrated, Isotonic, RandomFeatures, Temperature):
    _stored.__module__ = __name__  # the address that configurations and model files hold
