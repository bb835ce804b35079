"""What the suites say of models whose quality is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import voxgan
from voxgan.class_latents import ClassLatents
from voxgan.dataset import Dataset
from voxgan.errors import DatasetError
from voxgan.evaluation import photos as photo_rule
from voxgan.evaluation.floors import mean_shape
from voxgan.evaluation.suites.classification import discriminator_features
from voxgan.metrics.alignment import filling
from voxgan.metrics.iou import iou
from voxgan.models.model import Model
from voxgan.networks import DISCRIMINATORS
from voxgan.voxels import Shapes


def makes(model: Model, grids: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a model make these shapes, whatever it is asked."""
    monkeypatch.setattr(
        type(model), "decode", lambda self, z: Shapes(np.resize(grids, (len(z), *grids.shape[1:])).astype(np.float32))
    )


# ------------------------------------------------------------------------------------------- generation
def test_a_model_that_copies_is_seen(gan: Model, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Dataset(data, "train") as train:
        makes(gan, train.occupancy(range(16)), monkeypatch)
    found = voxgan.evaluate(gan, data, "generation", count=16)
    assert found.score("generation", "alone", "copies") == 1
    assert found.score("generation", "alone", "nearest_iou") == 1
    assert found.score("generation", "sets", "one_nna_iou") < 0.8
    for column in ("mmd_cd", "mmd_iou", "jsd"):
        own, noise = (found.score("generation", "sets", column, row) for row in (None, "random noise"))
        assert own < noise / 2, column


def test_a_model_of_one_shape_is_seen(gan: Model, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Dataset(data, "train") as train:
        makes(gan, train.occupancy([0]), monkeypatch)
    found = voxgan.evaluate(gan, data, "generation", count=16)
    assert found.score("generation", "alone", "pairwise_iou") == 1
    assert found.score("generation", "alone", "ms_ssim") == pytest.approx(1)
    assert found.score("generation", "sets", "cov_iou") == 1 / 16
    assert found.score("generation", "sets", "one_nna_iou") > 0.6
    assert found.score("generation", "features", "inception") == pytest.approx(1, abs=1e-4)


def test_a_model_of_nothing_is_seen(gan: Model, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    makes(gan, np.zeros((1, 16, 16, 16)), monkeypatch)
    found = voxgan.evaluate(gan, data, "generation", count=8)
    assert found.score("generation", "alone", "empty") == 1
    table = found["generation"].tables[0]
    assert any("8 without a surface" in note for note in table.notes)


def test_few_samples_say_so(gan: Model, data: Path) -> None:
    found = voxgan.evaluate(gan, data, "generation", count=8)
    assert found.score("generation", "features", "frechet") is None
    notes = " ".join(found["generation"].tables[1].notes)
    assert "Too few for 64 features (8 GAN3D, 8 training shapes, 8 random noise)" in notes
    assert "–" in str(found)
    assert not any("unequal size" in note for note in found["generation"].tables[0].notes)
    more = voxgan.evaluate(gan, data, "generation", count=20)
    assert any("unequal size" in note for note in more["generation"].tables[0].notes)


def test_the_oracle_is_training_shapes_and_noise_is_noise(gan: Model, data: Path) -> None:
    found = voxgan.evaluate(gan, data, "generation", count=16)
    rows = {row.name: row for row in found["generation"].tables[0].rows}
    assert rows["training shapes"].kind == "oracle"
    assert rows["random noise"].kind == "noise"
    assert rows["training shapes"].values["mmd_cd"] < rows["random noise"].values["mmd_cd"]
    assert rows["random noise"].values["one_nna_cd"] == 1
    nearest = (found.score("generation", "alone", "nearest_iou", row) for row in ("random noise", "test shapes"))
    assert next(nearest) < 0.35 < next(nearest)


def test_samples_have_the_classes_of_the_test_shapes(
    conditional: Model, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[np.ndarray] = []

    def decode(self: Model, z: Any) -> Shapes:
        asked.append(np.asarray(z)[:, -2:])
        return Shapes(np.ones((len(z), 16, 16, 16), np.float32))

    monkeypatch.setattr(type(conditional), "decode", decode)
    voxgan.evaluate(conditional, data, "generation", count=10)
    assert np.concatenate(asked).sum(0).tolist() == [5, 5]


# --------------------------------------------------------------------------------------- reconstruction
class Oracle:
    """A photo model that knows the real shapes, in the order in which it is asked."""

    def __init__(self, grids: np.ndarray, batch: int = 32) -> None:
        self.grids, self.batch, self.calls = grids, batch, 0

    def __call__(self, model: Model, photo: Any, background: str = "auto") -> Shapes:
        parts = -(-len(self.grids) // self.batch)
        self.calls += 1
        if len(photo) == len(self.grids):
            return Shapes(self.grids.astype(np.float32))
        assert parts == 1
        return Shapes(self.grids[: len(photo)].astype(np.float32))


def test_a_model_that_knows_all_has_full_marks(photo_model: Model, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Dataset(data, "test") as test:
        real = test.occupancy(range(len(test)))
    monkeypatch.setattr(type(photo_model), "reconstruct", lambda self, photo, **_: Oracle(real)(self, photo))
    found = voxgan.evaluate(photo_model, data, "reconstruction")
    for column, best, within in (
        ("iou", 1, 1e-9),
        ("ap", 1, 1e-9),
        ("f_score", 1, 0.1),
        ("chamfer", 0, 0.002),  # points are drawn anew on each side
        ("emd", 0, 0.1),
        ("normals", 1, 0.15),
    ):
        assert found.score("reconstruction", "whole", column) == pytest.approx(best, abs=within), column
        floor = found.score("reconstruction", "whole", column, "class's mean shape")
        assert abs(floor - best) > abs(found.score("reconstruction", "whole", column) - best), column
    assert found["reconstruction"].facts["shapes"] == 16


def test_views_are_made_as_large_as_the_encoder_takes_them(rendered: Path, photo_model: Model) -> None:
    smaller = type(photo_model)(replace(photo_model.config, image_encoder="efficientnet")).eval()  # 128²
    assert voxgan.evaluate(smaller, rendered, "reconstruction")["reconstruction"].facts["views"] == 1


def test_floors_are_those_by_hand(photo_model: Model, data: Path) -> None:
    found = voxgan.evaluate(photo_model, data, "reconstruction")
    with Dataset(data, "train") as train, Dataset(data, "test") as test:
        by_class, nearest = [], []
        for label in (0, 1):
            rows = np.flatnonzero(train.labels == label)
            mean = mean_shape(train, rows)
            np.testing.assert_allclose(mean.occupancy, train.occupancy(rows).mean(0), atol=1e-6)
            real = test.occupancy(np.flatnonzero(test.labels == label))
            by_class.append(iou(np.broadcast_to(mean.occupancy >= mean.level, real.shape), real).mean())
            every = train.occupancy(range(len(train)))
            nearest.append(np.mean([iou(every, np.broadcast_to(grid, every.shape)).max() for grid in real]))
    score = found.score("reconstruction", "whole", "iou", "class's mean shape")
    assert score == pytest.approx(np.mean(by_class), abs=1e-9)
    assert found.score("reconstruction", "whole", "iou", "nearest training shape") == pytest.approx(np.mean(nearest))


def test_copies_are_left_out_of_the_unseen(photo_model: Model, data: Path) -> None:
    whole, unseen = voxgan.evaluate(photo_model, data, "reconstruction")["reconstruction"].tables[:2]
    assert "Without the 4 that stand" in unseen.notes[0]
    nearest = [
        {row.name: row.values["iou"] for row in table.rows}["nearest training shape"] for table in (whole, unseen)
    ]
    assert nearest[0] > nearest[1]


def test_photos_are_scored_by_the_papers_rule(
    photo_model: Model, photos: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Dataset(photos, "test") as test:
        real = test.occupancy(range(len(test)))
    turned = real.transpose(0, 2, 3, 1)[:, ::-1]  # found, but turned and mirrored, and as large as a data set's shapes
    large = np.stack([filling(grid, 20) >= 0.5 for grid in turned]).repeat(3, 1).repeat(3, 2).repeat(3, 3)
    large = np.pad(large, ((0, 0), (2, 2), (2, 2), (2, 2)))
    monkeypatch.setattr(photo_rule, "_RANDOM", 1)
    monkeypatch.setattr(type(photo_model), "reconstruct", lambda self, photo, **_: Oracle(large)(self, photo))
    found = voxgan.evaluate(photo_model, photos, "reconstruction", train=data)
    assert found["reconstruction"].facts["protocol"] == "photos, aligned"
    assert found.score("reconstruction", "photos", "mean") == pytest.approx(1, abs=1e-3)
    kinds = {row.name: row.kind for row in found["reconstruction"].tables[0].rows}
    assert kinds["class's mean shape"] == "floor"
    random, nearest = (
        found.score("reconstruction", "photos", "mean", row)
        for row in ("random shape of the class", "nearest training shape")
    )
    assert random < nearest < 1


# --------------------------------------------------------------------------------------- classification
@pytest.mark.parametrize("network", sorted(DISCRIMINATORS))
@pytest.mark.parametrize(("resolution", "count"), [(64, 7168), (32, 7168), (16, 6144)])
def test_discriminator_features_have_the_papers_size(network: str, resolution: int, count: int) -> None:
    """At width 64 the 2nd to 4th layers have 1,024 + 2,048 + 4,096 numbers; 16³ has two volumes only."""
    width = 4
    discriminator = DISCRIMINATORS[network](resolution, width).eval()
    with torch.inference_mode():
        features = discriminator_features(discriminator, torch.rand(1, 1, resolution, resolution, resolution))
    assert features.shape == (1, count * width // 64)


def test_discriminator_features_by_hand() -> None:
    from torch.nn.functional import max_pool3d

    discriminator = DISCRIMINATORS["paper"](64, 2).eval()
    occupancy = (torch.rand(2, 1, 64, 64, 64) < 0.2).float()
    with torch.inference_mode():
        x, pooled = occupancy, []
        for layer in discriminator.layers[:-1]:
            x = layer(x)
            if isinstance(layer, torch.nn.LeakyReLU):
                pooled.append(x)
        expected = [max_pool3d(x, k).flatten(1) for x, k in zip(pooled[1:], (8, 4, 2), strict=True)]
        found = discriminator_features(discriminator, occupancy)
    torch.testing.assert_close(found, torch.cat(expected, 1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(discriminator.volumes(occupancy)[-1].flatten(1), discriminator.features(occupancy))


def test_volumes_of_the_residual_discriminator_end_in_its_features() -> None:
    discriminator = DISCRIMINATORS["residual"](32, 4).eval()
    occupancy = torch.rand(2, 1, 32, 32, 32)
    with torch.inference_mode():
        volumes = discriminator.volumes(occupancy)
    assert [volume.shape[2] for volume in volumes] == [16, 8, 4]
    torch.testing.assert_close(volumes[-1].flatten(1), discriminator.features(occupancy))


def test_boxes_and_balls_are_told_apart(gan: Model, data: Path) -> None:
    found = voxgan.evaluate(gan, data, "classification")
    table = found["classification"].tables[0]
    assert [row.kind for row in table.rows] == ["model", "floor"]
    assert found.score("classification", "accuracy", "all") >= 0.8
    assert 0 <= found.score("classification", "accuracy", "all_fresh") <= 1
    assert found.score("classification", "accuracy", "numbers") == 6144 * 4 / 64
    assert "4 of these stand in train, too" in table.notes[0]


def test_shuffled_labels_are_chance(gan: Model, data: Path, tmp_path: Path) -> None:
    """The score comes from what the features say: without a bond between shapes and labels nothing can be learnt."""
    from voxgan.dataset_writer import Writer

    path = tmp_path / "shuffled.h5"
    rng = np.random.default_rng(0)
    with Dataset(data, "all") as every, Writer.create(path, 16, every.classes) as writer:
        for row in range(len(every)):
            name = every.classes[rng.integers(2)]
            writer.add(every.occupancy([row])[0], name, ("train", "test")[every.splits[row]], str(row))
    assert voxgan.evaluate(gan, path, "classification").score("classification", "accuracy", "all") < 0.8


# ----------------------------------------------------------------------------------------------- latent
def test_walks_of_whole_shapes_are_plausible(gan: Model, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Dataset(data, "train") as train:
        makes(gan, train.occupancy([0, 2, 4, 6, 8, 10, 12, 14]), monkeypatch)
    found = voxgan.evaluate(gan, data, "latent", count=2)
    assert found.score("latent", "walks", "connected") == 1
    assert found.score("latent", "walks", "n") == 2 * 6


def test_walks_of_dust_are_not(gan: Model, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    makes(gan, np.random.default_rng(0).random((8, 16, 16, 16)) < 0.05, monkeypatch)
    assert voxgan.evaluate(gan, data, "latent", count=2).score("latent", "walks", "plausible") == 0


def test_a_number_that_does_nothing_is_the_weakest(gan: Model, data: Path) -> None:
    with torch.no_grad():
        gan.generator.first.weight[3] = 0  # z's fourth number
    found = voxgan.evaluate(gan, data, "latent", count=2)
    assert found.score("latent", "numbers", "weakest") == 0
    assert found.score("latent", "numbers", "strongest") > 0
    assert found.score("latent", "numbers", "numbers") == 8


def test_a_conditional_model_walks_within_and_across_classes(conditional: Model, data: Path) -> None:
    rows = [row.name for row in voxgan.evaluate(conditional, data, "latent", count=2)["latent"].tables[0].rows]
    assert rows[0] == "walks within a class"
    assert rows[2] == "walks between two classes"


# ---------------------------------------------------------------------------------- what comes of odd data
def shapes_file(path: Path, splits: dict[str, tuple[int, int]], mode: str = "solid") -> Path:
    """Write so many training and test boxes of each class."""
    from voxgan.dataset_writer import Writer

    rng = np.random.default_rng(0)
    with Writer.create(path, 16, tuple(splits), mode=mode) as writer:
        for name, counts in splits.items():
            for split, count in zip(("train", "test"), counts, strict=True):
                for number in range(count):
                    grid = np.zeros((16, 16, 16), bool)
                    grid[1 : rng.integers(4, 15), 1 : rng.integers(4, 15), 1 : rng.integers(4, 15)] = True
                    writer.add(grid, name, split, f"{split}{name}{number}")
    return path


def test_a_class_without_training_shapes_is_named(photo_model: Model, gan: Model, tmp_path: Path) -> None:
    path = shapes_file(tmp_path / "odd.h5", {"box": (4, 2), "ball": (0, 2)})
    with pytest.raises(DatasetError, match=r"no training shapes of ball, and odd\.h5 has test shapes; .*--train"):
        voxgan.evaluate(photo_model, path, "reconstruction")
    with pytest.raises(DatasetError, match="no training shapes of ball"):
        voxgan.evaluate(gan, path, "classification")


def test_classes_of_one_or_two_shapes_can_be_classified(gan: Model, tmp_path: Path) -> None:
    path = shapes_file(tmp_path / "few.h5", {"box": (1, 1), "ball": (2, 1)})
    assert 0 <= voxgan.evaluate(gan, path, "classification").score("classification", "accuracy", "all") <= 1


def test_shells_are_not_set_beside_solids(gan: Model, tmp_path: Path) -> None:
    solid = shapes_file(tmp_path / "solid.h5", {"box": (4, 4)})
    shells = shapes_file(tmp_path / "shells.h5", {"box": (4, 4)}, mode="surface")
    with pytest.raises(DatasetError, match=r"holds solid shapes and .* surface ones"):
        voxgan.evaluate(gan, shells, "generation", train=solid)
    notes = voxgan.evaluate(gan, shells, "generation")["generation"].tables[1].notes
    assert any("these are surfaces" in note for note in notes)


def test_all_test_shapes_are_copies(photo_model: Model, tmp_path: Path) -> None:
    from voxgan.dataset_writer import Writer

    path = tmp_path / "copies.h5"
    with Writer.create(path, 16, ("box",)) as writer:
        for split in ("train", "test"):
            for size in (6, 9):
                grid = np.zeros((16, 16, 16), bool)
                grid[2:size, 2:8, 2:8] = True
                writer.add(grid, "box", split, f"{split}{size}")
    found = voxgan.evaluate(photo_model, path, "reconstruction")
    assert [table.name for table in found["reconstruction"].tables][:2] == ["whole", "iou_per_class"]


def test_samples_and_oracle_are_in_the_test_shapes_proportions(conditional: Model, tmp_path: Path) -> None:
    path = shapes_file(tmp_path / "uneven.h5", {"box": (40, 3), "ball": (12, 9)})
    found = voxgan.evaluate(conditional, path, "generation", count=12)
    assert found.score("generation", "alone", "n", "training shapes") == 12
    few = shapes_file(tmp_path / "few.h5", {"box": (2, 10), "ball": (40, 2)})
    found = voxgan.evaluate(conditional, few, "generation", count=12)
    assert found.score("generation", "alone", "n", "training shapes") == 4
    assert any("some classes have no more" in note for note in found["generation"].tables[0].notes)


def test_each_class_has_its_own_z(conditional: Model, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[np.ndarray] = []

    def decode(self: Model, z: Any) -> Shapes:
        asked.append(np.asarray(z)[:, :-2])
        return Shapes(np.ones((len(z), 16, 16, 16), np.float32))

    monkeypatch.setattr(type(conditional), "decode", decode)
    voxgan.evaluate(conditional, data, "generation", count=10)
    assert len(np.unique(np.concatenate(asked)[:, 0])) == 10


def test_a_model_of_more_classes_than_the_data_is_told(gan: Model, tmp_path: Path) -> None:
    path = shapes_file(tmp_path / "boxes.h5", {"box": (4, 4)})
    notes = voxgan.evaluate(gan, path, "generation")["generation"].tables[0].notes
    assert any("was trained on ball as well" in note for note in notes)


def test_a_discriminator_with_labels_is_called_so(gan: Model, conditional: Model, data: Path) -> None:
    for model, says in ((gan, "never saw a label"), (conditional, "was trained with labels")):
        assert says in voxgan.evaluate(model, data, "classification")["classification"].tables[0].notes[1]


def test_the_model_is_left_as_it_was(gan: Model, data: Path) -> None:
    gan.train()
    voxgan.evaluate(gan, data, "classification")
    assert gan.training
    assert gan.discriminator.training


def test_class_latents(photo_model: Model, data: Path) -> None:
    from voxgan.class_latents import fit_class_latents

    with Dataset(data, "train") as train:
        photo_model.class_latents = fit_class_latents(photo_model, train)
    rows = voxgan.evaluate(photo_model, data, "latent", count=2)["latent"].tables[0].rows
    assert rows[0].name == "walks within a class"
    assert voxgan.evaluate(photo_model, data, "generation", count=6).score("generation", "alone", "n") == 6


def test_a_row_for_the_model_that_is_told_the_class(photo_model: Model, data: Path, photos: Path) -> None:
    with Dataset(data, "test") as test:
        classes = test.classes
    length = photo_model.config.latent
    means = torch.arange(float(len(classes)))[:, None].expand(-1, length).contiguous()
    photo_model.class_latents = ClassLatents(classes, means, torch.zeros(len(classes), length, 1))
    told = {}
    for shapes, table in ((data, "whole"), (photos, "photos")):
        found = voxgan.evaluate(photo_model, shapes, "reconstruction", train=data)["reconstruction"]
        told[table] = next(one for one in found.tables if one.name == table).rows[1]
        assert told[table].name.endswith(", told the class") and told[table].kind == "model"
    # Without spread, whatever the photo shows, the class's mean latent is decoded
    by_hand = []
    with Dataset(data, "test") as test:
        for label, z in enumerate(means):
            real = test.occupancy(np.flatnonzero(test.labels == label)) > 0
            by_hand.append(iou(np.broadcast_to(photo_model.decode(z).occupancy >= 0.5, real.shape), real).mean())
    assert told["whole"].values["iou"] == pytest.approx(np.mean(by_hand), abs=1e-9)
    photo_model.class_latents = ClassLatents(("other",), means[:1], torch.zeros(1, length, 1))
    rows = voxgan.evaluate(photo_model, data, "reconstruction", quick=True)["reconstruction"].tables[0].rows
    assert not any("told" in row.name for row in rows)
