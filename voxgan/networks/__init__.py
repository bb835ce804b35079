"""One architecture a file. Networks import torch and nothing of ours."""

from voxgan.networks.discriminator import Discriminator
from voxgan.networks.generator import Generator
from voxgan.networks.image_encoder import ImageEncoder

__all__ = ["Discriminator", "Generator", "ImageEncoder"]
