"""The command ``voxgan``: photo → mesh, noise → mesh, data, training.

Exit status: 0 done, 1 a bug, 2 wrong usage, 3 bad input, 4 reading or writing failed, 5 training diverged,
130 interrupted.
An error is one line on standard error; ``--debug`` adds the traceback. torch and the rest are imported late, so that
``--help`` is quick.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from cyclopts import App, CycloptsError, Parameter

from voxgan import __version__
from voxgan.errors import StorageError, UsageError, VoxganError
from voxgan.files import check_output
from voxgan.outputs import (
    PATH,
    Writing,
    check_picture,
    check_writable,
    cleaned,
    draw,
    export_all,
    plan,
    refuse_empty,
)

if TYPE_CHECKING:
    from torch import Tensor

    from voxgan.models.model import Model

__all__ = ["app", "main"]

app = App(
    name="voxgan",
    version=__version__,
    help="3-D shapes as voxels: from noise or from one photo, to meshes that print.",
    suppress_keyboard_interrupt=False,  # `_run` says what was interrupted
    help_epilogue="Every command explains itself:  voxgan COMMAND --help.  --debug shows the traceback of an error.",
)


def _whole(kind: Any, tokens: Sequence[Any]) -> int:
    """Read a whole number; 64.5 is none, and is not rounded."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"{tokens[0].value!r} is no whole number.") from None


Whole = Annotated[int, Parameter(converter=_whole)]
Photos = Annotated[list[Path], Parameter(help="Pictures of one object each.", negative="")]
ModelName = Annotated[str, Parameter(name=["--model", "-m"], help="A shipped model, a folder, or hub:OWNER/NAME.")]
Seed = Annotated[Whole, Parameter(help="The same seed gives the same shapes.")]
Background = Annotated[
    Literal["auto", "keep", "remove"],
    Parameter(help="auto: use the picture's transparency, else remove a plain background."),
]
InOnePart = Annotated[
    float, Parameter(help="Draw again what has less than this share of its cells in one part; 0 takes what comes.")
]
ClassNames = Annotated[
    list[str],
    Parameter(name="--class", negative="", show_default=False, consume_multiple=True),
]
Options = Annotated[
    str,
    Parameter(help="key=value: steps, batch, width, seed, precision, …", negative="", show_default=False),
]


@app.command(usage="Usage: voxgan reconstruct PHOTO... -o PATH [OPTIONS]")
def reconstruct(
    photos: Photos,
    /,
    *,
    writing: Writing,
    model: ModelName = "furniture",
    background: Background = "auto",
    votes: Annotated[Whole, Parameter(help="Looks at each photo, 1 to 8, whose occupancies are averaged.")] = 1,
    class_names: Annotated[
        list[str],
        Parameter(
            name="--class",
            help="What the photos show, if you know: one class for all, or, repeated, one for each.",
            negative="",
            show_default=False,
        ),
    ] = [],  # noqa: B006
) -> None:
    """Make a mesh from each photo:  voxgan reconstruct photo.jpg -o chair.obj --preview chair.png."""
    targets, _ = plan(writing, [photo.stem for photo in photos])
    network = _load(model)
    check_writable(writing, targets)
    shapes = network.reconstruct(list(photos), background=background, votes=votes, class_name=class_names or None)
    export_all(cleaned(shapes, writing), targets, writing)


@app.command(usage="Usage: voxgan generate -o PATH [OPTIONS]")
def generate(
    *,
    writing: Writing,
    count: Annotated[Whole, Parameter(name=["--count", "-n"], help="How many shapes.")] = 1,
    seed: Seed = 0,
    model: ModelName = "chairs-gan3d",
    class_name: Annotated[
        str | None, Parameter(name="--class", help="Only this class, of those that voxgan info MODEL can sample.")
    ] = None,
    class_index: Annotated[Whole | None, Parameter(help="The same by its place in that list, from 0.")] = None,
    whole: InOnePart = 0.95,
) -> None:
    """Make shapes from noise:  voxgan generate -n 9 --seed 0 -o out/ --format stl."""
    if count < 1:
        raise UsageError(f"{count} shapes asked for; expected 1 or more")
    _check_seed(seed)
    targets, _ = plan(writing, [f"shape_{i:03d}" for i in range(count)])
    from voxgan.metrics.failures import largest_part

    network = _load(model)
    shapes = network.generate(count, seed, class_name, class_index, whole, writing.level)
    check_writable(writing, targets)
    export_all(cleaned(shapes, writing), targets, writing)
    broken = sum(0 < largest_part(grid, writing.level) < whole for grid in shapes.occupancy) if whole else 0
    if broken:  # empty ones are told of when they are written
        print(
            f"voxgan: {broken} of {count} shapes have less than {whole:.0%} of their cells in one part, however often "
            "they were drawn; the model makes few others",
            file=sys.stderr,
        )


@app.command(usage="Usage: voxgan interpolate -o PATH [OPTIONS]")
def interpolate(
    *,
    writing: Writing,
    steps: Annotated[Whole, Parameter(help="Shapes on the way, both ends counted.")] = 16,
    seed: Seed = 0,
    photo: Annotated[
        list[Path],
        Parameter(
            help="Two pictures as the ends, instead of noise.", negative="", show_default=False, consume_multiple=True
        ),
    ] = [],  # noqa: B006
    spherical: Annotated[bool, Parameter(help="Along the great circle instead of straight.", negative="")] = False,
    class_names: Annotated[
        ClassNames,
        Parameter(help="The ends' class, or one for each end: at one z, where the model is conditioned on classes."),
    ] = [],  # noqa: B006
    model: ModelName = "chairs-gan3d",
    background: Background = "auto",
    whole: InOnePart = 0.95,
) -> None:
    """Walk between two shapes:  voxgan interpolate --steps 16 -o walk.gif  (or .png for a sheet, or a folder)."""
    if len(photo) not in (0, 2):
        raise UsageError(f"{len(photo)} photos given; expected two ends, or none for noise")
    if steps < 2:
        raise UsageError(f"steps={steps}: expected 2 or more")
    if len(class_names) > 2 or (photo and class_names):
        got = f"{len(class_names)} classes" if len(class_names) > 2 else "photos and classes"
        raise UsageError(f"{got} given; expected one class for both ends, or two, or photos alone")
    _check_seed(seed)
    targets, pictures = plan(writing, [f"step_{i:03d}" for i in range(steps)], pictures=True)
    import torch

    from voxgan.latent import interpolate as walk

    network = _load(model)
    check_writable(writing, targets, pictures)
    ends = _latents(network, photo, 2, seed, background, class_names, whole, writing.level)
    if len(set(class_names)) == 2 and network.conditional:
        ends = network.with_class(torch.stack([ends[0], ends[0]]), class_names[0])
        ends[1] = network.with_class(ends[1], class_names[1])
    shapes = network.decode(walk(ends[0], ends[1], steps, "spherical" if spherical else "linear"))
    shapes = cleaned(shapes, writing)
    for picture in pictures:
        draw(shapes, picture, writing.level, walk=True)
    export_all(shapes, targets, writing, walk=True)


@app.command(usage="Usage: voxgan arithmetic [EXPRESSION] -o PATH [OPTIONS]")
def arithmetic(
    expression: Annotated[str, Parameter(help="For instance  'A - B + C'.", allow_leading_hyphen=True)] = "A - B + C",
    /,
    *,
    writing: Writing,
    seed: Seed = 0,
    photo: Annotated[
        list[Path],
        Parameter(
            help="Pictures for A, B, C …, instead of noise.", negative="", show_default=False, consume_multiple=True
        ),
    ] = [],  # noqa: B006
    class_names: Annotated[ClassNames, Parameter(help="The class of all, or one for each of A, B, C …")] = [],  # noqa: B006
    model: ModelName = "chairs-gan3d",
    background: Background = "auto",
    whole: InOnePart = 0.95,
) -> None:
    """Calculate with shapes:  voxgan arithmetic 'A - B + C' --seed 0 -o odd.obj --preview sum.png.

    A PNG as preview shows A, B, C … and the result; a GIF is a turntable of the result.
    """
    if re.match(r"--\w", expression):
        raise UsageError(f"unknown option {expression!r}; see  voxgan arithmetic --help")
    _check_seed(seed)
    targets, _ = plan(writing, ["result"])
    import string

    import torch

    from voxgan.latent import arithmetic as evaluate

    letters = string.ascii_uppercase
    count = len(photo) or max((letters.index(c) + 1 for c in expression if c in letters), default=1)
    evaluate(expression, dict.fromkeys(letters[:count], torch.zeros(1)))  # what cannot be read is told first
    network = _load(model)
    check_writable(writing, targets)
    z = _latents(network, photo, count, seed, background, class_names, whole, writing.level)
    result = evaluate(expression, dict(zip(letters, z, strict=False)))
    shapes = cleaned(network.decode(torch.cat([z, result[None]])), writing)
    export_all(shapes[len(z)], targets, writing, drawn=shapes)


@app.command(usage="Usage: voxgan prepare SOURCE... DATA.h5 [OPTIONS]")
def prepare(
    sources: Annotated[
        list[str],
        Parameter(
            help="Folders (meshes, ModelNet, ShapeNet, IKEA), or the word furniture; last: the .h5 file to write.",
            negative="",
        ),
    ],
    /,
    *,
    resolution: Annotated[Whole, Parameter(help="Cells along a side, 16 to 256; models take 16, 32, 64 or 128.")] = 64,
    mode: Annotated[
        Literal["solid", "surface", "sdf"],
        Parameter(help="solid: what is inside. surface: the cells it runs through. sdf: solid and signed distance."),
    ] = "solid",
    views: Annotated[Whole, Parameter(help="Views of each shape, for photo models.")] = 0,
    rig: Annotated[
        str, Parameter(help="Cameras: photo, turntable, or 24x3, which takes --views 72 (3D-VAE-GAN).")
    ] = "photo",
    renderer: Annotated[Literal["rays", "pyvista"], Parameter(help="rays needs no OpenGL.")] = "rays",
    backgrounds: Annotated[
        str, Parameter(help="Behind the views: mixed, plain, gradient, rooms, or a folder of pictures.")
    ] = "mixed",
    classes: Annotated[str | None, Parameter(help="Only these, comma-separated.")] = None,
    labels: Annotated[Path | None, Parameter(help="CSV file with the columns file, class, split (optional).")] = None,
    count: Annotated[Whole, Parameter(help="Furniture: shapes of each class.")] = 100,
    limit: Annotated[Whole | None, Parameter(help="At most so many models of each class and split.")] = None,
    rotations: Annotated[Whole, Parameter(help="ModelNet volumes: how many of the 12 azimuths.")] = 1,
    test_share: Annotated[float, Parameter(help="Test part, where the source names none.")] = 0.1,
    up: Annotated[
        str | None,
        Parameter(
            help="Axis of the files that points up: x, -x, y, -y, z, -z; default as known of the source, else z.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    front: Annotated[
        str | None,
        Parameter(
            help="Axis of the files that shapes face: the same; default as known of the source, else -y.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    seed: Annotated[Whole, Parameter(help="Of cameras, materials, lights.")] = 0,
    look: Annotated[
        Path | None,
        Parameter(help="First draw a contact sheet, a PNG (replaced if there); without DATA.h5 that is all."),
    ] = None,
    workers: Annotated[Whole | None, Parameter(help="Processes; default: one for each core.")] = None,
    cluster: Annotated[str | None, Parameter(help="Address of a dask scheduler, or local.")] = None,
    one_piece: Annotated[
        float, Parameter(help="Set aside training shapes whose largest connected part holds less than this share.")
    ] = 0.0,
    time_limit: Annotated[float, Parameter(help="Seconds after which a shape is set aside.")] = 120.0,
    memory: Annotated[float, Parameter(help="Gigabytes that one shape may take, 1 or more.")] = 4.0,
    report: Annotated[
        Path | None, Parameter(help="Also write what was set aside, a CSV file; replaces what is there.")
    ] = None,
    overwrite: Annotated[bool, Parameter(help="Replace a data set that is there.", negative="")] = False,
) -> None:
    """Make a data set:  voxgan prepare my_meshes/ mine.h5 --views 24.

    Stopped, the same command goes on where it was.
    """
    from data_prep.build import prepare as build
    from voxgan.progress import Progress

    is_data = Path(sources[-1]).suffix.lower() in (".h5", ".hdf5")
    if not is_data and look is None:
        raise UsageError(f"the last name is {sources[-1]!r}; expected the data set to write, ending in .h5")
    inputs = sources[:-1] if is_data else sources
    if not inputs:
        raise UsageError("expected at least one source and then the data set to write, as in  prepare meshes/ mine.h5")
    names = None if classes is None else [name.strip() for name in classes.split(",") if name.strip()]
    if names == []:
        raise UsageError(f"--classes {classes!r} names no class; expected names with commas, as in chair,table")
    choice: dict[str, Any] = {
        "classes": names,
        "count": count,
        "limit": limit,
        "rotations": rotations,
        "test_share": test_share,
        "up": up,
        "front": front,
        "labels": labels,
    }
    if report is not None:
        check_output(report)
    if look is not None:
        check_picture(look)
        _look(inputs, choice, look)
    if not is_data:
        return
    done = build(
        inputs,
        sources[-1],
        resolution=resolution,
        views=views,
        mode=mode,
        rig=rig,
        renderer=renderer,
        backgrounds=backgrounds,
        seed=seed,
        one_piece=one_piece,
        workers=workers,
        cluster=cluster,
        time_limit=time_limit,
        memory=memory,
        overwrite=overwrite,
        report=Progress("preparing", "shapes"),
        **choice,
    )
    if report is not None:
        done.write_csv(report)
    print(done)


def _look(inputs: Sequence[str], choice: dict[str, Any], path: Path) -> None:
    """Draw the sources' first shapes, before anything long runs."""
    from data_prep.look import look
    from data_prep.sources import find_items

    print(look(find_items(inputs, **choice), path))


@app.command(usage="Usage: voxgan train PRESET DATA.h5 --out RUN [KEY=VALUE]...")
def train(
    preset: Annotated[str, Parameter(help="A preset or model (voxgan list).")],
    data: Annotated[Path, Parameter(help="Data set made by voxgan prepare.")],
    /,
    *options: Options,
    out: Annotated[str | None, Parameter(help="Run folder to make.", **PATH)] = None,
    dry_run: Annotated[
        bool, Parameter(help="Only say what it would take: options, parameters, memory, time.", negative="")
    ] = False,
) -> None:
    """Train a model:  voxgan train vae_gan3d mine.h5 --out runs/mine steps=2000 width=16.

    --dry-run lists every KEY with its value, and what the run would take. On many devices:  torchrun --nproc-per-node 8
    -m voxgan train gan3d mine.h5 --out runs/mine.
    """
    values = _key_values(options, ("model", "data", "out", "report"))
    if "=" in data.name and not data.exists():
        raise UsageError(f"no data set given: {str(data)!r} is an option; expected  voxgan train PRESET DATA.h5 …")
    if dry_run:
        from voxgan.training import estimate

        if _is_first():
            print(estimate(preset, data, **values))
        return
    if "ranks" in values:
        raise UsageError(
            "ranks=… is for --dry-run; to train on many devices, start  torchrun --nproc-per-node N -m voxgan train …"
        )
    if out is None:
        raise UsageError("no run folder given; add  --out runs/NAME  (or --dry-run to see what it would take)")
    refuse_empty("--out", out)
    from voxgan.training import train as run

    with _saying_where(Path(out)), _live() as live:
        model = run(preset, data, Path(out), report=live, **values)
    _say_trained(Path(out), model)


@app.command(usage="Usage: voxgan resume RUN [KEY=VALUE]...")
def resume(
    run: Annotated[Path, Parameter(help="Run folder.")],
    /,
    *options: Annotated[
        str,
        Parameter(
            help="key=value to change from here on: steps, batch, average, …; data=PATH where the data set moved.",
            negative="",
            show_default=False,
        ),
    ],
) -> None:
    """Continue a training bit for bit:  voxgan resume runs/mine."""
    values = _key_values(options, ("run", "report"))
    from voxgan.training import resume as again

    if _is_done(run, values):
        return
    with _saying_where(run), _live() as live:
        model = again(run, report=live, **values)
    _say_trained(run, model)


@app.command(usage="Usage: voxgan evaluate MODEL DATA.h5 [OPTIONS]")
def evaluate(
    model: Annotated[str, Parameter(help="A shipped model, a folder, or hub:OWNER/NAME.")],
    data: Annotated[Path, Parameter(help="Data set with a test split, made by voxgan prepare.")],
    /,
    *,
    suite: Annotated[
        list[str] | None,
        Parameter(
            help="One or more of reconstruction, generation, classification (of a run folder), latent; default: all "
            "that model and data can take part in.",
            negative="",
            show_default=False,
            consume_multiple=True,
        ),
    ] = None,
    train: Annotated[
        Path | None, Parameter(help="Data set whose training shapes make floors and oracles; default: DATA.h5.")
    ] = None,
    json: Annotated[Path | None, Parameter(help="Also write all figures, a JSON file; replaces what is there.")] = None,
    html: Annotated[
        Path | None, Parameter(help="Also write one page with tables, plots, pictures; replaces what is there.")
    ] = None,
    sheets: Annotated[
        str | None, Parameter(help="Also write the pictures, PNG files in this folder; replaces those there.", **PATH)
    ] = None,
    quick: Annotated[bool, Parameter(help="Few shapes: minutes on a processor, rough figures.", negative="")] = False,
    count: Annotated[
        Whole | None,
        Parameter(
            name=["--count", "-n"],
            help="generation: samples (default: as many as test shapes, at most 1,000); latent: walks (at most 64).",
        ),
    ] = None,
    votes: Annotated[Whole, Parameter(help="reconstruction: looks at each photo, 1 to 8.")] = 1,
    whole: Annotated[
        float, Parameter(help="generation: draw again what has less than this share of its cells in one part.")
    ] = 0.0,
    seed: Seed = 0,
) -> None:
    """Score a model on unseen shapes:  voxgan evaluate chairs-gan3d chairs.h5 --suite generation --html chairs.html.

    Every table has floors, which cost nothing to reach, and an oracle, real shapes in the model's place.
    """
    for path, ending in ((json, ".json"), (html, ".html")):
        if path is not None:
            if path.suffix.lower() != ending:
                raise UsageError(f"--{ending[1:]} {path}: expected a name that ends in {ending}")
            check_output(path)
    if sheets is not None:
        refuse_empty("--sheets", sheets)
        if Path(sheets).exists() and not Path(sheets).is_dir():
            raise StorageError(f"--sheets {sheets}: there is a file of this name; expected a folder")
        check_output(Path(sheets) / "sheet.png")
    refuse_empty("the model", model)
    if suite == []:
        raise UsageError("--suite names none; expected some of classification, generation, latent, reconstruction")
    from voxgan.evaluation import evaluate as run
    from voxgan.progress import Stages

    stages = Stages()
    try:
        found = run(
            model,
            data,
            suite,
            train=train,
            quick=quick,
            count=count,
            seed=seed,
            report=stages,
            votes=votes,
            whole=whole,
        )
    finally:
        stages.close()
    print(found, flush=True)
    if json is not None:
        found.write_json(json)
    if html is not None:
        found.write_html(html)
    if sheets is not None:
        found.write_sheets(sheets)


@app.command(usage="Usage: voxgan report RUN")
def report(run: Annotated[Path, Parameter(help="Run folder.")], /) -> None:
    """Write RUN/report.html: curves, samples over time, warnings; it opens in any browser, offline."""
    from voxgan.training import write_report

    print(write_report(run))


@app.command(usage="Usage: voxgan view [MODEL] [FILE]... [OPTIONS]")
def view(
    model: Annotated[
        str, Parameter(help="A shipped model, a run or model folder, or a session that the viewer has saved (.json).")
    ] = "furniture",
    /,
    *files: Annotated[Path, Parameter(help="Photos, meshes, volumes to begin with.", negative="", show_default=False)],
    seed: Seed = 0,
    web: Annotated[bool, Parameter(help="A page in the browser instead of a window.", negative="")] = False,
    port: Annotated[Whole, Parameter(help="Web: where the page listens; 0 takes any that is free.")] = 8080,
    host: Annotated[
        str, Parameter(help="Web: address to listen on; others than this machine reach it with 0.0.0.0.")
    ] = "127.0.0.1",
    browser: Annotated[bool, Parameter(help="Web: open the page.", negative="--no-browser")] = True,
) -> None:
    """Walk the latent space in a window, or on a page:  voxgan view chairs-gan3d,  voxgan view --web."""
    refuse_empty("the model", model)
    _check_seed(seed)
    if Path(model).suffix and Path(model).suffix != ".json" and Path(model).is_file():
        model, files = "furniture", (Path(model), *files)  # a photo or a mesh; the reader says if it is neither
    for file in files:
        if not file.is_file():
            raise StorageError(f"there is no file {file}: check the name")
    if web:
        from viewer.web import serve

        serve(model, files, seed=seed, host=host, port=port, open_browser=browser)
    else:
        from voxgan.graphics import check_graphics

        check_graphics("the viewer's window")
        from viewer.desktop import view as open_window

        open_window(model, files=files, seed=seed)


@app.command(usage="Usage: voxgan info NAME [OPTIONS]")
def info(
    name: Annotated[str, Parameter(help="A model, a run folder, or a data set.")],
    /,
    *,
    sheet: Annotated[Path | None, Parameter(help="Data set: draw a contact sheet, a PNG.")] = None,
    set_aside: Annotated[
        bool, Parameter(help="Data set: list what was set aside when it was prepared, and why.", negative="")
    ] = False,
) -> None:
    """Say what a model or a data set is:  voxgan info furniture, voxgan info mine.h5 --sheet mine.png."""
    from voxgan.descriptions import describe_data, describe_model

    if name.rstrip("/").endswith((".h5.parts", ".hdf5.parts")):
        raise UsageError(f"{name}: a preparation that is not finished; give its command again, and it goes on")
    if Path(name).suffix.lower() in (".h5", ".hdf5"):
        if sheet is not None:
            check_picture(sheet)
        describe_data(name, sheet, set_aside)
    elif sheet is not None or set_aside:
        raise UsageError(f"--sheet and --set-aside are for data sets, ending in .h5; {name!r} is none")
    else:
        describe_model(name)


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


def _key_values(options: Sequence[str], reserved: Sequence[str] = ()) -> dict[str, str]:
    """Read key=value words; `reserved` keys have another way in, or none."""
    values: dict[str, str] = {}
    for option in options:
        key, mark, value = option.partition("=")
        key = key.replace("-", "_")
        if not mark or not key:
            raise UsageError(f"cannot read the option {option!r}; expected key=value, as in steps=2000")
        if key in reserved:
            raise UsageError(f"unknown option {key!r} in {option!r}; expected key=value, as in steps=2000")
        if key in values:
            raise UsageError(f"the option {key!r} is given twice; expected it once")
        values[key] = value
    return values


def _is_done(run: Path, values: dict[str, str]) -> bool:
    """Say so where a run has reached its last step already, and nothing is left to do after it."""
    from voxgan.checkpoint import read_config
    from voxgan.models.model import make_config
    from voxgan.training import Training
    from voxgan.training.record import read_events
    from voxgan.training.run import check_changes

    content = read_config(run)[1]
    check_changes(content, {key: value for key, value in values.items() if key != "data"})
    events = read_events(run)
    if events and events[-1]["kind"] != "finished":
        return False
    facts = content.get("training") or {}
    step, options = facts.get("step"), facts.get("options")
    steps = options.get("steps") if isinstance(options, dict) else None
    if not isinstance(step, int) or not isinstance(steps, int) or not facts.get("data"):
        return False
    asked = make_config(Training, {"steps": values.get("steps", steps)}).steps
    if step < asked:
        return False
    idle = [key for key in values if key != "steps"]
    if idle:
        raise UsageError(
            f"{run}: already at step {step} of {steps}, where {idle[0]}={values[idle[0]]} changes nothing; "
            f"give steps=… as well, above {step}"
        )
    if _is_first():
        print(f"{run}: already at step {step} of {max(step, steps)}; give steps=… to go on, above {step}")
    return True


def _say_trained(run: Path, model: Model) -> None:
    if not _is_first():
        return
    from voxgan.training.record import read_events

    name = _quoted(run)
    told = sum(event["kind"] == "warning" for event in read_events(run))
    page = f"{run / 'report.html'} has its curves" + (f" and {told} warning{'s' * (told > 1)}" if told else "")
    if "image" in model.conditions:
        print(f"{run}: trained; {page}; try  voxgan reconstruct photo.jpg --model {name} -o out.obj")
    else:
        print(f"{run}: trained; {page}; try  voxgan generate --model {name} -n 4 -o out/")


def _check_seed(seed: int) -> None:
    if not -(1 << 63) <= seed < 1 << 63:
        raise UsageError(f"seed {seed}: expected a number of at most 63 bits")


def _load(name: str) -> Model:
    from voxgan.checkpoint import load

    refuse_empty("the model", name)
    return load(name)


def _latents(
    network: Model,
    photos: Sequence[Path],
    count: int,
    seed: int,
    background: str,
    class_names: Sequence[str],
    whole: float,
    level: float,
) -> Tensor:
    """Return latents (count, L): of photos where there are some, else from noise, of one class or of one each."""
    if not photos:
        if len(class_names) < 2:
            return network.sample_latents(count, seed, next(iter(class_names), None), whole=whole, level=level)
        if len(class_names) != count:
            raise UsageError(f"{len(class_names)} classes for {count} shapes; expected one for all, or one for each")
        import torch

        drawn = [network.sample_latents(count, seed, name, whole=whole, level=level) for name in class_names]
        return torch.stack([z[place] for place, z in enumerate(drawn)])
    if class_names:
        raise UsageError("photos and classes given; expected one of them")
    encode = getattr(network, "encode", None)
    if encode is None:
        raise UsageError(f"{network.name} cannot read photos; use a vae_gan3d model, as in --model furniture")
    z: Tensor = encode(list(photos), background)
    return z


@contextlib.contextmanager
def _saying_where(run: Path) -> Any:
    """On Ctrl-C, say how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        many = os.environ.get("WORLD_SIZE", "1") != "1"
        again = f"resume {_quoted(run)}  in place of train" if many else f"voxgan resume {_quoted(run)}"
        raise KeyboardInterrupt(f"{str(stop) or 'stopped'}; go on with  {again}") from None


def _quoted(run: Path) -> str:
    """Write a run's name as a shell, and this command, take it back."""
    return shlex.quote(f"./{run}" if str(run).startswith("-") else str(run))


def _is_first() -> bool:
    """Say whether this process is the one of a training on many that talks."""
    return os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def _live() -> Any:
    """The live line of a training, on the process that talks."""
    from voxgan.training.live import Live

    live = Live() if _is_first() else None
    try:
        yield live
    finally:
        if live is not None:
            live.close()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and leave with its exit status."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a locale without ³ or é is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run(*_without_debug(tokens), ends=True))


def _without_debug(tokens: Sequence[str]) -> tuple[list[str], bool]:
    """Take ``--debug`` out, but behind ``--`` it is a name."""
    end = tokens.index("--") if "--" in tokens else len(tokens)
    kept = [token for token in tokens[:end] if token != "--debug"]
    return [*kept, *tokens[end:]], len(kept) < end


def _run(tokens: list[str], debug: bool, ends: bool = False) -> int:
    try:
        app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as stop:
        if ends:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # we are leaving already
        if _is_first():
            print(f"voxgan: {str(stop) or 'interrupted'}", file=sys.stderr)
        return 130
    except CycloptsError as error:
        if debug:
            traceback.print_exc()
        text = " ".join(str(error).split())
        command = f" {tokens[0]}" if tokens and tokens[0] in app else ""
        option = re.search(r"--([a-z][a-z0-9-]*)", text)
        if command in (" train", " resume") and option and "nknown option" in text:
            text += f" Options of a run are written  {option.group(1).replace('-', '_')}=VALUE."
        print(f"voxgan: {text} See  voxgan{command} --help", file=sys.stderr)
        return 2
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, VoxganError):
            if error.told:
                return error.exit_status
            print(f"voxgan: {' '.join(str(error).split())}", file=sys.stderr)
            return error.exit_status
        if isinstance(error, OSError):
            print(f"voxgan: reading or writing failed: {error.strerror or error}", file=sys.stderr)
            return 4
        if isinstance(error, MemoryError) or _is_out_of_memory(error):
            print("voxgan: out of memory; take a smaller batch, width or resolution", file=sys.stderr)
            return 4
        kind = type(error).__name__
        text = " ".join(str(error).split())
        print(f"voxgan: unexpected {kind}: {text}; run it again with --debug and report it", file=sys.stderr)
        return 1


def _is_out_of_memory(error: Exception) -> bool:
    """Recognise what torch raises: a RuntimeError (CUDA: a kind of it)."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("can't allocate" in text or "out of memory" in text)
