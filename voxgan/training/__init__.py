"""The one training loop, on one device or many: phases, precision, moving average, record, save, resume.

It knows no model: a `Model` says which phases a step has and what each one's loss is.
"""

from voxgan.training.dry_run import Estimate, estimate
from voxgan.training.options import Training
from voxgan.training.report import write_report
from voxgan.training.run import resume, train
from voxgan.training.signs import TrainingWarning

__all__ = ["Estimate", "Training", "TrainingWarning", "estimate", "resume", "train", "write_report"]
