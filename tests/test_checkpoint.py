from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from voxgan import models
from voxgan.checkpoint import load, load_state, read_config, save_model, save_state
from voxgan.errors import CheckpointError, StorageError, UsageError
from voxgan.models.model import Model, make_config

WEIGHTS = "weights.safetensors"


def make(name: str = "gan3d", **options: Any) -> Model:
    """A model with batch statistics and a generator loud enough that its shapes have surfaces."""
    torch.manual_seed(0)
    kind = models.find(name)
    model = kind(make_config(kind.Config, {"resolution": 16, "width": 4, "latent": 8, "classes": "a,b", **options}))
    for layer in model.generator.modules():
        if isinstance(layer, torch.nn.BatchNorm3d):
            layer.running_var.fill_(0.02)
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_model(make(), tmp_path / "model", {"title": "tiny"})


def change_config(folder: Path, **changes: Any) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | changes))


def change_tensors(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    """Write other tensors, with the hash that belongs to them: only the content is wrong."""
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    change_config(folder, weights={"file": WEIGHTS, "sha256": digest})


# ------------------------------------------------------------------------------------------- the round trip
@pytest.mark.parametrize("name", models.names())
def test_saved_and_loaded_is_bit_equal(name: str, tmp_path: Path) -> None:
    model = make(name)
    loaded = load(save_model(model, tmp_path / "model"))
    assert type(loaded) is type(model) and loaded.config == model.config
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in loaded.state_dict().items())
    np.testing.assert_array_equal(loaded.generate(3, seed=5).occupancy, model.generate(3, seed=5).occupancy)
    if name == "vae_gan3d":
        photos = np.random.default_rng(0).random((2, 3, 256, 256), dtype=np.float32)
        np.testing.assert_array_equal(loaded.reconstruct(photos).occupancy, model.reconstruct(photos).occupancy)


def test_half_precision_keeps_the_shapes_and_saves_half_the_bytes(tmp_path: Path) -> None:
    model = make(width=8)
    full, half = save_model(model, tmp_path / "full"), save_model(model, tmp_path / "half", half=True)
    assert (half / WEIGHTS).stat().st_size < 0.6 * (full / WEIGHTS).stat().st_size
    loaded = load(half)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    a, b = (m.generate(8, seed=0).occupancy >= 0.5 for m in (model, loaded))
    assert 0.1 < a.mean() < 0.9
    assert (a & b).sum() / (a | b).sum() > 0.99


def test_some_networks_only(tmp_path: Path) -> None:
    model = make("vae_gan3d")
    loaded = load(save_model(model, tmp_path / "model", networks=["generator"]))
    assert [name for name, _ in loaded.named_children()] == ["generator"]
    np.testing.assert_array_equal(loaded.generate(2, seed=0).occupancy, model.generate(2, seed=0).occupancy)
    with pytest.raises(UsageError, match="hold no image encoder"):
        loaded.reconstruct(np.zeros((20, 20, 3), np.uint8))


@pytest.mark.parametrize("networks", [[], ["encoder"], ["generator", "critic"]])
def test_networks_that_would_not_load_are_not_saved(networks: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="generator among them"):
        save_model(make("vae_gan3d"), tmp_path / "model", networks=networks)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("half", [False, True])
def test_what_is_not_finite_is_not_saved(half: bool, tmp_path: Path) -> None:
    model = make()
    next(model.generator.parameters()).data.flatten()[0] = 1e6 if half else float("nan")  # 1e6 is inf in half
    with pytest.raises(CheckpointError, match="NaN or infinity; it is not saved"):
        save_model(model, tmp_path / "model", half=half)
    assert not (tmp_path / "model").exists()


def test_saving_again_replaces_the_weights(folder: Path) -> None:
    save_model(make(), folder, name="weights-00000007.safetensors")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "weights-00000007.safetensors"]
    load(folder)


# ---------------------------------------------------------------------------------------- damaged and foreign
def flip(folder: Path, place: int) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[place] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def cut(folder: Path, length: int) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:length])


DAMAGES: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "bit in the header": (lambda f: flip(f, 20), CheckpointError, "SHA-256.*damaged"),
    "bit in the middle": (lambda f: flip(f, 40_000), CheckpointError, "SHA-256.*damaged"),
    "last bit": (lambda f: flip(f, -1), CheckpointError, "SHA-256.*damaged"),
    "cut in half": (lambda f: cut(f, 50_000), CheckpointError, "SHA-256.*damaged"),
    "cut by a byte": (lambda f: cut(f, -1), CheckpointError, "SHA-256.*damaged"),
    "empty": (lambda f: cut(f, 0), CheckpointError, "SHA-256.*damaged"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), StorageError, "cannot read .*weights.safetensors"),
    "weights a folder": (
        lambda f: ((f / WEIGHTS).unlink(), (f / WEIGHTS).mkdir()),
        StorageError,
        "cannot read .*weights.safetensors",
    ),
    "no config": (lambda f: (f / "config.json").unlink(), CheckpointError, "no config.json"),
    "config empty": (lambda f: (f / "config.json").write_text(""), CheckpointError, "not JSON"),
    "config binary": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00" * 9), CheckpointError, "not JSON"),
    "config a list": (lambda f: (f / "config.json").write_text("[1]"), CheckpointError, "a JSON list"),
    "config nested": (lambda f: (f / "config.json").write_text("[" * 200_000), CheckpointError, "not JSON"),
    "config huge": (lambda f: (f / "config.json").write_bytes(b" " * (1 << 24) + b"{}"), CheckpointError, "16 MiB"),
    "config foreign": (
        lambda f: (f / "config.json").write_text('{"model_type": "bert", "hidden_size": 768}'),
        CheckpointError,
        "expected 'voxgan-model' version 1",
    ),
    "later version": (lambda f: change_config(f, version=2), CheckpointError, "version 2, expected"),
    "no model": (lambda f: change_config(f, model=None), CheckpointError, "lacks 'model' or 'config'"),
    "unknown model": (lambda f: change_config(f, model="gan4d"), CheckpointError, "no model 'gan4d'"),
    "model a path": (lambda f: change_config(f, model="../os"), CheckpointError, "no model '../os'"),
    "base class": (lambda f: change_config(f, model="model"), CheckpointError, "no model 'model'"),
    "options a list": (lambda f: change_config(f, config=[]), CheckpointError, "lacks 'model' or 'config'"),
    "unknown option": (lambda f: change_config(f, config={"depth": 3}), CheckpointError, "unknown option 'depth'"),
    "wrong option": (lambda f: change_config(f, config={"width": "x"}), CheckpointError, "width='x'"),
    "absurd width": (lambda f: change_config(f, config={"width": 10**9}), CheckpointError, "width=1000000000"),
    "absurd latent": (lambda f: change_config(f, config={"latent": 2**62}), CheckpointError, "config.json"),
    "more latent": (lambda f: change_config(f, config={"resolution": 16, "latent": 2**15}), CheckpointError, "shape"),
    "other width": (
        lambda f: change_config(f, config={"resolution": 16, "width": 6, "latent": 8}),
        CheckpointError,
        "shape",
    ),
    "training a list": (lambda f: change_config(f, training=[]), CheckpointError, "'training'"),
    "weights null": (lambda f: change_config(f, weights=None), CheckpointError, "holds no weights yet"),
    "weights a text": (lambda f: change_config(f, weights=WEIGHTS), CheckpointError, "'weights'"),
    "no hash": (lambda f: change_config(f, weights={"file": WEIGHTS}), CheckpointError, "holds no weights"),
    "hash empty": (lambda f: change_config(f, weights={"file": WEIGHTS, "sha256": ""}), CheckpointError, "no weights"),
    "wrong hash": (
        lambda f: change_config(f, weights={"file": WEIGHTS, "sha256": "0" * 64}),
        CheckpointError,
        "expected 000000000000",
    ),
    "hash a number": (lambda f: change_config(f, weights={"file": WEIGHTS, "sha256": 5}), CheckpointError, "SHA-256"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused(damage: str, folder: Path) -> None:
    change, error, says = DAMAGES[damage]
    load(folder)
    change(folder)
    with pytest.raises(error, match=says):
        load(folder)


@pytest.mark.parametrize(
    "name",
    [
        "../other/weights.safetensors",
        "/etc/passwd",
        "sub/weights.safetensors",
        "..",
        "",
        ".safetensors/../weights.safetensors",
        "weights.pt",
        "weights.safetensors.pkl",
        "w\0.safetensors",
    ],
)
def test_a_weights_file_elsewhere_is_refused(name: str, folder: Path) -> None:
    """Even where the file is there and whole, and its hash is right."""
    digest = json.loads((folder / "config.json").read_text())["weights"]["sha256"]
    content = (folder / WEIGHTS).read_bytes()
    for place in ("../other/weights.safetensors", "sub/weights.safetensors", "weights.pt", "weights.safetensors.pkl"):
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_bytes(content)
    (folder / ".safetensors").mkdir()
    change_config(folder, weights={"file": name, "sha256": digest})
    with pytest.raises((CheckpointError, StorageError)):
        load(folder)


FIRST = "generator.layers.0.weight"
TENSORS: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "extra": (lambda t: t.update({"generator.extra": torch.zeros(1)}), "first difference: 'generator.extra'"),
    "missing": (lambda t: t.pop(FIRST), f"first difference: '{FIRST}'"),
    "foreign network": (lambda t: t.update({"critic.weight": torch.zeros(1)}), "'critic.weight'"),
    "no generator": (lambda t: [t.pop(key) for key in [*t] if key.startswith("generator")], "holds no generator"),
    "none at all": (lambda t: t.clear(), "holds no generator"),
    "other shape": (lambda t: t.update({FIRST: t[FIRST][:, :-1].contiguous()}), "has the shape"),
    "transposed": (lambda t: t.update({FIRST: t[FIRST].transpose(0, 1).contiguous()}), "has the shape"),
    "scalar": (lambda t: t.update({FIRST: torch.tensor(1.0)}), r"has the shape \(\)"),
    "NaN": (lambda t: t[FIRST][3, 3].fill_(float("nan")), "NaN or infinity; take an earlier checkpoint"),
    "infinity": (lambda t: t[FIRST][3, 3].fill_(float("-inf")), "NaN or infinity"),
    "too large in single": (lambda t: t.update({FIRST: t[FIRST].double() * 1e300}), "NaN or infinity"),
    "whole numbers": (lambda t: t.update({FIRST: t[FIRST].long()}), "is torch.int64, the model expects torch.float32"),
    "complex": (lambda t: t.update({FIRST: t[FIRST].to(torch.complex64)}), "is torch.complex64"),
    "eight bits": (lambda t: t.update({FIRST: torch.full_like(t[FIRST], float("nan")).to(torch.float8_e5m2)}), "NaN"),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_that_do_not_fit_are_refused(kind: str, folder: Path) -> None:
    change, says = TENSORS[kind]
    change_tensors(folder, change)
    with pytest.raises(CheckpointError, match=says):
        load(folder)


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"\xff" * 8 + b"{}", b"\x02" + b"\0" * 7 + b"{}x", b"PK\3\4" * 99])
def test_files_that_are_no_safetensors_are_refused_though_their_hash_is_right(content: bytes, folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(content)
    change_config(folder, weights={"file": WEIGHTS, "sha256": hashlib.sha256(content).hexdigest()})
    with pytest.raises(CheckpointError, match=r"not a readable safetensors file|holds no generator"):
        load(folder)


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".PT", ".ckpt", ".bin"])
def test_a_pickle_is_refused_and_not_opened(suffix: str, tmp_path: Path) -> None:
    file, trap = tmp_path / f"model{suffix}", tmp_path / "sprung"
    file.write_bytes(pickle.dumps(Trap(trap)))
    with pytest.raises(CheckpointError, match="a pickled checkpoint, which can run code"):
        load(file)
    assert not trap.exists()


def test_a_pickle_in_the_place_of_the_weights_is_not_opened(folder: Path, tmp_path: Path) -> None:
    content = pickle.dumps(Trap(tmp_path / "sprung"))
    (folder / WEIGHTS).write_bytes(content)
    change_config(folder, weights={"file": WEIGHTS, "sha256": hashlib.sha256(content).hexdigest()})
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load(folder)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["", "no-such-model", "no/such/folder", "x" * 5000, "nul\0in.it", "…/漢 字"])
def test_no_such_model(name: str) -> None:
    with pytest.raises((StorageError, CheckpointError)):
        load(name)


def test_a_file_is_no_model(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="a file; expected a folder"):
        load(folder / WEIGHTS)


def test_the_training_part_comes_back(folder: Path) -> None:
    assert read_config(folder)[1]["training"] == {"title": "tiny"}


# ------------------------------------------------------------------------------------------ training states
def states(folder: Path, *steps: int) -> None:
    folder.mkdir(exist_ok=True)
    for step in steps:
        save_state(folder, step, {"model/x": torch.full((100,), float(step))}, {"accuracy": 0.1 * step})


def test_the_last_two_states_are_kept(tmp_path: Path) -> None:
    states(tmp_path / "run", 1, 2, 3)
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["resume.json", "state-00000002.safetensors", "state-00000003.safetensors"]
    step, tensors, figures = load_state(tmp_path / "run")
    assert (step, figures) == (3, {"accuracy": 0.1 * 3}) and tensors["model/x"].tolist() == [3.0] * 100


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "swap"])
def test_a_damaged_state_falls_back_to_the_one_before(damage: str, tmp_path: Path) -> None:
    states(tmp_path / "run", 4, 8)
    newest = tmp_path / "run" / "state-00000008.safetensors"
    content = bytearray(newest.read_bytes())
    if damage == "flip":
        content[-3] ^= 64
        newest.write_bytes(content)
    elif damage == "cut":
        newest.write_bytes(content[:-1])
    elif damage == "remove":
        newest.unlink()
    else:
        newest.write_bytes((tmp_path / "run" / "state-00000004.safetensors").read_bytes())
    step, tensors, figures = load_state(tmp_path / "run")
    assert (step, figures["accuracy"]) == (4, 0.4) and tensors["model/x"].tolist() == [4.0] * 100
    states(tmp_path / "run", 8)  # and so goes on
    assert load_state(tmp_path / "run")[0] == 8


def test_no_state_whole(tmp_path: Path) -> None:
    states(tmp_path / "run", 4, 8)
    for path in (tmp_path / "run").glob("state*"):
        path.write_bytes(b"x")
    with pytest.raises(CheckpointError, match="no training state is whole"):
        load_state(tmp_path / "run")


def test_a_state_that_is_not_finite_is_not_saved(tmp_path: Path) -> None:
    states(tmp_path / "run", 4)
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        save_state(tmp_path / "run", 8, {"model/x": torch.tensor([float("nan")])}, {})
    assert load_state(tmp_path / "run")[0] == 4


# ------------------------------------------------------------------------------------------------ a full disk
_LIMITED = """
import resource, sys
import torch
sys.path.insert(0, {tests!r})
from test_checkpoint import make
from voxgan.checkpoint import load, save_model
from voxgan.errors import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    save_model(make(), {folder!r}, {{"title": "second"}}, name="weights-2.safetensors")
except StorageError as error:
    print(error)
    sys.exit(4)
"""


@pytest.mark.parametrize("limit", [100, 50_000])
def test_a_full_disk_leaves_the_old_model(limit: int, folder: Path) -> None:
    assert (folder / WEIGHTS).stat().st_size > limit
    code = _LIMITED.format(tests=str(Path(__file__).parent), limit=limit, folder=str(folder))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 4, done.stderr
    assert "cannot write" in done.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", WEIGHTS]
    assert read_config(folder)[1]["training"] == {"title": "tiny"}
    load(folder)


def test_an_underscore_may_stand_for_the_hyphen_of_a_shipped_name() -> None:
    assert read_config("chairs_gan3d") == read_config("chairs-gan3d")
