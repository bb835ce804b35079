"""The command ``voxgan``: photo → mesh, noise → mesh, data, training.

Exit status: 0 done, 2 wrong usage, 3 bad input, 4 reading or writing failed, 5 training diverged, 130 interrupted.
An error is one line on standard error; ``--debug`` adds the traceback. torch and the rest are imported late, so that
``--help`` is quick.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from cyclopts import App, CycloptsError, Parameter

from voxgan import __version__
from voxgan.errors import SurfaceError, UsageError, VoxganError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from voxgan.models.model import Model
    from voxgan.voxels import Shapes

__all__ = ["app", "main"]

MESHES = (".obj", ".stl", ".ply", ".glb", ".off", ".3mf", ".npz", ".binvox")
PICTURES = (".png", ".gif")

app = App(
    name="voxgan",
    version=__version__,
    help="3-D shapes as voxels: from noise or from one photo, to meshes that print.",
    suppress_keyboard_interrupt=False,  # `_run` says what was interrupted
    help_epilogue="Every command explains itself:  voxgan COMMAND --help.  --debug shows the traceback of an error.",
)

Photos = Annotated[list[Path], Parameter(help="Pictures of one object each.", negative="")]
Out = Annotated[
    list[Path],
    Parameter(name=["--output", "-o"], help="File to write (suffix = format) or, for several, a folder.", negative=""),
]
ModelName = Annotated[str, Parameter(name=["--model", "-m"], help="A shipped model, or a run or model folder.")]
Preview = Annotated[Path | None, Parameter(help="Also draw a PNG (or, with .gif, a turntable).")]
SizeMm = Annotated[float, Parameter(help="Longest side in millimetres; the mesh stands on the floor.")]
Level = Annotated[float, Parameter(help="Occupancy at which the surface lies, between 0 and 1.")]
Clean = Annotated[bool, Parameter(help="Drop specks that float free, fill cavities inside.")]
Smooth = Annotated[int, Parameter(help="Rounds of smoothing.")]
MaxFaces = Annotated[int | None, Parameter(help="Decimate to about so many triangles.")]
Format = Annotated[str, Parameter(name=["--format", "-f"], help="Format of files in a folder: obj, stl, glb, …")]
Seed = Annotated[int, Parameter(help="The same seed gives the same shapes.")]
Background = Annotated[
    Literal["auto", "keep", "remove"],
    Parameter(help="auto: use the picture's transparency, else remove a plain background."),
]


@app.command
def reconstruct(
    photos: Photos,
    *,
    output: Out,
    model: ModelName = "furniture",
    preview: Preview = None,
    size_mm: SizeMm = 100.0,
    level: Level = 0.5,
    smooth: Smooth = 0,
    max_faces: MaxFaces = None,
    clean: Clean = True,
    background: Background = "auto",
    format: Format = "obj",
) -> None:
    """Make a mesh from each photo:  voxgan reconstruct photo.jpg -o chair.obj --preview chair.png."""
    targets = _targets(output, [photo.stem for photo in photos], format)
    _check_outputs([t for group in targets for t in group], level, size_mm, preview)
    shapes = _load(model).reconstruct(list(photos), background=background)
    shapes = shapes.cleaned(level) if clean else shapes
    _export(shapes, targets, preview, size_mm, level, smooth, max_faces)


@app.command
def generate(
    *,
    output: Out,
    count: Annotated[int, Parameter(name=["--count", "-n"], help="How many shapes.")] = 1,
    seed: Seed = 0,
    model: ModelName = "chairs-gan3d",
    preview: Preview = None,
    size_mm: SizeMm = 100.0,
    level: Level = 0.5,
    smooth: Smooth = 0,
    max_faces: MaxFaces = None,
    clean: Clean = True,
    format: Format = "obj",
) -> None:
    """Make shapes from noise:  voxgan generate -n 9 --seed 0 -o out/ --format stl."""
    targets = _targets(output, [f"shape_{i:03d}" for i in range(max(count, 1))], format)
    _check_outputs([t for group in targets for t in group], level, size_mm, preview)
    shapes = _load(model).generate(count, seed=seed)
    shapes = shapes.cleaned(level) if clean else shapes
    _export(shapes, targets, preview, size_mm, level, smooth, max_faces)


@app.command
def interpolate(
    *,
    output: Out,
    steps: Annotated[int, Parameter(help="Shapes on the way, both ends counted.")] = 16,
    seed: Seed = 0,
    photo: Annotated[list[Path], Parameter(help="Two pictures as the ends, instead of noise.", negative="")] = [],  # noqa: B006
    spherical: Annotated[bool, Parameter(help="Along the great circle instead of straight.", negative="")] = False,
    model: ModelName = "chairs-gan3d",
    size_mm: SizeMm = 100.0,
    level: Level = 0.5,
    clean: Clean = True,
    format: Format = "obj",
) -> None:
    """Walk between two shapes:  voxgan interpolate --steps 16 -o walk.gif  (or .png for a sheet, or a folder)."""
    from voxgan.latent import interpolate as walk

    if len(photo) not in (0, 2):
        raise UsageError(f"{len(photo)} photos given; expected two ends, or none for noise")
    targets = [p for p in output if p.suffix.lower() in PICTURES]
    folders = [p for p in output if p not in targets]
    names = [f"step_{i:03d}" for i in range(max(steps, 1))]
    meshes = _targets(folders, names, format) if folders else [[] for _ in names]
    _check_outputs([*targets, *(t for group in meshes for t in group)], level, size_mm)
    network = _load(model)
    ends = _latents(network, photo, 2, seed)
    shapes = network.decode(walk(ends[0], ends[1], steps, "spherical" if spherical else "linear"))
    shapes = shapes.cleaned(level) if clean else shapes
    for target in targets:
        _draw(shapes, target, level, walk=True)
    if folders:
        _export(shapes, meshes, None, size_mm, level, 0, None)


@app.command
def arithmetic(
    expression: Annotated[str, Parameter(help="For instance  'A - B + C'.")] = "A - B + C",
    *,
    output: Out,
    seed: Seed = 0,
    photo: Annotated[list[Path], Parameter(help="Pictures for A, B, C …, instead of noise.", negative="")] = [],  # noqa: B006
    model: ModelName = "chairs-gan3d",
    preview: Annotated[Path | None, Parameter(help="A PNG of A, B, C … and the result.")] = None,
    size_mm: SizeMm = 100.0,
    level: Level = 0.5,
    clean: Clean = True,
) -> None:
    """Calculate with shapes:  voxgan arithmetic 'A - B + C' --seed 0 -o odd.obj --preview sum.png."""
    import string

    import torch

    from voxgan.latent import arithmetic as evaluate

    letters = string.ascii_uppercase
    count = len(photo) or max((letters.index(c) + 1 for c in expression if c in letters), default=1)
    targets = _targets(output, ["result"], "obj")
    _check_outputs(targets[0], level, size_mm, preview)
    network = _load(model)
    z = _latents(network, photo, count, seed)
    result = evaluate(expression, dict(zip(letters, z, strict=False)))
    shapes = network.decode(torch.cat([z, result[None]]))
    shapes = shapes.cleaned(level) if clean else shapes
    _export(shapes[len(z)], targets, None, size_mm, level, 0, None)
    if preview is not None:
        _draw(shapes, preview, level, walk=True)


@app.command
def prepare(
    sources: Annotated[
        list[str], Parameter(help="Folders of meshes, of ModelNet volumes, or the word furniture; last: the .h5 file.")
    ],
    *,
    resolution: Annotated[int, Parameter(help="16, 32, 64 or 128.")] = 64,
    views: Annotated[int, Parameter(help="Rendered views of each shape, for photo models.")] = 0,
    classes: Annotated[str | None, Parameter(help="Only these, comma-separated.")] = None,
    count: Annotated[int, Parameter(help="Furniture: shapes of each class.")] = 100,
    limit: Annotated[int | None, Parameter(help="At most so many of each class and split.")] = None,
    rotations: Annotated[int, Parameter(help="ModelNet volumes: how many of the 12 azimuths.")] = 1,
    test_share: Annotated[float, Parameter(help="Test part, where the source names none.")] = 0.1,
    up: Annotated[Literal["z", "y"], Parameter(help="Which axis of the mesh files points up.")] = "z",
    seed: Annotated[int, Parameter(help="Of cameras, materials, lights.")] = 0,
    workers: Annotated[int | None, Parameter(help="Processes; default: one for each core.")] = None,
) -> None:
    """Make a data set:  voxgan prepare my_meshes/ mine.h5 --views 24."""
    from data_prep.build import prepare as build
    from voxgan.progress import Progress

    if len(sources) < 2:
        raise UsageError("expected at least one source and then the data set to write, as in  prepare meshes/ mine.h5")
    *inputs, out = sources
    if Path(out).suffix.lower() not in (".h5", ".hdf5"):
        raise UsageError(f"the last name is {out!r}; expected the data set to write, ending in .h5")
    report = build(
        inputs,
        out,
        resolution=resolution,
        views=views,
        classes=classes.split(",") if classes else None,
        count=count,
        limit=limit,
        rotations=rotations,
        test_share=test_share,
        up=up,
        seed=seed,
        workers=workers,
        report=Progress("preparing", "shapes"),
    )
    print(report)


@app.command
def train(
    preset: Annotated[str, Parameter(help="A preset or model (voxgan list).")],
    data: Annotated[Path, Parameter(help="Data set made by voxgan prepare.")],
    options: Annotated[list[str], Parameter(help="key=value: steps, batch, width, seed, precision, …")] = [],  # noqa: B006
    *,
    out: Annotated[Path, Parameter(help="Run folder to make.")],
) -> None:
    """Train a model:  voxgan train vae_gan3d mine.h5 --out runs/mine steps=2000 width=16."""
    from voxgan.training import train as run

    values = _key_values(options)
    with _saying_where(out):
        run(preset, data, out, report=_training_progress(), **values)
    print(f"{out}: trained; try  voxgan generate --model {out} -n 4 -o out/")


@app.command
def resume(
    run: Annotated[Path, Parameter(help="Run folder.")],
    options: Annotated[list[str], Parameter(help="key=value to change from here on: steps, batch, average, …")] = [],  # noqa: B006
) -> None:
    """Continue a training bit for bit:  voxgan resume runs/mine."""
    from voxgan.training import resume as again

    values = _key_values(options)
    with _saying_where(run):
        again(run, report=_training_progress(), **values)
    print(f"{run}: trained; try  voxgan generate --model {run} -n 4 -o out/")


@app.command
def info(name: Annotated[str, Parameter(help="A model, a run folder, or a data set.")]) -> None:
    """Say what a model or a data set is:  voxgan info furniture."""
    if Path(name).suffix.lower() in (".h5", ".hdf5"):
        _data_info(name)
    else:
        _model_info(name)


@app.command(name="list")
def list_() -> None:
    """List the shipped models and the presets."""
    from voxgan import presets
    from voxgan.checkpoint import read_config, shipped

    print("models (voxgan info NAME):")
    for name in shipped():
        content = read_config(name)[1]
        title = content["training"].get("title", "")
        print(f"  {name:18} {content['model']}, {content['config']['resolution']}³: {title}")
    print("presets (voxgan train NAME data.h5 --out runs/x):")
    for name in presets.names():
        print(f"  {name:18} {presets.describe(name)}")


def _key_values(options: Sequence[str]) -> dict[str, str]:
    """Read key=value words."""
    values = {}
    for option in options:
        key, mark, value = option.partition("=")
        if not mark or not key:
            raise UsageError(f"cannot read the option {option!r}; expected key=value, as in steps=2000")
        values[key.replace("-", "_")] = value
    return values


def _load(name: str) -> Model:
    from voxgan.checkpoint import load

    return load(name)


def _latents(network: Model, photos: Sequence[Path], count: int, seed: int) -> Tensor:
    """Return latents (count, L): of photos where there are some, else from noise."""
    if not photos:
        return network.sample_latents(count, seed=seed)
    encode = getattr(network, "encode", None)
    if encode is None:
        raise UsageError(f"{network.name} cannot read photos; use a vae_gan3d model, as in --model furniture")
    z: Tensor = encode(list(photos))
    return z


def _targets(outputs: Sequence[Path], names: Sequence[str], format: str) -> list[list[Path]]:
    """Return the files to write for each shape: named files for a single one, files in folders for several."""
    suffix = "." + format.lower().lstrip(".")
    if suffix not in MESHES:
        raise UsageError(f"format {format!r}; {nearest(suffix, MESHES)}")
    groups: list[list[Path]] = [[] for _ in names]
    for output in outputs:
        if output.suffix.lower() in MESHES:
            if len(names) > 1:
                raise UsageError(f"{len(names)} shapes for the one file {output}; give a folder, as in  -o out/")
            groups[0].append(output)
        elif output.suffix and not output.is_dir():
            raise UsageError(f"cannot write the format {output.suffix!r}; {nearest(output.suffix, MESHES)}")
        else:
            for group, name in zip(groups, _distinct(names), strict=True):
                group.append(output / f"{name}{suffix}")
    return groups


def _distinct(names: Sequence[str]) -> list[str]:
    """Number the names that occur twice."""
    return [name if names.count(name) == 1 else f"{name}_{i:03d}" for i, name in enumerate(names)]


def _check_outputs(paths: Sequence[Path], level: float, size_mm: float, preview: Path | None = None) -> None:
    """Refuse before the work what could not be written after it."""
    from voxgan.files import check_output

    if not 0 < level < 1:
        raise UsageError(f"level {level}: expected a number between 0 and 1")
    if not 0 < size_mm < float("inf"):
        raise UsageError(f"size {size_mm} mm: expected a number above 0")
    if preview is not None and preview.suffix.lower() not in PICTURES:
        raise UsageError(f"cannot draw the preview {preview}; {nearest(preview.suffix.lower(), PICTURES)}")
    for path in (*paths, *([preview] if preview else [])):
        check_output(path)


def _export(
    shapes: Shapes,
    targets: Sequence[Sequence[Path]],
    preview: Path | None,
    size_mm: float,
    level: float,
    smooth: int,
    max_faces: int | None,
) -> None:
    """Write every shape to its files, and the preview; a shape without a surface is named and passed over."""
    failed: list[SurfaceError] = []
    for shape, files in zip(shapes, targets, strict=True):
        for file in files:
            try:
                shape.export(file, size_mm=size_mm, level=level, smooth=smooth, max_faces=max_faces)
            except SurfaceError as error:
                failed.append(error)
                print(f"voxgan: {file} is not written: {error}", file=sys.stderr)
                continue
            print(file)
    if preview is not None:
        _draw(shapes, preview, level)
    if failed and len(failed) == sum(map(len, targets)):
        raise failed[0]


def _draw(shapes: Shapes, path: Path, level: float, walk: bool = False) -> None:
    """Draw shapes: a sheet as PNG; as GIF a walk through them, or a turntable of the first."""
    from voxgan import preview

    if path.suffix.lower() == ".gif":
        if walk:
            frames = [preview.picture(grid, level=level) for grid in shapes.occupancy]
        else:
            frames = preview.turntable(shapes.occupancy[0], level=level)
        preview.write_gif(path, frames, back_and_forth=walk)
    else:
        size = 512 if len(shapes) == 1 else 256
        preview.write_png(path, preview.sheet(shapes.occupancy, level=level, size=size))
    print(path)


@contextlib.contextmanager
def _saying_where(run: Path) -> Any:
    """On Ctrl-C, say how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"{str(stop) or 'stopped'}; go on with  voxgan resume {run}") from None


def _training_progress() -> Any:
    from voxgan.progress import Progress

    progress = Progress("training", "steps")
    shown = ("accuracy", "test_iou", "shapes_per_s")

    def report(done: int, total: int, figures: Any) -> None:
        kept = {k: v for k, v in figures.items() if k in shown or k.endswith((".total", ".moved"))}
        progress(done, total, kept)

    return report


def _data_info(path: str) -> None:
    from voxgan.dataset import Dataset

    with Dataset(path, "all") as data:
        print(f"{path}: voxgan data set, {len(data)} shapes, {data.resolution}³, {data.num_views} views each")
        for name, counts in data.summary().items():
            print(f"  {name:18} {counts['train']:6} train {counts['test']:6} test")


def _model_info(name: str) -> None:
    from voxgan.checkpoint import read_config

    folder, content = read_config(name)
    config, training = content["config"], content.get("training") or {}
    print(f"{name}: {content['model']}, {config.get('resolution')}³, width {config.get('width')}")
    for key in ("title", "preset", "step", "data"):
        if training.get(key):
            print(f"  {key:10} {training[key]}")
    print(f"  {'classes':10} {', '.join(config.get('classes', ())) or '-'}")
    weights = content.get("weights")
    print(f"  {'weights':10} {folder / weights['file'] if weights else 'none yet'}")
    for key, value in (training.get("scores") or {}).items():
        print(f"  {key:28} {value}")
    if (folder / "README.md").is_file():
        print(f"  {'card':10} {folder / 'README.md'}")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and leave with its exit status."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a locale without ³ or é is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    debug = "--debug" in tokens
    tokens = [token for token in tokens if token != "--debug"]
    sys.exit(_run(tokens, debug))


def _run(tokens: list[str], debug: bool) -> int:
    try:
        app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as stop:
        print(f"voxgan: {str(stop) or 'interrupted'}", file=sys.stderr)
        return 130
    except CycloptsError as error:
        if debug:
            raise
        text = " ".join(str(error).split())
        print(f"voxgan: {text} See  voxgan --help", file=sys.stderr)
        return 2
    except Exception as error:
        if debug:
            raise
        if isinstance(error, VoxganError):
            print(f"voxgan: {' '.join(str(error).split())}", file=sys.stderr)
            return error.exit_status
        if isinstance(error, MemoryError):
            print("voxgan: out of memory; take a smaller batch, width or resolution", file=sys.stderr)
            return 4
        kind = type(error).__name__
        text = " ".join(str(error).split())
        print(f"voxgan: unexpected {kind}: {text}; run it again with --debug and report it", file=sys.stderr)
        return 1
