"""A Gaussian in latent space for each class of a model with an image encoder.

The encoder of a VAE puts the shapes of a class into a small part of the latent space, and what the prior draws lies
mostly outside of it: there the generator gives fragments. So a density is fitted afterwards to what the encoder says
of the training shapes, and sampled from in place of the prior (Ghosh et al. 2020, "From variational to deterministic
autoencoders", arXiv:1903.12436, §4). Beside it stands how far the latents of photos stray from those of the shapes: who
knows the class of a photo can weigh the one against the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxgan.errors import DatasetError, InputError, UsageError

if TYPE_CHECKING:
    from voxgan.dataset import Dataset
    from voxgan.models.model import Model
    from voxgan.models.vae_gan3d import VAEGAN3D

__all__ = ["ClassLatents", "fit_class_latents"]

_MAX_SHAPES = 128  # of each class; twice as many gave the same samples
_MAX_IN_ALL = 2048  # of all classes, so that forty of them take no longer than sixteen
_MAX_VIEWS = 4  # of each shape
_SHAPES_AT_ONCE = 8
_PHOTOS = 2  # of each shape, to see how far their latents stray
_MAX_RANK = 32
_KEPT = 0.99  # of the variance
_POOLED = 20  # shapes that the covariance of all classes counts for beside a class's own


@dataclass(frozen=True, eq=False)
class ClassLatents:
    """A Gaussian for each class: mean + factor · noise.

    Attributes
    ----------
    names : tuple of str
        The K classes.
    means : Tensor, (K, L)
    factors : Tensor, (K, L, F)
        Each covariance is factor · factorᵀ, of rank F at most.
    photo_noise : Tensor, (L, L), optional
        Covariance of the difference between the latents of a photo and of the shape that it shows.

    Raises
    ------
    InputError
        If they do not fit together, are not finite, or the noise is no covariance.

    Examples
    --------
    >>> latents = ClassLatents(("flat", "tall"), torch.tensor([[0.0, 9.0], [5.0, 9.0]]), torch.zeros(2, 2, 1))
    >>> latents.sample(torch.tensor([1, 0]), torch.Generator())
    tensor([[5., 9.],
            [0., 9.]])
    """

    names: tuple[str, ...]
    means: Tensor
    factors: Tensor
    photo_noise: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse what no class could be drawn from."""
        count = len(self.names)
        if not count or len(set(self.names)) != count or not all(isinstance(n, str) and n for n in self.names):
            raise InputError(f"class names {list(self.names)[:5]}; expected one or more, each once")
        means, factors = tuple(self.means.shape), tuple(self.factors.shape)
        if len(means) != 2 or means[0] != count or len(factors) != 3 or factors[:2] != means:
            raise InputError(f"means {means} and factors {factors} of {count} classes; expected (K, L) and (K, L, F)")
        for tensor in (self.means, self.factors, self.photo_noise):
            if tensor is not None and (tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all())):
                raise InputError("class latents that are not finite, or not in single precision")
        if self.photo_noise is not None:
            size, length = tuple(self.photo_noise.shape), means[1]
            if size != (length, length) or int(torch.linalg.cholesky_ex(self.photo_noise.double())[1]):
                raise InputError(f"photo noise {size} of latents of {length} numbers; expected a covariance, (L, L)")

    def sample(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one latent of each class in `labels` (B,), which are indices into `names`; return (B, L)."""
        noise = torch.randn(len(labels), self.factors.shape[2], generator=generator).double()
        moved = (self.factors.double()[labels] @ noise[..., None])[..., 0]  # double: rounded alike everywhere
        return (self.means.double()[labels] + moved).float()

    def given(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return what latents read off photos most probably are, now that the class of each is known.

        A photo's latent z is taken as the shape's plus noise of the covariance N = `photo_noise`: what differs from
        photo to photo of one shape is hardly believed. The posterior mean is μ + A (I + Aᵀ N⁻¹ A)⁻¹ Aᵀ N⁻¹ (z − μ),
        with the mean μ and the factor A of its class (Bishop 2006, *Pattern Recognition and Machine Learning*,
        eq. 2.116). Where N was not measured it is s² in every direction, the mean variance along a factor of all
        classes: half of what the photo says of an average direction is believed.

        Parameters
        ----------
        z : Tensor, (B, L)
        labels : Tensor of int, (B,)
            Indices into `names`.

        Returns
        -------
        Tensor, (B, L)
            In single precision, where z is.
        """
        means, factors = self.means.double(), self.factors.double()
        rank, length = factors.shape[2], means.shape[1]
        if self.photo_noise is None:
            doubt = factors.square().sum((1, 2)).mean() / rank
            noise = doubt.clamp_min(1e-12) * torch.eye(length, dtype=torch.float64)
        else:
            noise = self.photo_noise.double()
        believed = torch.linalg.inv(noise) @ factors  # N⁻¹ A, (K, L, F)
        inner = torch.eye(rank, dtype=torch.float64) + factors.mT @ believed
        across = believed.mT[labels] @ (z.detach().cpu().double() - means[labels])[..., None]
        known: Tensor = means[labels] + (factors[labels] @ torch.linalg.solve(inner[labels], across))[..., 0]
        return known.to(z)


def fit_class_latents(model: Model, data: Dataset, report: Callable[[int, int], None] | None = None) -> ClassLatents:
    """Fit a Gaussian for each class to what the image encoder makes of a data set's views; measure how photos stray.

    At most 128 shapes of each class are looked at, 2,048 in all, from up to four sides. Of each shape the view counts
    whose reconstruction comes nearest to it: many a view is taken for another class, and would blur the Gaussian. Of
    the same shapes two photos each are made by `voxgan.domain_randomisation`, and `ClassLatents.photo_noise` is how
    far their latents lie from that of the best view.

    Parameters
    ----------
    model : Model
        With an image encoder, trained on these shapes.
    data : Dataset
        Its classes are those that get a Gaussian, one for each that has shapes in it. Its views are used, or drawn
        where it has none.
    report : callable, optional
        Called with how many shapes are done, and of how many.

    Returns
    -------
    ClassLatents
        For `Model.class_latents`; `voxgan.checkpoint.save_class_latents` writes them beside the weights.

    Raises
    ------
    UsageError
        If the model has no image encoder.
    DatasetError
        If the data set is of another resolution, or empty.
    InputError
        If what the encoder gives is not finite.
    """
    if not hasattr(model, "encoder"):
        raise UsageError(
            f"this {model.name} has no image encoder; class latents are for models that reconstruct photos"
        )
    if data.resolution != model.config.resolution:
        raise DatasetError(f"{data.path}: its grids are {data.resolution}³, the model's {model.config.resolution}³")
    rows = {name: np.flatnonzero(data.labels == label) for label, name in enumerate(data.classes)}
    rows = {name: own for name, own in rows.items() if len(own)}
    if not rows:
        raise DatasetError(f"{data.path}: has no shapes that class latents could be fitted to")
    rows = {name: _evenly(own, max(2, min(_MAX_SHAPES, _MAX_IN_ALL // len(rows)))) for name, own in rows.items()}
    total, done = sum(map(len, rows.values())), 0
    codes: dict[str, list[NDArray[np.float64]]] = {name: [] for name in rows}
    strayed: list[NDArray[np.float64]] = []
    network = cast("VAEGAN3D", model)
    for name, chosen in rows.items():
        for start in range(0, len(chosen), _SHAPES_AT_ONCE):
            part = chosen[start : start + _SHAPES_AT_ONCE]
            best = _best_codes(network, data, part)
            codes[name].append(best)
            strayed.append(_photo_codes(network, data, np.repeat(part, _PHOTOS)) - best.repeat(_PHOTOS, axis=0))
            done += len(part)
            if report is not None:
                report(done, total)
    gaussians = _gaussians({name: np.concatenate(parts) for name, parts in codes.items()})
    return dataclasses.replace(gaussians, photo_noise=torch.from_numpy(_covariance(np.concatenate(strayed))).float())


def _evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many of the rows, from end to end."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64)]


def _best_codes(model: VAEGAN3D, data: Dataset, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each shape the latent mean (B, L) of the view that the model reconstructs best."""
    real = data.occupancy(rows) > 0
    if data.num_views:
        codes = _encode_stored(model, data, rows)
    else:
        codes = model.encode_shapes(real, _MAX_VIEWS)
    count, num_views, length = codes.shape
    found = model.decode(codes.reshape(-1, length)).occupancy >= 0.5
    found = found.reshape(count, num_views, *found.shape[1:])
    both = (found & real[:, None]).sum((2, 3, 4))
    either = (found | real[:, None]).sum((2, 3, 4))
    best = (both / np.maximum(either, 1)).argmax(axis=1)
    chosen: NDArray[np.float64] = codes.cpu().double().numpy()[np.arange(count), best]
    return chosen


def _encode_stored(model: VAEGAN3D, data: Dataset, rows: NDArray[np.int64]) -> Tensor:
    """Return the latent means (B, V, L) of the first views of each shape, on white as in training."""
    from voxgan.batches import on_white

    num_views = min(data.num_views, _MAX_VIEWS)
    each = np.repeat(rows, num_views)
    views = torch.from_numpy(data.views(each.tolist(), np.tile(np.arange(num_views), len(rows)).tolist()))
    images = on_white(views, model.image_size(model.options))
    return model.encode(images).reshape(len(rows), num_views, -1)


def _photo_codes(model: VAEGAN3D, data: Dataset, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the latent means (B, L) of photos of shapes as they stand: randomised, and always the same ones."""
    from voxgan.batches import Plan, finish_batch, read_batch, step_seed

    images = "stored" if data.num_views else "drawn"
    plan = Plan(images, augment=True, photos="randomised", image_size=model.image_size(model.options))
    seed = step_seed(0, int(rows[0]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        batch = finish_batch(read_batch(data, rows, plan, seed), data.resolution, plan, model.device)
    real = torch.from_numpy(data.occupancy(rows) > 0).to(model.device)
    mirrored = ((batch["occupancy"][:, 0] > 0) != real).flatten(1).any(1)  # of a symmetric shape it makes no difference
    image = batch["image"]
    found = model.encode(torch.where(mirrored[:, None, None, None], image.flip(3), image).clamp(0, 1))
    codes: NDArray[np.float64] = found.cpu().double().numpy()
    return codes


def _covariance(strayed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the second moments (L, L) of N differences, drawn towards the same in all directions as by L more."""
    count, length = strayed.shape
    moments: NDArray[np.float64] = strayed.T @ strayed
    alike = max(float(np.trace(moments)) / count / length, 1e-12)
    covariance: NDArray[np.float64] = (moments + length * alike * np.eye(length)) / (count + length)
    return covariance


def _gaussians(codes: dict[str, NDArray[np.float64]]) -> ClassLatents:
    """Fit a Gaussian of low rank to each class's latents (N, L), its covariance drawn towards that of all classes."""
    own = {name: z - z.mean(axis=0) for name, z in codes.items()}
    scatter = {name: centred.T @ centred for name, centred in own.items()}
    free = max(sum(len(z) - 1 for z in codes.values()), 1)
    pooled = sum(scatter.values()) / free
    spectra = []
    for name, z in codes.items():
        covariance = (scatter[name] + _POOLED * pooled) / (len(z) - 1 + _POOLED)
        variances, axes = np.linalg.eigh(covariance)
        spectra.append((variances[::-1].clip(0), axes[:, ::-1]))
    shares = [np.cumsum(v) / max(v.sum(), 1e-12) for v, _ in spectra]
    rank = min(_MAX_RANK, max(int((share < _KEPT).sum()) + 1 for share in shares))
    factors = np.stack([axes[:, :rank] * np.sqrt(variances[:rank]) for variances, axes in spectra])
    means = np.stack([z.mean(axis=0) for z in codes.values()])
    return ClassLatents(tuple(codes), torch.from_numpy(means).float(), torch.from_numpy(factors).float())
