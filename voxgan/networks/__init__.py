"""One architecture a file. Networks import torch and nothing of ours."""

from voxgan.networks.discriminator import Discriminator
from voxgan.networks.efficientnet import EfficientNetEncoder
from voxgan.networks.generator import Generator
from voxgan.networks.image_encoder import ImageEncoder
from voxgan.networks.residual import ResidualDiscriminator, ResidualGenerator
from voxgan.networks.shape_encoder import ShapeEncoder

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "IMAGE_ENCODERS",
    "NETWORKS",
    "Discriminator",
    "EfficientNetEncoder",
    "Generator",
    "ImageEncoder",
    "ResidualDiscriminator",
    "ResidualGenerator",
    "ShapeEncoder",
]

NETWORKS = {
    "paper": {"generator_norm": "batch", "discriminator_norm": "batch"},
    "residual": {"generator_norm": "batch", "discriminator_norm": "none"},
}
"""The networks by name, and the norms that each has where nobody asks for others."""

GENERATORS: dict[str, type[Generator] | type[ResidualGenerator]] = {"paper": Generator, "residual": ResidualGenerator}
DISCRIMINATORS: dict[str, type[Discriminator] | type[ResidualDiscriminator]] = {
    "paper": Discriminator,
    "residual": ResidualDiscriminator,
}

IMAGE_ENCODERS: dict[str, type[ImageEncoder] | type[EfficientNetEncoder]] = {
    "paper": ImageEncoder,
    "efficientnet": EfficientNetEncoder,
}
