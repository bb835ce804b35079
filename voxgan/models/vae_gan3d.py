"""3D-VAE-GAN: shapes from one photo (Wu et al. 2016, arXiv:1610.07584, §3.3 and eq. 2–5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voxgan.draws import moved
from voxgan.errors import ImageError, UsageError, nearest
from voxgan.models.model import Background, Batch, Config, Model, Phase, bernoulli
from voxgan.networks import ImageEncoder
from voxgan.voxels import Shapes

__all__ = ["MODEL", "VAEGAN3D", "VAEGANConfig", "kl_divergence"]

_FIRST_LOG_VARIANCE = -4.0
_RECONSTRUCTIONS = ("l2", "bce_dice")


@dataclass(frozen=True)
class VAEGANConfig(Config):
    """Options of 3D-VAE-GAN beside those of every model.

    Attributes
    ----------
    encoder_width : int
        Channels of the image encoder's first convolution; 0 takes `width`.
    encoder_rate : float
        Adam's rate for the encoder.
    reconstruction : {"bce_dice", "l2"}
        ``l2`` is the paper's ‖G(E(y)) − x‖₂; ``bce_dice`` is binary cross-entropy + ½ (1 − dice), which neither
        drowns thin parts nor rewards an empty grid.
    reconstruction_weight, kl_weight, adversarial_weight : float
        α2, α1 and the weight of the adversarial term.
    joint : bool
        Train E and G with one optimiser in one phase; the paper moves E, then G.
    prior_share : float
        Joint only: shapes from noise for each shape from a photo, in (0, 1].
    """

    prior: str = "normal"
    encoder_width: int = 0
    encoder_rate: float = 3e-4
    reconstruction: str = "bce_dice"
    reconstruction_weight: float = 1.0
    kl_weight: float = 1e-4
    adversarial_weight: float = 1.0
    joint: bool = True
    prior_share: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        super().__post_init__()
        if self.reconstruction not in _RECONSTRUCTIONS:
            raise UsageError(
                f"reconstruction={self.reconstruction!r}; {nearest(self.reconstruction, _RECONSTRUCTIONS)}"
            )
        for name in ("encoder_rate", "reconstruction_weight", "kl_weight", "adversarial_weight"):
            if not 0 <= getattr(self, name) < np.inf:
                raise UsageError(f"{name}={getattr(self, name)}: expected a number from 0 up")
        if not 0 < self.prior_share <= 1:
            raise UsageError(f"prior_share={self.prior_share}: expected more than 0 and at most 1")
        if self.encoder_width < 0:
            raise UsageError(f"encoder_width={self.encoder_width}: expected 0 or more")


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) ‖ N(0, I)) of each row, (B,), summed over the L numbers.

    Examples
    --------
    >>> float(kl_divergence(torch.ones(1, 2), torch.zeros(1, 2)))
    1.0
    """
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1)


def _checked(photos: NDArray[Any] | Tensor) -> Tensor:
    """Return a batch of pictures as the encoder takes them, or say what is wrong with it."""
    size = ImageEncoder.image_size
    kind, shape = str(photos.dtype), tuple(photos.shape)
    if shape[1:] != (3, size, size) or not len(photos) or "float" not in kind:
        raise ImageError(f"pictures as {kind} {shape}; expected floats in [0, 1], (B, 3, {size}, {size})")
    images = torch.as_tensor(photos, dtype=torch.float32)
    if not bool(((images >= -1e-3) & (images <= 1 + 1e-3)).all()):
        raise ImageError("pictures with numbers outside [0, 1], or not finite; divide 8-bit values by 255")
    return images


def _start_certain(encoder: ImageEncoder) -> None:
    """Begin with a small, nearly constant variance: at variance 1 the noise drowns all that the photo says."""
    last = cast(nn.Conv2d, encoder.layers[-1])
    assert last.bias is not None
    with torch.no_grad():
        last.weight[encoder.latent :] *= 0.01
        last.bias[encoder.latent :] = _FIRST_LOG_VARIANCE


class VAEGAN3D(Model):
    """Image encoder, generator and discriminator.

    Parameters
    ----------
    config : VAEGANConfig

    Examples
    --------
    >>> model = VAEGAN3D(VAEGANConfig(resolution=16, width=4))
    >>> model.reconstruct(np.zeros((64, 64, 3), np.uint8))
    Shapes(1 shape, 16³)
    """

    Config: ClassVar[type[Config]] = VAEGANConfig
    name: ClassVar[str] = "vae_gan3d"
    averaged: ClassVar[tuple[str, ...]] = ("generator", "encoder")
    conditions: ClassVar[tuple[str, ...]] = ("image",)

    def __init__(self, config: VAEGANConfig) -> None:
        super().__init__(config)
        self._make_players()
        self.encoder = ImageEncoder(config.encoder_width or config.width, config.latent)
        _start_certain(self.encoder)

    @property
    def options(self) -> VAEGANConfig:
        """`config` with its own type."""
        return cast(VAEGANConfig, self.config)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """D behind the gate; then E, then G, or both at once."""
        c = self.options
        if c.joint:
            rates = {"encoder": c.encoder_rate, "generator": c.generator_rate}
            if c.adversarial_weight == 0:  # no critic to wait for
                return (Phase("autoencoder", rates, c.beta1, beta2=c.beta2, optimizer=c.optimizer),)
            return self._discriminator_phase(), self._other_phase("autoencoder", rates)
        return (
            self._discriminator_phase(),
            self._other_phase("encoder", {"encoder": c.encoder_rate}),
            self._other_phase("generator", {"generator": c.generator_rate}),
        )

    def loss(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        """Return eq. 2's terms for one phase: adversarial, α1 KL, α2 reconstruction."""
        if phase == "discriminator":
            return self._discriminator_loss(batch)
        if phase == "autoencoder":
            return self._joint_loss(batch)
        return self._encoder_loss(batch) if phase == "encoder" else self._generator_loss(batch)

    def _encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return z drawn from q(z|y), (B, L), and its KL to the prior, averaged over the batch."""
        mean, log_variance = (t.float() for t in self.encoder(batch["image"]))
        log_variance = log_variance.clamp(-20, 20)
        noise = moved(batch.draws.of("posterior").normal(mean.shape[1]), mean.device)
        z = mean + (0.5 * log_variance).exp() * noise
        return z, kl_divergence(mean, log_variance).mean()

    def _reconstruction(self, logits: Tensor, occupancy: Tensor) -> Tensor:
        probability, real = torch.sigmoid(logits.float()), occupancy.float()
        if self.options.reconstruction == "l2":
            norm: Tensor = torch.linalg.vector_norm((probability - real).flatten(1), dim=1)
            return norm.mean()
        overlap = (probability * real).flatten(1).sum(1)
        size = probability.flatten(1).sum(1) + real.flatten(1).sum(1)
        dice = (2 * overlap + 1) / (size + 1)
        return bernoulli(logits, occupancy) + 0.5 * (1 - dice.mean())

    def _from_prior(self, count: int) -> Tensor:
        """Return for which shapes of a batch one is made from the prior, too: whole packs, spread over the batch."""
        m, wanted = self.config.pack, count
        if self.options.joint:
            wanted = 0
            if self.options.adversarial_weight > 0:
                wanted = max(m, int(count * self.options.prior_share) // m * m)
        return torch.arange(wanted, device=self.device) * count // max(wanted, 1)

    def _forward(self, batch: Batch) -> None:
        """Compute what the phases of a step share, once: shapes from noise and, if joint, from the photos."""
        if "generated" in batch:
            return
        moves = batch.serves("autoencoder" if self.options.joint else "generator")
        if not moves:  # the critic's own steps need no more than what it looks at
            with torch.no_grad():
                noise = self.batch_latents(batch)[self._from_prior(len(batch["occupancy"]))]
                batch["generated"] = self.generator(noise)
            return
        with torch.enable_grad():
            trained = (self.generator, self.encoder) if self.options.joint else (self.generator,)
            for network in trained:
                network.requires_grad_(True)
            noise = self.batch_latents(batch)[self._from_prior(len(batch["occupancy"]))]
            if not self.options.joint:
                batch["generated"] = self.generator(noise)
                return
            z, batch["kl"] = self._encode(batch)
            logits = self.generator.logits(torch.cat([z, noise]))
            batch["logits"], generated = torch.split(logits, [len(z), len(noise)])
            batch["generated"] = torch.sigmoid(generated)

    def _discriminator_loss(self, batch: Batch) -> dict[str, Tensor]:
        self._forward(batch)
        rows = self._from_prior(len(batch["occupancy"]))
        return self.discriminator_terms(batch["occupancy"][rows], batch["generated"], batch.draws, rows=rows)

    def _opposite(self, batch: Batch) -> Tensor:
        """Return the real shapes that stand against those from noise."""
        return batch["occupancy"][self._from_prior(len(batch["occupancy"]))]

    def _joint_loss(self, batch: Batch) -> dict[str, Tensor]:
        self._forward(batch)
        c = self.options
        figures = {
            "kl": batch["kl"],
            "reconstruction": self._reconstruction(batch["logits"], batch["occupancy"]),
        }
        total = c.kl_weight * figures["kl"] + c.reconstruction_weight * figures["reconstruction"]
        if c.adversarial_weight > 0:
            figures |= self.generator_terms(batch["generated"], self._opposite(batch))
            total = total + c.adversarial_weight * figures["adversarial"]
        return {"total": total, **figures}

    def _encoder_loss(self, batch: Batch) -> dict[str, Tensor]:
        z, kl = self._encode(batch)
        batch["z"] = z.detach()
        reconstruction = self._reconstruction(self.generator.logits(z), batch["occupancy"])
        total = self.options.kl_weight * kl + self.options.reconstruction_weight * reconstruction
        return {"total": total, "kl": kl, "reconstruction": reconstruction}

    def _generator_loss(self, batch: Batch) -> dict[str, Tensor]:
        self._forward(batch)
        reconstruction = self._reconstruction(self.generator.logits(batch["z"]), batch["occupancy"])
        adversarial_term = self.generator_terms(batch["generated"], self._opposite(batch))["adversarial"]
        c = self.options
        total = c.reconstruction_weight * reconstruction + c.adversarial_weight * adversarial_term
        return {"total": total, "reconstruction": reconstruction, "adversarial": adversarial_term}

    def encode(self, photos: Any, background: Background = "auto") -> Tensor:
        """Return the latent means of photos, (B, L).

        Parameters
        ----------
        photos : path, picture, array, or a sequence of them
            See `voxgan.images.photo`; an array (B, 3, 256, 256) in [0, 1] is taken as it is.
        background : {"auto", "keep", "remove"}
            What to do with the background.
        """
        if not hasattr(self, "encoder"):
            raise UsageError("these weights hold no image encoder; use a model saved with it, as load('furniture')")
        if isinstance(photos, np.ndarray | Tensor) and photos.ndim == 4:
            images = _checked(photos)
        else:
            from voxgan.images import photo

            many = photos if isinstance(photos, Sequence) and not isinstance(photos, str | Path) else [photos]
            if not len(many):
                raise ImageError("no picture given; expected one or more")
            size = ImageEncoder.image_size
            images = torch.from_numpy(np.stack([photo(one, size=size, background=background) for one in many]))
        with self.sampling():
            mean: Tensor = self.encoder(images.to(self.device))[0]
        return mean.clone()

    def encode_shapes(self, occupancy: Tensor | NDArray[Any], num_views: int = 4, seed: int = 0) -> Tensor:
        """Return the latent means of views drawn of shapes that are known, (B, V, L).

        Parameters
        ----------
        occupancy : Tensor or array, (B, R, R, R)
        num_views : int
            V views of each, on white, as people hold cameras; drawn by `voxgan.raycast`.
        seed : int
            Of cameras, materials and light.
        """
        from voxgan.batches import photos
        from voxgan.raycast import draw_views, framed, random_cameras

        grids = torch.as_tensor(occupancy, dtype=torch.float32, device=self.device)
        many = grids.repeat_interleave(num_views, dim=0)
        generator = torch.Generator().manual_seed(seed)
        cameras = framed(many, random_cameras(len(many), generator).to(self.device))
        views = draw_views(many, cameras, generator).permute(0, 2, 3, 1)
        mirrored = torch.zeros(len(many), dtype=torch.bool, device=self.device)
        return self.encode(photos(views, None, mirrored, augment=False)).reshape(len(grids), num_views, -1)

    def reconstruct(self, photo: Any, background: Background = "auto") -> Shapes:
        """Make one shape for each photo.

        Parameters
        ----------
        photo : path, picture, array, or a sequence of them
        background : {"auto", "keep", "remove"}
            "auto" uses the picture's alpha, or removes a plain background where there is none.

        Returns
        -------
        Shapes
            Occupancy (B, R, R, R).

        Raises
        ------
        ImageError, StorageError
            A picture that cannot be used, or not be read.
        """
        return self.decode(self.encode(photo, background))


MODEL = VAEGAN3D
