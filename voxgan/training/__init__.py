"""The one training loop, on one device or many: phases, precision, moving average, record, save, resume.

It knows no model: a `Model` says which phases a step has and what each one's loss is.
"""

from voxgan.training.run import Training, resume, train

__all__ = ["Training", "resume", "train"]
