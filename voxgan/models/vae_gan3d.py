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

from voxgan.draws import Draws, moved
from voxgan.errors import ImageError, UsageError, nearest
from voxgan.models.model import Background, Batch, Config, Model, Phase
from voxgan.models.reconstruction import RECONSTRUCTIONS, levelled
from voxgan.networks import IMAGE_ENCODERS, EfficientNetEncoder, ImageEncoder, ShapeEncoder
from voxgan.voxels import Shapes

__all__ = ["MODEL", "VAEGAN3D", "VAEGANConfig", "kl_divergence"]

_FIRST_LOG_VARIANCE = -4.0
_STARTS = ("random", "imagenet")
_LOOKS = tuple((zoom, mirrored) for zoom in (1.0, 0.9, 1.12, 0.82) for mirrored in (False, True))


@dataclass(frozen=True)
class VAEGANConfig(Config):
    """Options of 3D-VAE-GAN beside those of every model.

    Attributes
    ----------
    image_encoder : {"paper", "efficientnet"}
        The paper's five convolutions on 256² pixels, or `voxgan.networks.EfficientNetEncoder` on 128².
    encoder_width : int
        Channels of the image encoder's first convolution; 0 takes `width`, or 32 for ``efficientnet``.
    encoder_start : {"random", "imagenet"}
        What the encoder's weights are at first. ``imagenet`` needs the extra of that name, and ``efficientnet`` at
        width 32, whose batch norm then keeps the statistics of real photos.
    encoder_frozen : int
        How many of that network's 17 layers, from the picture on, stay as ImageNet has left them.
    encoder_rate : float
        Adam's rate for the encoder.
    reconstruction : str
        One of `voxgan.models.reconstruction.RECONSTRUCTIONS`. ``l2`` is the paper's ‖G(E(y)) − x‖₂; ``bce_dice`` is
        binary cross-entropy + ½ (1 − dice), which neither drowns thin parts nor rewards an empty grid.
    reconstruction_weight, kl_weight, adversarial_weight : float
        α2, α1 and the weight of the adversarial term.
    feature_weight : float
        Joint only: weight of the mean squared difference between D's last volume on reconstruction and real shape
        (VAE-GAN's feature matching: Larsen et al. 2016, arXiv:1512.09300, eq. 7); 0 for none.
    teacher_weight : float
        Joint only: weight of ‖μ(photo) − μ(shape)‖², where a `voxgan.networks.ShapeEncoder`, the teacher, is trained as
        the other half of an autoencoder with G (Girdhar et al. 2016, arXiv:1603.08637); 0 for none.
    joint : bool
        Train E and G with one optimiser in one phase; the paper moves E, then G.
    prior_share : float
        Joint only: shapes from noise for each shape from a photo, in (0, 1].
    """

    prior: str = "normal"
    image_encoder: str = "paper"
    encoder_width: int = 0
    encoder_start: str = "random"
    encoder_frozen: int = 0
    encoder_rate: float = 3e-4
    reconstruction: str = "bce_dice"
    reconstruction_weight: float = 1.0
    kl_weight: float = 1e-4
    adversarial_weight: float = 1.0
    feature_weight: float = 0.0
    teacher_weight: float = 0.0
    joint: bool = True
    prior_share: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        super().__post_init__()
        for name, known in (
            ("image_encoder", tuple(IMAGE_ENCODERS)),
            ("encoder_start", _STARTS),
            ("reconstruction", tuple(RECONSTRUCTIONS)),
        ):
            if getattr(self, name) not in known:
                raise UsageError(f"{name}={getattr(self, name)!r}; {nearest(getattr(self, name), known)}")
        weights = ("reconstruction_weight", "kl_weight", "adversarial_weight", "feature_weight", "teacher_weight")
        for name in ("encoder_rate", *weights):
            if not 0 <= getattr(self, name) < np.inf:
                raise UsageError(f"{name}={getattr(self, name)}: expected a number from 0 up")
        if not 0 < self.prior_share <= 1:
            raise UsageError(f"prior_share={self.prior_share}: expected more than 0 and at most 1")
        if self.encoder_width < 0:
            raise UsageError(f"encoder_width={self.encoder_width}: expected 0 or more")
        if self.teacher_weight > 0 and not self.joint:
            raise UsageError(f"teacher_weight={self.teacher_weight}: the teacher learns with joint=true only")
        if self.encoder_start == "imagenet" and (self.image_encoder, self.first_channels) != ("efficientnet", 32):
            raise UsageError(
                f"encoder_start=imagenet with image_encoder={self.image_encoder} of width {self.first_channels}: there "
                "are such weights for image_encoder=efficientnet encoder_width=32 only"
            )
        if self.feature_weight > 0 and not (self.joint and self.adversarial_weight > 0):
            raise UsageError(
                f"feature_weight={self.feature_weight}: it looks through D's eyes, which are trained with joint=true "
                "and adversarial_weight above 0 only"
            )

        if self.encoder_frozen and (self.encoder_start != "imagenet" or not 0 <= self.encoder_frozen <= 17):
            raise UsageError(
                f"encoder_frozen={self.encoder_frozen}: expected 0, or with encoder_start=imagenet up to 17 layers"
            )

    @property
    def first_channels(self) -> int:
        """Channels of the image encoder's first convolution."""
        return self.encoder_width or (self.width if self.image_encoder == "paper" else 32)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) ‖ N(0, I)) of each row, (B,), summed over the L numbers.

    Examples
    --------
    >>> float(kl_divergence(torch.ones(1, 2), torch.zeros(1, 2)))
    1.0
    """
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1)


def _checked(photos: NDArray[Any] | Tensor, size: int) -> Tensor:
    """Return a batch of pictures as the encoder takes them, or say what is wrong with it."""
    kind, shape = str(photos.dtype), tuple(photos.shape)
    if shape[1:] != (3, size, size) or not len(photos) or "float" not in kind:
        raise ImageError(f"pictures as {kind} {shape}; expected floats in [0, 1], (B, 3, {size}, {size})")
    images = torch.as_tensor(photos, dtype=torch.float32)
    if not bool(((images >= -1e-3) & (images <= 1 + 1e-3)).all()):
        raise ImageError("pictures with numbers outside [0, 1], or not finite; divide 8-bit values by 255")
    return images


def _looked_at(pictures: Tensor, zoom: float, mirrored: bool) -> Tensor:
    """Return pictures (B, 3, S, S) from nearer (zoom above 1) or farther, on white, and left to right if mirrored."""
    place = torch.zeros(len(pictures), 2, 3)
    place[:, 0, 0], place[:, 1, 1] = (-1 if mirrored else 1) / zoom, 1 / zoom
    grid = nn.functional.affine_grid(place, list(pictures.shape), align_corners=False)
    dark = nn.functional.grid_sample(1 - pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return (1 - dark).clamp(0, 1)


def _start_certain(encoder: ImageEncoder | EfficientNetEncoder | ShapeEncoder) -> None:
    """Begin with a small, nearly constant variance: at variance 1 the noise drowns all that the photo says."""
    last = encoder.last
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
        self.encoder = IMAGE_ENCODERS[config.image_encoder](config.first_channels, config.latent)
        _start_certain(self.encoder)
        if isinstance(self.encoder, EfficientNetEncoder):
            self.encoder.keep_statistics = config.encoder_start == "imagenet"
            self.encoder.frozen = config.encoder_frozen
        if config.teacher_weight > 0:
            self.teacher = ShapeEncoder(config.resolution, config.discriminator_width or config.width, config.latent)
            _start_certain(self.teacher)

    @classmethod
    def image_size(cls, config: VAEGANConfig) -> int:
        """Return the side of the photos that the encoder looks at, in pixels."""
        return IMAGE_ENCODERS[config.image_encoder].image_size

    def begin(self) -> None:
        """Let the encoder begin with what ImageNet's photos have taught, if the config says so."""
        if self.options.encoder_start == "imagenet":
            from voxgan.imagenet import imagenet_weights

            cast(EfficientNetEncoder, self.encoder).load_imagenet(imagenet_weights())

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
            if c.teacher_weight > 0:
                rates["teacher"] = c.encoder_rate
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
        z, kl, batch["photo_means"] = self._posterior(self.encoder(batch["image"]), batch.draws.of("posterior"))
        return z, kl

    @staticmethod
    def _posterior(gaussian: tuple[Tensor, Tensor], draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        """Return z drawn from an encoder's Gaussians, (B, L), their mean KL to the prior, and their means, (B, L)."""
        mean, log_variance = (t.float() for t in gaussian)
        log_variance = log_variance.clamp(-20, 20)
        noise = moved(draws.normal(mean.shape[1]), mean.device)
        z = mean + (0.5 * log_variance).exp() * noise
        return z, kl_divergence(mean, log_variance).mean(), mean

    def _reconstruction(self, logits: Tensor, occupancy: Tensor) -> Tensor:
        return RECONSTRUCTIONS[self.options.reconstruction](logits, occupancy)

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
            trained: tuple[nn.Module, ...] = (self.generator, self.encoder) if self.options.joint else (self.generator,)
            if self.options.teacher_weight > 0:
                trained = (*trained, self.teacher)
            for network in trained:
                network.requires_grad_(True)
            noise = self.batch_latents(batch)[self._from_prior(len(batch["occupancy"]))]
            if not self.options.joint:
                batch["generated"] = self.generator(noise)
                return
            z, batch["kl"] = self._encode(batch)
            parts = [z, noise]
            if self.options.teacher_weight > 0:
                gaussian = self.teacher(batch["occupancy"])
                taught, batch["teacher_kl"], batch["shape_means"] = self._posterior(gaussian, batch.draws.of("teacher"))
                parts.append(taught)
            logits = self.generator.logits(torch.cat(parts))
            batch["logits"], generated, *rest = torch.split(logits, [len(part) for part in parts])
            batch["generated"] = torch.sigmoid(generated)
            if rest:
                batch["teacher_logits"] = rest[0]

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
        if c.teacher_weight > 0:
            taught = self._reconstruction(batch["teacher_logits"], batch["occupancy"])
            apart = (batch["photo_means"] - batch["shape_means"].detach()).square().sum(1).mean()
            figures |= {"teacher": taught, "apart": apart}
            total = total + c.kl_weight * batch["teacher_kl"] + c.reconstruction_weight * taught
            total = total + c.teacher_weight * apart
        if c.adversarial_weight > 0:
            figures |= self.generator_terms(batch["generated"], self._opposite(batch))
            total = total + c.adversarial_weight * figures["adversarial"]
        if c.feature_weight > 0:
            figures["features"] = self._feature_difference(batch["logits"], batch["occupancy"])
            total = total + c.feature_weight * figures["features"]
        return {"total": total, **figures}

    def _feature_difference(self, logits: Tensor, occupancy: Tensor) -> Tensor:
        """Return how far D's last volume on reconstructions is from that on the real shapes."""
        whole = len(logits) // self.config.pack * self.config.pack
        made = self.discriminator.features(self.packs(torch.sigmoid(logits.float())[:whole]))
        with torch.no_grad():
            real = self.discriminator.features(self.packs(occupancy[:whole].float()))
        return nn.functional.mse_loss(made, real)

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

    def _pictures(self, photos: Any, background: Background) -> Tensor:
        """Return photos as the encoder takes them, (B, 3, S, S)."""
        size = self.image_size(self.options)
        if isinstance(photos, np.ndarray | Tensor) and photos.ndim == 4:
            return _checked(photos, size)
        from voxgan.images import photo

        many = photos if isinstance(photos, Sequence) and not isinstance(photos, str | Path) else [photos]
        if not len(many):
            raise ImageError("no picture given; expected one or more")
        return torch.from_numpy(np.stack([photo(one, size=size, background=background) for one in many]))

    def encode(self, photos: Any, background: Background = "auto") -> Tensor:
        """Return the latent means of photos, (B, L).

        Parameters
        ----------
        photos : path, picture, array, or a sequence of them
            See `voxgan.images.photo`; an array (B, 3, S, S) in [0, 1] is taken as it is: S is `image_size`.
        background : {"auto", "keep", "remove"}
            What to do with the background.
        """
        if not hasattr(self, "encoder"):
            raise UsageError("these weights hold no image encoder; use a model saved with it, as load('furniture')")
        images = self._pictures(photos, background)
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
        from voxgan.batches import on_white
        from voxgan.raycast import draw_views, framed, random_cameras

        grids = torch.as_tensor(occupancy, dtype=torch.float32, device=self.device)
        many = grids.repeat_interleave(num_views, dim=0)
        generator = torch.Generator().manual_seed(seed)
        cameras = framed(many, random_cameras(len(many), generator).to(self.device))
        views = draw_views(many, cameras, generator).permute(0, 2, 3, 1)
        pictures = on_white(views, self.image_size(self.options))
        return self.encode(pictures).reshape(len(grids), num_views, -1)

    def reconstruct(
        self,
        photo: Any,
        background: Background = "auto",
        votes: int = 1,
        class_name: str | Sequence[str] | None = None,
    ) -> Shapes:
        """Make one shape for each photo.

        Parameters
        ----------
        photo : path, picture, array, or a sequence of them
        background : {"auto", "keep", "remove"}
            "auto" uses the picture's alpha, or removes a plain background where there is none.
        votes : int
            From how many looks at each photo occupancy is averaged: as it is, mirrored, from nearer and from farther,
            up to 8. Each costs as much as the first.
        class_name : str or sequence of str, optional
            What all photos show, or each of them, where that is known; of `classes`. Their latents are drawn towards
            the class's (`voxgan.class_latents.ClassLatents.given`): a table is no longer taken for a bed.

        Returns
        -------
        Shapes
            Occupancy (B, R, R, R).

        Raises
        ------
        ImageError, StorageError
            A picture that cannot be used, or not be read.
        UsageError
            A class that the model has no latents of, or another number of classes than of photos.
        """
        if not 1 <= votes <= len(_LOOKS):
            raise UsageError(f"votes={votes}: expected 1 to {len(_LOOKS)}")
        named = self._told(class_name)
        if votes == 1:
            return self.decode(self._given(self.encode(photo, background), named))
        pictures = self._pictures(photo, background)
        total = np.zeros(1, np.float32)
        for zoom, mirrored in _LOOKS[:votes]:
            z = self._given(self.encode(_looked_at(pictures, zoom, mirrored)), named)
            occupancy = self._raw(z)
            total = total + (occupancy[:, ::-1] if mirrored else occupancy)
        return Shapes(self.finished(np.ascontiguousarray(total / votes)))

    def _told(self, class_name: str | Sequence[str] | None) -> list[int]:
        """Return the classes that photos are told to show, as indices into `class_latents.names`."""
        if class_name is None:
            return []
        names = [class_name] if isinstance(class_name, str) else list(class_name)
        if not names:
            raise UsageError("class_name holds no class; expected one for all photos, or one for each")
        if self.class_latents is None:
            raise UsageError(
                f"no class {names[0]!r} in this {self.name} model: it has no class latents, which a vae_gan3d gets at "
                "the end of its training; leave the class out"
            )
        return [cast("int", self._class_index(name, None)) for name in names]

    def _given(self, z: Tensor, named: list[int]) -> Tensor:
        """Draw latents towards their classes', where these are told."""
        if not named or self.class_latents is None:
            return z
        if len(named) not in (1, len(z)):
            raise UsageError(f"{len(named)} classes for {len(z)} photos; expected one for all, or one for each")
        return self.class_latents.given(z, torch.tensor(named).expand(len(z)))

    def finished(self, occupancy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what `decode` makes of what the generator gives, (B, R, R, R).

        Where reconstruction was by cross-entropy alone, that is a probability, blurred where there is doubt: then it is
        `voxgan.models.reconstruction.levelled`.
        """
        return levelled(occupancy) if self.options.reconstruction == "bce" else occupancy


MODEL = VAEGAN3D
