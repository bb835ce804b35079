"""Models and training states on disk: safetensors and JSON, hashed, checked, never pickled.

A model folder holds ``config.json`` and the weights file that it names::

    {"format": "voxgan-model", "version": 1, "model": "gan3d", "config": {…},
     "networks": ["generator", …], "weights": {"file": "weights-….safetensors", "sha256": "…"}, "training": {…},
     "class_latents": {"file": "class_latents.safetensors", "sha256": "…", "names": ["chair", …]}}

where ``class_latents`` is there if some were fitted (`voxgan.class_latents`).

A run folder is a model folder with ``log.jsonl``, ``samples/`` and ``resume.json``, which names the last two
training states, newest first.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from voxgan import models
from voxgan.class_latents import ClassLatents
from voxgan.errors import CheckpointError, InputError, StorageError, UsageError, nearest
from voxgan.files import atomic_write, sha256, sweep_temporaries, write_json
from voxgan.hub import fetched, is_hub_name
from voxgan.models.model import Model, make_config

__all__ = [
    "MODEL_FORMAT",
    "build",
    "describe",
    "find_device",
    "load",
    "load_state",
    "newest_step",
    "read_config",
    "read_json",
    "read_weights",
    "require_finite",
    "save_class_latents",
    "save_model",
    "save_state",
    "shipped",
    "sweep_states",
    "write_tensors",
]

MODEL_FORMAT = "voxgan-model"
VERSION = 1
_PRETRAINED = Path(__file__).parent / "pretrained"
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".tar", ".bin")
_MAX_JSON = 1 << 24
_CLASS_LATENTS = "class_latents.safetensors"


def shipped() -> tuple[str, ...]:
    """Return the names of the models that come with the package."""
    return tuple(sorted(path.parent.name for path in _PRETRAINED.glob("*/config.json")))


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a small JSON file of voxgan holds.

    Raises
    ------
    StorageError
        If it cannot be read.
    CheckpointError
        If it is no JSON object, or over 16 MiB.
    """
    try:
        if path.stat().st_size > _MAX_JSON:
            raise CheckpointError(f"{path}: over 16 MiB, which no voxgan file of this kind is")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON ({error}); the file is damaged, copy it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: a JSON {type(content).__name__}, expected an object; the file is damaged")
    return content


def _folder_of(name: str | Path) -> Path:
    if is_hub_name(name):
        return fetched(str(name))
    path = Path(name)
    try:
        path.exists()
    except OSError as error:  # a name too long, a folder that may not be searched
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    dashed = str(name).replace("_", "-")
    for known in (str(name), *([] if path.exists() else [dashed])):
        if (_PRETRAINED / known / "config.json").is_file() and not (path / "config.json").is_file():
            return _PRETRAINED / known
    if path.is_dir():
        return path
    if path.is_file():
        if path.suffix.lower() in _PICKLES:
            raise CheckpointError(f"{path}: a pickled checkpoint, which can run code; voxgan loads safetensors folders")
        raise CheckpointError(f"{path}: a file; expected a folder with config.json, or one of {', '.join(shipped())}")
    raise StorageError(
        f"no model {str(name)!r}: neither a folder nor shipped; {nearest(dashed, shipped())}; of the hub, write "
        "hub:OWNER/NAME"
    )


def read_config(name: str | Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a model and its checked ``config.json``.

    Raises
    ------
    StorageError
        If there is no such model, or it cannot be read.
    CheckpointError
        If the folder holds no voxgan model, or a damaged one.
    """
    folder = _folder_of(name)
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder}: no config.json in it; expected a run or model folder of voxgan")
    content = read_json(folder / "config.json")
    if content.get("format") != MODEL_FORMAT or content.get("version") != VERSION:
        got = f"{content.get('format')!r} version {content.get('version')!r}"
        raise CheckpointError(f"{folder}: its config.json is {got}, expected {MODEL_FORMAT!r} version {VERSION}")
    if not isinstance(content.get("config"), dict) or not isinstance(content.get("model"), str):
        raise CheckpointError(f"{folder}: its config.json lacks 'model' or 'config'; the file is damaged")
    for key in ("training", "weights", "class_latents"):
        if not isinstance(content.get(key), dict | None):
            raise CheckpointError(f"{folder}: {key!r} in its config.json is no object; the file is damaged")
    return folder, content


def build(content: Mapping[str, Any]) -> Model:
    """Make the model that a ``config.json`` describes, with fresh weights."""
    try:
        kind = models.find(str(content["model"]))
        return kind(make_config(kind.Config, content["config"]))
    except (UsageError, RuntimeError) as error:  # RuntimeError: sizes that no memory holds
        raise CheckpointError(f"config.json: {error}; written by another version of voxgan?") from error


def _check_file(folder: Path, entry: Any) -> Path:
    """Return the file that an entry {"file", "sha256"} names, after checking its hash."""
    if not isinstance(entry, dict) or not isinstance(entry.get("file"), str) or not entry.get("sha256"):
        raise CheckpointError(f"{folder}: holds no weights yet; let training reach its first checkpoint")
    name: str = entry["file"]
    if Path(name).name != name or not name.endswith(".safetensors"):
        raise CheckpointError(f"{folder}: names the file {name!r}; expected a .safetensors file beside it")
    path = folder / name
    try:
        found = sha256(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise StorageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if found != entry["sha256"]:
        raise CheckpointError(f"{path}: its SHA-256 is {found[:12]}…, expected {str(entry['sha256'])[:12]}…; damaged")
    return path


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error}); copy it again") from error


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Load `tensors` into `module`, refusing other names, shapes, or numbers that are not finite."""
    expected = module.state_dict()
    if set(expected) != set(tensors):
        odd = sorted(set(expected) ^ set(tensors))[0]
        raise CheckpointError(f"{where}: its tensors do not fit the model (first difference: {odd!r})")
    full = {}
    for name, target in expected.items():
        tensor = tensors[name]
        if tensor.shape != target.shape:
            got, want = tuple(tensor.shape), tuple(target.shape)
            raise CheckpointError(f"{where}: {name!r} has the shape {got}, the model expects {want}")
        if tensor.dtype.is_floating_point != target.dtype.is_floating_point or tensor.is_complex():
            raise CheckpointError(f"{where}: {name!r} is {tensor.dtype}, the model expects {target.dtype}")
        full[name] = tensor.to(target.dtype)
        if not bool(torch.isfinite(full[name]).all()):
            raise CheckpointError(f"{where}: {name!r} holds NaN or infinity; take an earlier checkpoint")
    module.load_state_dict(full, assign=True)


def read_weights(network: nn.Module, folder: Path, entry: Any) -> None:
    """Load into a network the weights file that an entry {"file", "sha256"} of a folder names, after checking its hash.

    Raises
    ------
    StorageError
        If it cannot be read.
    CheckpointError
        If it is damaged, or does not fit the network.
    """
    path = _check_file(folder, entry)
    _fill(network, _read_tensors(path), path)
    network.requires_grad_(False)


def _read_class_latents(folder: Path, entry: Mapping[str, Any], latent: int) -> ClassLatents:
    """Return the class latents that an entry {"file", "sha256", "names"} names, of a model with L = `latent`."""
    kinds = {"file": str, "sha256": str, "names": list}
    if not all(isinstance(entry.get(key), kind) and entry[key] for key, kind in kinds.items()):
        raise CheckpointError(
            f"{folder}: 'class_latents' in its config.json lacks file, sha256 or names; it is damaged"
        )
    path = _check_file(folder, entry)
    tensors = _read_tensors(path)
    if set(tensors) - {"photo_noise"} != {"means", "factors"}:
        held = ", ".join(sorted(tensors)) or "nothing"
        raise CheckpointError(f"{path}: holds {held}; expected means and factors, and photo_noise at most")
    try:
        found = ClassLatents(tuple(entry["names"]), **tensors)
    except (InputError, TypeError) as error:
        raise CheckpointError(f"{path}: {error}; fit the class latents again") from error
    if found.means.shape[1] != latent:
        raise CheckpointError(f"{path}: means of {found.means.shape[1]} numbers, the model's latents have {latent}")
    return found


def load(name: str | Path = "furniture", device: str | torch.device = "cpu", precision: str = "fp32") -> Model:
    """Load a model: a shipped one by its name, a run or model folder, or one of the hub.

    Parameters
    ----------
    name : str or path
        For instance "furniture", "runs/mine", or "hub:OWNER/NAME" (`voxgan.hub`).
    device : str or torch.device
        Where its weights go.
    precision : {"fp32", "bf16"}
        In which shapes are computed (`Model.precision`): bf16 is faster where the processor has it, and moves a few
        voxels; elsewhere it is fp32.

    Returns
    -------
    Model
        In evaluation mode.

    Raises
    ------
    UsageError
        For another precision, or a device that is not here.
    StorageError
        If there is no such model, or a file cannot be read.
    CheckpointError
        If it is damaged, foreign or pickled.
    """
    folder, content = read_config(name)
    path = _check_file(folder, content.get("weights"))
    tensors = _read_tensors(path)
    with torch.device("meta"):
        model = build(content)
    present = {key.split(".", 1)[0] for key in tensors}
    if "generator" not in present:
        raise CheckpointError(f"{path}: holds no generator")
    for child in [key for key, _ in model.named_children() if key not in present]:
        delattr(model, child)
    _fill(model, tensors, path)
    if content.get("class_latents") is not None:
        model.class_latents = _read_class_latents(folder, content["class_latents"], model.latent_size)
    model.precision = precision
    model.requires_grad_(False)
    return model.eval().to(find_device(device))


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Write a safetensors file and return its entry {"file", "sha256"}."""
    with atomic_write(path) as partial:
        content = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        try:
            safetensors.torch.save_file(content, partial)
        except safetensors.SafetensorError as error:
            raise StorageError(f"cannot write {path}: {error}; choose another place or free space") from error
        digest = sha256(partial)
    return {"file": path.name, "sha256": digest}


def require_finite(tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError if any of the tensors holds NaN or infinity."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{name!r} holds NaN or infinity; it is not saved")


def save_model(
    model: Model,
    folder: str | Path,
    training: Mapping[str, Any] | None = None,
    networks: Iterable[str] | None = None,
    half: bool = False,
    name: str = "weights.safetensors",
) -> Path:
    """Write a model folder that `load` reads.

    Parameters
    ----------
    model : Model
        Its `class_latents` are written, too, where it has some.
    folder : path
        Made if missing. Its ``config.json`` is replaced last, so that it always names whole weights.
    training : mapping, optional
        Anything JSON that is worth keeping beside the weights.
    networks : iterable of str, optional
        Only these sub-networks (``generator`` must be among them); default all.
    half : bool
        Store convolutions in half precision (vectors, such as batch norms, stay in single).
    name : str
        The weights file.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    folder = Path(folder)
    have = tuple(key for key, _ in model.named_children())
    chosen = tuple(networks) if networks is not None else have
    if "generator" not in chosen or not set(chosen) <= set(have):
        raise UsageError(f"networks={chosen}: expected some of {', '.join(have)}, generator among them")
    tensors = {key: value for key, value in model.state_dict().items() if key.split(".", 1)[0] in chosen}
    if half:
        tensors = {k: v.half() if v.is_floating_point() and v.ndim > 1 else v for k, v in tensors.items()}
    require_finite(tensors)
    entry = write_tensors(folder / name, tensors)
    former = _named_weights(folder)
    content = describe(model) | {"networks": list(chosen), "weights": entry, "training": dict(training or {})}
    write_json(folder / "config.json", content)
    if former is not None and former != name:
        (folder / former).unlink(missing_ok=True)
    (folder / _CLASS_LATENTS).unlink(missing_ok=True)  # they belonged to other weights
    if model.class_latents is not None:
        save_class_latents(model.class_latents, folder)
    return folder


def save_class_latents(latents: ClassLatents, folder: str | Path) -> None:
    """Write class latents beside the weights of a model folder, in place of those that it may have.

    Parameters
    ----------
    latents : ClassLatents
        Fitted to this model: `voxgan.class_latents.fit_class_latents`.
    folder : path
        A model or run folder.

    Raises
    ------
    CheckpointError, StorageError
        If the folder holds no model, or one with other latents, or cannot be written.
    """
    folder, content = read_config(folder)
    length = content["config"].get("latent")
    if latents.means.shape[1] != length:
        raise CheckpointError(f"{folder}: a model with latents of {length} numbers, not {latents.means.shape[1]}")
    if content.pop("class_latents", None) is not None:  # a config must never name a file that is half replaced
        write_json(folder / "config.json", content)
    tensors = {"means": latents.means, "factors": latents.factors}
    if latents.photo_noise is not None:
        tensors["photo_noise"] = latents.photo_noise
    entry = write_tensors(folder / _CLASS_LATENTS, tensors)
    write_json(folder / "config.json", content | {"class_latents": entry | {"names": list(latents.names)}})


def _named_weights(folder: Path) -> str | None:
    """Return the weights file that a folder's config names now, if it has one that can be read."""
    try:
        entry = read_json(folder / "config.json")["weights"]
        name = str(entry["file"])
        return name if Path(name).name == name else None
    except (CheckpointError, StorageError, KeyError, TypeError):
        return None


def find_device(name: str | torch.device) -> torch.device:
    """Return the device called `name`; "auto" takes a GPU where there is one.

    Raises
    ------
    UsageError
        If it is not to be had here.
    """
    text = str(name)
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if text == "auto" else text)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device={text!r} is not to be had here; use device=cpu or device=auto") from error
    return device


def describe(model: Model) -> dict[str, Any]:
    """Return the part of ``config.json`` that says which model it is."""
    return {
        "format": MODEL_FORMAT,
        "version": VERSION,
        "model": model.name,
        "config": dataclasses.asdict(model.config),
    }


def save_state(folder: Path, step: int, tensors: Mapping[str, Tensor], figures: Mapping[str, float]) -> None:
    """Write a training state and keep the one before it; ``resume.json`` names both, newest first."""
    require_finite(tensors)
    entry = write_tensors(folder / f"state-{step:08d}.safetensors", tensors)
    newest = {"step": step, "figures": dict(figures)} | entry
    listed = _listed_states(folder)
    kept = [newest, *[old for old in listed if old["step"] < step][:1]]
    write_json(folder / "resume.json", {"format": "voxgan-state", "version": VERSION, "states": kept})
    names = {old["file"] for old in kept}
    for old in listed:
        if old["file"] not in names and Path(old["file"]).name == old["file"]:
            (folder / old["file"]).unlink(missing_ok=True)


def _listed_states(folder: Path) -> list[dict[str, Any]]:
    """Return the states that ``resume.json`` lists well enough to be kept or removed."""
    try:
        states = read_json(folder / "resume.json").get("states")
    except (CheckpointError, StorageError):
        return []
    entries = states if isinstance(states, list) else []
    return [
        e for e in entries if isinstance(e, dict) and isinstance(e.get("step"), int) and isinstance(e.get("file"), str)
    ]


def newest_step(folder: Path) -> int | None:
    """Return the step of the newest training state that a run folder lists; None if it lists none."""
    return max((entry["step"] for entry in _listed_states(folder)), default=None)


def sweep_states(folder: Path) -> None:
    """Remove from a run folder what a stop within a write, or between two, has left: files that nothing names."""
    for place in (folder, folder / "samples"):
        sweep_temporaries(place)
    named = {entry["file"] for entry in _listed_states(folder)} | {_named_weights(folder)}
    for path in folder.iterdir():  # other names are the user's own copies
        is_ours = re.fullmatch(r"(state|weights)-\d{8}\.safetensors", path.name) and path.name not in named
        is_half = re.fullmatch(r"\.tmp\w{6}", path.name)  # safetensors writes to a temporary file of its own
        if (is_ours and named != {None}) or is_half:
            path.unlink(missing_ok=True)


def load_state(folder: Path) -> tuple[int, dict[str, Tensor], dict[str, float]]:
    """Return step, tensors and the last batch's figures of the newest training state that is whole.

    Raises
    ------
    CheckpointError
        If none is.
    """
    if not (folder / "resume.json").is_file():
        raise CheckpointError(f"{folder}: holds no training state; start it with  voxgan train")
    states = read_json(folder / "resume.json").get("states")
    if not isinstance(states, list) or not states:
        raise CheckpointError(f"{folder}: its resume.json lists no states; the file is damaged")
    problem: Exception | None = None
    for entry in states:
        try:
            tensors = _read_tensors(_check_file(folder, entry))
            require_finite(tensors)
            figures = {str(k): float(v) for k, v in entry["figures"].items()}
            return int(entry["step"]), tensors, figures
        except (CheckpointError, StorageError, KeyError, TypeError, ValueError, AttributeError) as error:
            problem = problem or error
    raise CheckpointError(f"{folder}: no training state is whole ({problem}); start the run again")
