"""Classification by what a discriminator has learnt without labels (3D-GAN, §4.2)."""

from __future__ import annotations

import copy
import importlib.util
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool3d

from voxgan.dataset import Dataset
from voxgan.errors import DatasetError, MissingExtraError
from voxgan.evaluation.result import Column, Plot, Row, Suite, Table
from voxgan.evaluation.setting import Setting, copies, pieces, same
from voxgan.networks.heads import Judge

if TYPE_CHECKING:
    from voxgan.models.model import Model

__all__ = ["TITLE", "discriminator_features", "lacking", "reason", "run"]

TITLE = "Classification: a linear SVM on the discriminator's features"

_LAYERS = 3  # the last ones, of the paper's four the 2nd to the 4th
_SIDE = 2  # to which each volume is pooled
_COSTS = (1.0, 3.0, 10.0, 30.0)
_HELD = 0.2  # of the training shapes of each class, to choose C by
_FEW_COST = 10.0  # where there are too few to hold some back
_QUICK = 20  # of each class
_CHUNK = 64

TEN = ("bathtub", "bed", "chair", "desk", "dresser", "monitor", "night_stand", "sofa", "table", "toilet")
"""ModelNet10's classes, which are among ModelNet40's."""

_PUBLISHED = (("3D-GAN, published", 0.910, 0.833), ("best voxel methods without labels, published", 0.924, 0.864))


def reason(model: Model, name: str) -> str | None:
    """Say why a model cannot take part: it must have its discriminator."""
    if hasattr(model, "discriminator"):
        packed = model.config.pack
        return None if packed == 1 else f"{name}: its discriminator looks at {packed} shapes at once; train with pack=1"
    return f"{name} comes without its discriminator, whose features are classified; evaluate a run folder"


def lacking(setting: Setting) -> str | None:
    """Say what the data lacks for this suite."""
    if importlib.util.find_spec("sklearn") is None:
        return "classification needs scikit-learn"
    if why := setting.lacking():
        return why
    with Dataset(setting.test.path, "test", resolution=setting.test.resolution) as test:
        return None if len(np.unique(test.labels)) > 1 else f"{test.path.name} has test shapes of one class only"


def discriminator_features(discriminator: Judge, occupancy: Tensor) -> Tensor:
    """Return what a discriminator answers to shapes in its hidden layers, as one row of numbers each.

    The last three hidden volumes (of the paper's four layers at 64³ the 2nd to the 4th, of 16³, 8³ and 4³ cells) are
    max-pooled to 2³ cells, with kernels 8, 4 and 2, and joined: 1,024 + 2,048 + 4,096 = 7,168 numbers at width 64.

    Parameters
    ----------
    discriminator : Judge
        In evaluation mode.
    occupancy : Tensor, (B, 1, R, R, R)

    Returns
    -------
    Tensor, (B, F)
    """
    volumes = discriminator.volumes(occupancy)[-_LAYERS:]
    return torch.cat([max_pool3d(volume, volume.shape[2] // _SIDE).flatten(1) for volume in volumes], dim=1)


def run(setting: Setting) -> Suite:
    """Fit a linear SVM to training shapes' features, and score it on test shapes; so too for random weights.

    Of all classes of the data: the discriminator need not have seen them.
    """
    svm = _svm()
    setting.require_resolution()
    side = setting.test.resolution
    with (
        Dataset(setting.test.path, "test", resolution=side) as test,
        Dataset(setting.known.path, "train", resolution=side) as known,
    ):
        return _scored(replace(setting, test=test, train=known), svm)


def _scored(setting: Setting, svm: Any) -> Suite:
    test, known = setting.test, setting.known
    test_rows = setting.chosen_of_classes(test, _QUICK if setting.quick else len(test))
    train_rows = setting.chosen_of_classes(known, _QUICK if setting.quick else len(known))
    labels, train_labels = setting.labels_of(test)[test_rows], setting.labels_of(known)[train_rows]
    if len(np.unique(labels)) < 2:
        raise DatasetError(f"{test.path}: test shapes of one class only; expected two or more to tell apart")
    setting.require_classes(labels)
    fresh = ~copies(test, test_rows, known)
    ten = {label for label in np.unique(labels).tolist() if test.classes[label] in TEN}
    groups: dict[str, NDArray[np.int64]] = {"all": np.unique(labels)}
    if len(ten) == len(TEN) < len(groups["all"]):
        groups["ten"] = np.array(sorted(ten))
    discriminators = {setting.name: setting.model.discriminator, "random weights": _random(setting)}
    rows, curves = [], {}
    facts: dict[str, float] = {"shapes": len(test_rows), "train_shapes": len(train_rows)}
    for name, discriminator in discriminators.items():
        train_features = _features(setting, name, discriminator, known, train_rows)
        scale = 1 / (float(np.sqrt((train_features**2).sum(1).mean())) or 1.0)
        train_features *= scale
        test_features = _features(setting, name, discriminator, test, test_rows) * scale
        values: dict[str, float | None] = {"numbers": float(train_features.shape[1])}
        for key, classes in groups.items():
            inside, judged = np.isin(train_labels, classes), np.isin(labels, classes)
            cost, held = _cost(
                svm, setting, f"{name}, {len(classes)} classes", train_features[inside], train_labels[inside]
            )
            fitted = svm(cost, train_features[inside], train_labels[inside])
            right = fitted.predict(test_features[judged]) == labels[judged]
            values[key] = float(right.mean())
            values[f"{key}_fresh"] = float(right[fresh[judged]].mean()) if fresh[judged].any() else None
            curves[f"{name}, {len(classes)} classes"] = (np.log10(_COSTS).tolist(), held)
            facts[f"C of {name}, {len(classes)} classes"] = cost
        rows.append(Row(name, "model" if name == setting.name else "floor", values))
    whole = {same(test.classes[label]) for label in groups["all"]}
    told = setting.model.discriminator.condition != "none"
    if told:
        whole = set()  # published figures are those of discriminators that saw no label
    if "ten" in groups and len(whole) == 40:
        rows += [Row(name, "published", {"all": forty, "ten": of_ten}) for name, of_ten, forty in _PUBLISHED]
    elif whole == set(TEN):
        rows += [Row(name, "published", {"all": of_ten}) for name, of_ten, _ in _PUBLISHED]
    columns = [Column("numbers", "numbers", digits=0, note="features of a shape")]
    for key, classes in groups.items():
        title = f"{len(classes)} classes"
        columns.append(Column(key, title, "high", 1, 100, f"test shapes of {title} named right"))
        columns.append(Column(f"{key}_fresh", "unseen", "high", 1, 100, "the same without copies of training shapes"))
    notes = [
        f"{len(train_rows):,} training and {len(test_rows):,} test shapes; {int((~fresh).sum())} of these stand in "
        f"train, too. Linear SVM, squared hinge, one class against the rest; C chosen on {_HELD:.0%} of train.",
        ("The discriminator was trained with labels" if told else "The discriminator never saw a label")
        + ". Random weights: the same network, never trained.",
    ]
    plot = Plot("Accuracy on held-out training shapes over C", "log₁₀ C", "accuracy", curves)
    table = Table("accuracy", "Test shapes named right", columns, rows, notes)
    return Suite("classification", TITLE, [table], [plot], (), facts)


def _svm() -> Any:
    """Return a function that fits a linear SVM of a cost C to features and labels."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise MissingExtraError("sklearn", "evaluation", "classification") from error

    def fit(cost: float, features: NDArray[np.float32], labels: NDArray[np.int64]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits of weights change no answer
            return LinearSVC(C=cost, dual=True, tol=1e-2, max_iter=300, random_state=0).fit(features, labels)

    return fit


def _random(setting: Setting) -> Judge:
    """Return the model's discriminator with weights as they were before any training."""
    model = setting.model
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(setting.seed)
        fresh = type(model)(copy.copy(model.config))
    return fresh.discriminator.to(model.device).eval()


def _features(
    setting: Setting, name: str, discriminator: Judge, data: Dataset, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return features, (N, F)."""
    found = []
    training = discriminator.training
    discriminator.eval()
    try:
        with torch.inference_mode():
            for part in pieces(rows, _CHUNK):
                grids = torch.from_numpy(data.occupancy(part)).float()[:, None].to(setting.model.device)
                found.append(discriminator_features(discriminator, setting.model.as_seen(grids)).float().cpu().numpy())
                setting.report(f"features, {name}", sum(map(len, found)), len(rows))
    finally:
        discriminator.train(training)
    return np.concatenate(found)


def _cost(
    svm: Any, setting: Setting, label_of: str, features: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[float, list[float]]:
    """Return the C that is best on held-out training shapes, and the accuracy there for each."""
    order = np.random.default_rng(setting.seed).permutation(len(features))
    held = np.zeros(len(features), bool)
    for label in np.unique(labels):
        own = order[labels[order] == label]
        held[own[: int(_HELD * len(own))]] = True  # at least one of each class is left to learn from
    if not held.any():
        return _FEW_COST, [float("nan")] * len(_COSTS)
    scores = []
    for number, cost in enumerate(_COSTS):
        fitted = svm(cost, features[~held], labels[~held])
        scores.append(float(fitted.score(features[held], labels[held])))
        setting.report(f"choosing C, {label_of}", number + 1, len(_COSTS))
    return _COSTS[int(np.argmax(scores))], scores
