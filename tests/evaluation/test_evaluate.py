"""What `voxgan.evaluate` refuses, and what holds for every suite."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import voxgan
from voxgan.checkpoint import save_model
from voxgan.dataset import SPLITS, Dataset
from voxgan.dataset_writer import Writer
from voxgan.errors import CheckpointError, DatasetError, StorageError, UsageError
from voxgan.evaluation import Evaluation, suites
from voxgan.evaluation.result import KINDS
from voxgan.evaluation.setting import Setting, pieces, same
from voxgan.models import find
from voxgan.models.model import Model
from voxgan.preview import sheet
from voxgan.voxels import Shapes


def evaluated(model: Model, data: Path, suite: str, **options: Any) -> Evaluation:
    return voxgan.evaluate(model, data, suite, quick=True, **options)


@pytest.fixture(scope="session")
def found(data: Path) -> dict[str, Evaluation]:
    """One evaluation of each suite."""
    models = {}
    for name in ("gan3d", "vae_gan3d"):
        kind = find(name)
        torch.manual_seed(0)
        models[name] = kind(kind.Config(resolution=16, width=4, latent=8, classes=("box", "ball"))).eval()
    return {
        name: evaluated(models["vae_gan3d" if name == "reconstruction" else "gan3d"], data, name, count=count)
        for name, count in (("generation", 16), ("latent", 3), ("classification", None), ("reconstruction", None))
    }


# ------------------------------------------------------------------------------------------ every suite
def test_every_suite_is_tested_here(found: dict[str, Evaluation]) -> None:
    assert set(found) == set(suites.names())


@pytest.mark.parametrize("name", suites.names())
def test_tables_have_a_model_and_something_beside_it(name: str, found: dict[str, Evaluation]) -> None:
    kinds = {row.kind for table in found[name][name].tables for row in table.rows}
    assert "model" in kinds
    assert kinds <= set(KINDS)
    assert kinds & {"floor", "noise"}
    for table in found[name][name].tables:
        columns = [column.name for column in table.columns]
        assert len(set(columns)) == len(columns)
        for row in table.rows:
            assert set(row.values) <= set(columns), (table.name, row.name)
            assert any(value is not None for value in row.values.values())
            assert all(value is None or math.isfinite(value) for value in row.values.values()), (table.name, row)


@pytest.mark.parametrize("name", suites.names())
def test_as_text_and_json(name: str, found: dict[str, Evaluation], tmp_path: Path) -> None:
    text = str(found[name])
    for table in found[name][name].tables:
        assert table.title in text
        assert all(row.name in text for row in table.rows)
    found[name].write_json(tmp_path / "scores.json")
    content = json.loads((tmp_path / "scores.json").read_text())
    assert content["format"] == "voxgan-evaluation"
    assert list(content["suites"]) == [name] == list(content["seconds"])
    for table in found[name][name].tables:
        stored = content["suites"][name]["tables"][table.name]
        assert [row["name"] for row in stored["rows"]] == [row.name for row in table.rows]
        for row, line in zip(stored["rows"], table.rows, strict=True):
            assert set(row) == {"name", "kind", *(column.name for column in table.columns)}
            for column in table.columns:
                value = line.values.get(column.name)
                assert row[column.name] == (None if value is None else pytest.approx(value, rel=1e-5))


@pytest.mark.parametrize("name", ["generation", "latent", "reconstruction"])
def test_sheets_are_pictures(name: str, found: dict[str, Evaluation], tmp_path: Path) -> None:
    from PIL import Image

    paths = found[name].write_sheets(tmp_path / "new")
    assert len(paths) >= 3
    for path, drawn in zip(paths, found[name][name].sheets, strict=True):
        with Image.open(path) as image:
            assert (image.height, image.width, 3) == drawn.picture.shape
            assert len(np.unique(np.asarray(image))) > 5, "nothing is drawn"


def test_scores_are_found_by_name(found: dict[str, Evaluation]) -> None:
    one = found["generation"]
    assert one.score("generation", "sets", "n") == 16
    assert one.score("generation", "sets", "cov_iou", "training shapes") is not None
    for wrong in (("latent", "sets", "n"), ("generation", "set", "n"), ("generation", "sets", "m")):
        with pytest.raises(KeyError):
            one.score(*wrong)
    with pytest.raises(KeyError, match="it has generation"):
        one["latent"]


@pytest.mark.parametrize(("name", "count"), [("generation", 6), ("latent", 2), ("reconstruction", None)])
def test_the_same_seed_gives_the_same_figures(
    name: str, count: int | None, data: Path, gan: Model, photo_model: Model
) -> None:
    model = photo_model if name == "reconstruction" else gan
    one, other, another = (evaluated(model, data, name, count=count, seed=seed).as_dict() for seed in (3, 3, 4))
    for content in (one, other, another):
        del content["seconds"]
    assert json.dumps(one) == json.dumps(other)
    assert one["suites"][name]["tables"] != another["suites"][name]["tables"]


def test_without_a_suite_all_that_the_model_can(data: Path, gan: Model) -> None:
    found = voxgan.evaluate(gan, data, quick=True, count=2)
    assert [suite.name for suite in found.suites] == ["classification", "generation", "latent"]
    assert found.facts["left_out"] == {
        "reconstruction": "GAN3D is a gan3d, which cannot reconstruct from a photo; use a vae_gan3d model, as furniture"
    }


def test_says_what_it_does(data: Path, gan: Model) -> None:
    told: list[tuple[str, int, int]] = []
    evaluated(gan, data, "generation", count=4, report=lambda *line: told.append(line))
    stages = list(dict.fromkeys(label for label, _, _ in told))
    assert stages[:2] == ["points of test shapes", "making samples"]
    for label in stages:
        assert all(0 < done <= total for stage, done, total in told if stage == label)
        assert [line for line in told if line[0] == label][-1][1:] in {(t, t) for _, _, t in told}


def test_a_model_by_name(data: Path, gan: Model, tmp_path: Path) -> None:
    save_model(gan, tmp_path / "mine")
    found = voxgan.evaluate(tmp_path / "mine", data, "generation", count=4)
    assert found.model == "mine"
    assert "mine on shapes.h5" in str(found)


# ---------------------------------------------------------------------------------------------- refused
def test_an_unknown_suite_names_the_nearest(data: Path, gan: Model) -> None:
    with pytest.raises(UsageError, match="no suite 'generaton'; did you mean 'generation'"):
        voxgan.evaluate(gan, data, "generaton")
    with pytest.raises(UsageError, match="no suite given"):
        voxgan.evaluate(gan, data, [])


def test_a_generator_cannot_reconstruct(data: Path, gan: Model) -> None:
    with pytest.raises(UsageError, match="gan3d, which cannot reconstruct from a photo; use a vae_gan3d model"):
        voxgan.evaluate(gan, data, "reconstruction")


def test_a_shipped_model_has_no_discriminator(data: Path) -> None:
    with pytest.raises(UsageError, match=r"chairs-gan3d comes without its discriminator.*evaluate a run folder"):
        voxgan.evaluate("chairs-gan3d", data, "classification")


def test_a_discriminator_of_packs_is_refused(data: Path) -> None:
    kind = find("gan3d")
    model = kind(kind.Config(resolution=16, width=4, pack=2))
    with pytest.raises(UsageError, match="looks at 2 shapes at once"):
        voxgan.evaluate(model, data, "classification")


@pytest.mark.parametrize("suite", ["generation", "latent", "classification"])
def test_unequal_resolutions(suite: str, data: Path) -> None:
    kind = find("gan3d")
    model = kind(kind.Config(resolution=32, width=2))
    with pytest.raises(UsageError, match=r"makes 32³ grids and .* holds 16³; prepare the data with  --resolution 32"):
        voxgan.evaluate(model, data, suite)


def test_data_of_twice_the_resolution_are_halved(gan: Model, data: Path, tmp_path: Path) -> None:
    """Grids whose every cell is doubled give the very figures of the grids themselves."""
    with Dataset(data, "all") as all_, Writer.create(tmp_path / "fine.h5", 2 * all_.resolution, all_.classes) as fine:
        for row, name in enumerate(all_.names()):
            grid = all_.occupancy([row])[0].repeat(2, 0).repeat(2, 1).repeat(2, 2)
            fine.add(grid, all_.classes[all_.labels[row]], SPLITS[all_.splits[row]], name)
    coarse, halved = (voxgan.evaluate(gan, path, "generation") for path in (data, tmp_path / "fine.h5"))
    assert halved["generation"].tables == coarse["generation"].tables
    assert (coarse.facts["stored_resolution"], halved.facts["stored_resolution"]) == (16, 32)
    assert halved.facts["resolution"] == 16


def test_samples_in_pieces_can_be_left_out(conditional: Model, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of shattered samples falls to nothing where a model can do otherwise, in all classes."""

    def decode(self: Model, z: torch.Tensor) -> Shapes:
        grids = np.zeros((len(z), 16, 16, 16), np.float32)
        grids[:, 2:8, 2:8, 2:12] = 1
        grids[(z[:, 0] > 0.5).numpy(), 10:14, 10:14, 2:8] = 1
        return Shapes(grids)

    monkeypatch.setattr(type(conditional), "decode", decode)
    plain, whole = (voxgan.evaluate(conditional, data, "generation", whole=share) for share in (0.0, 0.95))
    assert plain.score("generation", "alone", "shattered") > 0.2
    assert whole.score("generation", "alone", "shattered") == 0
    assert whole["generation"].facts["whole"] == 0.95 and "were drawn again" in str(whole)
    assert "were drawn again" not in str(plain)


def test_what_is_shattered_is_told_of_each_class(
    conditional: Model, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of this model balls, the last class, lie in halves; they are what is shown as hanging together the least."""

    def decode(self: Model, z: torch.Tensor) -> Shapes:
        grids = np.zeros((len(z), 16, 16, 16), np.float32)
        grids[:, 2:8, 2:8, 2:12] = 1
        grids[(z[:, -1] == 1).numpy(), 2:8, 2:8, 6:9] = 0
        return Shapes(grids)

    monkeypatch.setattr(type(conditional), "decode", decode)
    found = voxgan.evaluate(conditional, data, "generation", count=20)
    shares = {name: found.score("generation", "shattered_per_class", name) for name in ("box", "ball", "mean")}
    assert shares == {"box": 0, "ball": 1, "mean": 0.5}
    assert found.score("generation", "shattered_per_class", "mean", "test shapes") == 0
    loosest = next(one for one in found["generation"].sheets if one.name == "generation_pieces")
    halves = sheet(np.repeat(decode(conditional, torch.tensor([[1.0]])).occupancy, 8, 0), 8, size=128)
    assert np.array_equal(loosest.picture, halves)


def test_a_model_that_cannot_choose_has_no_table_of_classes(gan: Model, data: Path) -> None:
    found = voxgan.evaluate(gan, data, "generation", count=4)
    assert [table.name for table in found["generation"].tables] == ["sets", "features", "alone"]


def test_other_classes(data: Path) -> None:
    kind = find("gan3d")
    model = kind(kind.Config(resolution=16, width=4, classes=("cone",)))
    with pytest.raises(DatasetError, match="holds box, ball, and the model was trained on cone"):
        voxgan.evaluate(model, data, "generation")


def test_no_test_shapes(gan: Model, tmp_path: Path) -> None:
    path = tmp_path / "train.h5"
    with Writer.create(path, 16, ("box",)) as writer:
        writer.add(np.pad(np.ones((8, 8, 8), bool), 4), "box", "train", "0")
    with pytest.raises(DatasetError, match="no test shapes of the model's classes"):
        voxgan.evaluate(gan, path, "generation")


@pytest.mark.parametrize("suite", ["generation", "latent"])
def test_no_training_shapes(suite: str, gan: Model, photos: Path) -> None:
    with pytest.raises(DatasetError, match=r"no training shapes, which floors and oracles are made of; .*--train"):
        voxgan.evaluate(gan, photos, suite)


def test_training_shapes_may_come_from_elsewhere(gan: Model, photos: Path, data: Path) -> None:
    found = voxgan.evaluate(gan, photos, "generation", train=data)
    assert found.facts["train_shapes"] == 48


def test_one_shape_makes_no_set(gan: Model, tmp_path: Path) -> None:
    path = tmp_path / "one.h5"
    with Writer.create(path, 16, ("box",)) as writer:
        for number, split in enumerate(("train", "test")):
            writer.add(
                np.pad(np.ones((8, 8, 8 - number), bool), ((4, 4), (4, 4), (4, 4 + number))), "box", split, split
            )
    with pytest.raises(DatasetError, match="expected at least 2 of each"):
        voxgan.evaluate(gan, path, "generation")
    with pytest.raises(UsageError, match="count=1: expected 2 or more"):
        voxgan.evaluate(gan, path, "generation", count=1)


def test_one_class_cannot_be_told_apart(gan: Model, tmp_path: Path) -> None:
    path = tmp_path / "boxes.h5"
    with Writer.create(path, 16, ("box",)) as writer:
        for number in range(4):
            grid = np.zeros((16, 16, 16), bool)
            grid[2 : 6 + number, 2:8, 2:8] = True
            writer.add(grid, "box", ("train", "test")[number % 2], str(number))
    with pytest.raises(DatasetError, match="one class only"):
        voxgan.evaluate(gan, path, "classification")
    found = voxgan.evaluate(gan, path, quick=True, count=2)
    assert "Left out: classification, for boxes.h5 has test shapes of one class only." in str(found)


def test_a_discriminator_may_be_judged_on_classes_that_it_never_saw(data: Path) -> None:
    kind = find("gan3d")
    model = kind(kind.Config(resolution=16, width=4, latent=8, classes=("box",)))
    assert voxgan.evaluate(model, data, "classification").score("classification", "accuracy", "all") > 0.5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"count": "8"}, "count='8': expected 2 or more"),
        ({"count": 2.5}, "count=2.5: expected 2 or more"),
        ({"seed": 1.5}, "seed=1.5: expected a whole number"),
        ({"seed": None}, "seed=None: expected a whole number"),
        ({"train": 7}, "train is a int; expected a name or a path"),
        ({"suite": ["latent", 3]}, "no suite '3'"),
    ],
)
def test_values_of_a_wrong_kind(options: dict[str, Any], says: str, gan: Model, data: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        voxgan.evaluate(gan, data, **options)
    with pytest.raises(UsageError, match="the data is a NoneType"):
        voxgan.evaluate(gan, None)  # type: ignore[arg-type]


def test_what_cannot_be_read(data: Path, gan: Model, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no data set"):
        voxgan.evaluate(gan, tmp_path / "none.h5", "generation")
    with pytest.raises(StorageError, match="no model"):
        voxgan.evaluate("nowhere", data, "generation")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        voxgan.evaluate(tmp_path / "empty", data, "generation")
    with pytest.raises(UsageError, match=r"seed=.*: expected a whole number from 0 to"):
        voxgan.evaluate(gan, data, "generation", seed=2**70)
    with pytest.raises(UsageError, match="seed=-1: expected"):
        voxgan.evaluate(gan, data, "generation", seed=-1)


# ------------------------------------------------------------------------------------------- the setting
def test_names_of_the_same_class(gan: Model, data: Path) -> None:
    assert same("bookcase") == "bookshelf"
    with Dataset(data, "test") as test, Dataset(data, "train", ["ball"]) as train:
        setting = Setting(gan, "gan", test, train, True, 0, None, lambda *_: None)
        assert set(setting.labels_of(train).tolist()) == {1}
        chosen = setting.chosen(test, 5)
        assert len(chosen) == 5 == len(set(chosen.tolist()))
        np.testing.assert_array_equal(chosen, setting.chosen(test, 5))
        by_class = setting.chosen_of_classes(test, 3)
        assert np.bincount(test.labels[by_class]).tolist() == [3, 3]
        assert [part.tolist() for part in pieces(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]
