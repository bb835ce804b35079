"""Presets: every value has its reason, every field can be overridden, and what is mistyped names the nearest."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import io
import tokenize
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxgan import adversarial, models, presets
from voxgan.errors import UsageError
from voxgan.models.model import make_config
from voxgan.models.reconstruction import RECONSTRUCTIONS
from voxgan.training import Training
from voxgan.training.options import resolve, split_options

FIELDS = [(kind, field) for kind in (Training,) for field in dataclasses.fields(kind)] + [
    (models.find(name).Config, field)
    for name in models.names()
    for field in dataclasses.fields(models.find(name).Config)
]
WORDS = {  # what a field of type str may say
    "start": ("", "furniture", "runs/half"),
    "photos": ("plain", "randomised"),
    "image_encoder": ("paper", "efficientnet"),
    "encoder_start": ("random",),  # imagenet goes with one encoder only
    "prior": ("uniform", "normal"),
    "adversarial": adversarial.names(),
    "network": ("paper", "residual"),
    "generator_norm": ("batch", "group", "pixel", "none"),
    "discriminator_norm": ("batch", "group", "pixel", "none"),
    "optimizer": ("adam", "rmsprop"),
    "condition": ("none", "projection", "concatenation"),
    "reconstruction": tuple(RECONSTRUCTIONS),
    "precision": ("fp32", "tf32", "bf16", "auto"),
    "views": ("auto", "stored", "drawn"),
    "device": ("auto", "cpu"),
}
GO_ALONG: dict[str, dict[str, Any]] = {  # what has to be changed with it
    "image_encoder": {"encoder_start": "random", "encoder_frozen": 0},
    "encoder_start": {"encoder_frozen": 0},
}
NUMBERS = {  # bounds of what is not "from 1 up", or "from 0 to below 1"
    "resolution": st.sampled_from([16, 32, 64, 128]),
    "width": st.integers(1, 256).map(lambda half: 2 * half),
    "discriminator_width": st.integers(0, 256).map(lambda half: 2 * half),
    "batch": st.integers(2, 10**6),
    "encoder_frozen": st.just(0),  # more goes with encoder_start=imagenet only
    "pack": st.integers(1, 64),
    "latent": st.integers(1, 65536),
    "critic_steps": st.integers(1, 1000),
    "critic_warmup": st.integers(0, 500),
    "turns": st.sampled_from([1, 2, 4]),
    "loaders": st.integers(0, 256),
    "retries": st.integers(0, 100),
    "retry_rate": st.floats(0.01, 1),
    "prior_share": st.floats(0.01, 1),
}


# What batch norm in D forbids.
WITHOUT_BATCH_NORM = ("gradient_penalty", "r1", "r2", "spectral_norm")


def module(name: str) -> Any:
    return importlib.import_module(f"voxgan.presets.{name}")


def reasons(source: str) -> dict[str, str]:
    """Return the comment on the line of each entry of OPTIONS, by the entry's key ("**" for one that is spread)."""
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (table,) = (
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and [t.id for t in node.targets if isinstance(t, ast.Name)] == ["OPTIONS"]
    )
    assert isinstance(table, ast.Dict)
    return {
        (key.value if isinstance(key, ast.Constant) else "**"): comments.get(value.end_lineno or 0, "")
        for key, value in zip(table.keys, table.values, strict=True)
    }


@pytest.mark.parametrize("name", presets.names())
def test_every_value_has_its_reason(name: str) -> None:
    source = Path(module(name).__file__).read_text()
    found = reasons(source)
    assert found and not [key for key, reason in found.items() if len(reason) < 5 or not reason[0].isalnum()]
    assert set(found) - {"**"} <= set(module(name).OPTIONS)
    assert len(source.splitlines()) < 50  # short enough to be read


def test_a_value_without_its_reason_is_found() -> None:
    assert reasons('OPTIONS = {\n    "a": 1,  # because\n    **b,\n    "c": 2,\n}\n') == {
        "a": "because",
        "**": "",
        "c": "",
    }


@pytest.mark.parametrize("name", presets.names())
def test_every_key_is_a_field_and_the_command_is_there(name: str) -> None:
    kind = models.find(module(name).MODEL)
    known = {field.name for part in (kind.Config, Training) for field in dataclasses.fields(part)}
    assert set(module(name).OPTIONS) <= known
    lines = [line.strip() for line in (module(name).__doc__ or "").splitlines()]
    assert [line for line in lines if line.startswith(f"voxgan train {name} ") and " --out " in line]
    assert presets.describe(name) == lines[0] and lines[0].endswith(".")
    config, training = split_options(kind, presets.find(name)[1])
    assert isinstance(config, kind.Config) and training.batch % config.pack == 0


@pytest.mark.parametrize("name", presets.names())
def test_hyphens_may_stand_for_underscores(name: str) -> None:
    assert presets.find(name.replace("_", "-")) == presets.find(name)
    assert presets.describe(name.replace("_", "-")) == presets.describe(name)


def test_a_preset_is_not_changed_by_who_found_it() -> None:
    presets.find("gan3d")[1]["width"] = 2
    assert presets.find("gan3d")[1]["width"] != 2


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ("gan3", "did you mean 'gan3d'"),
        ("vae-gan3", "did you mean 'vae_gan3d'"),
        ("xyz", "known: ac_gan3d, chairs_gan3d"),
    ],
)
def test_an_unknown_preset_names_the_nearest(given_: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        presets.find(given_)


@pytest.mark.parametrize("name", models.names())
def test_an_unknown_key_names_the_nearest_of_model_and_training(name: str) -> None:
    own = {field.name for field in dataclasses.fields(models.find(name).Config)}
    for key in own | {field.name for field in dataclasses.fields(Training)}:
        with pytest.raises(UsageError, match=f"unknown option '{key}_'; did you mean '{key}'"):
            resolve(name, {f"{key}_": "1"})


def values(field: dataclasses.Field[Any], kind: Any) -> st.SearchStrategy[Any]:
    """Return values that the field may have."""
    if field.name in NUMBERS:
        return NUMBERS[field.name]
    if field.default == "auxiliary":
        return st.just("auxiliary")  # AC-GAN's condition is what makes it one
    if kind is str:
        return st.sampled_from(sorted(WORDS[field.name]))
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(1, 10**6)
    if kind is float:
        return st.floats(0, 0.999)
    return st.lists(st.sampled_from(["chair", "night_stand", "sofa"]), unique=True).map(tuple)


def typed(value: Any, draw: Any) -> str:
    """Return a value as somebody may type it on a command line."""
    if isinstance(value, bool):
        return str(draw(st.sampled_from([str(value), str(value).lower(), str(int(value))])))
    if isinstance(value, int):
        return str(draw(st.sampled_from([str(value), f"{value:_}"])))
    if isinstance(value, tuple):
        return str(draw(st.sampled_from([",", ", "]))).join(value)
    return str(value)


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=lambda x: getattr(x, "name", None) or x.__name__)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_every_field_can_be_given_as_a_word(kind: Any, field: dataclasses.Field[Any], data: st.DataObject) -> None:
    value = data.draw(values(field, typing.get_type_hints(kind)[field.name]))
    beside = {"discriminator_norm": "none"} if field.name in WITHOUT_BATCH_NORM else {}
    made = make_config(kind, {field.name: typed(value, data.draw), **beside})
    assert getattr(made, field.name) == value
    assert type(getattr(made, field.name)) is type(value)


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=lambda x: getattr(x, "name", None) or x.__name__)
def test_what_a_field_cannot_be_is_told_with_its_name(kind: Any, field: dataclasses.Field[Any]) -> None:
    if typing.get_type_hints(kind)[field.name] == tuple[str, ...]:
        return  # any words are classes; the data set says whether it has them
    if field.name in ("device", "start"):
        return  # the machine, and the disk, say which there are
    with pytest.raises(UsageError, match=f"^{field.name}='?nonsense'?"):
        make_config(kind, {field.name: "nonsense"})


@pytest.mark.parametrize("name", presets.names())
def test_what_is_given_overrides_a_preset(name: str) -> None:
    model, options = presets.find(name)
    for key, value in options.items():
        if isinstance(value, bool):
            other: Any = not value
        elif isinstance(value, str):
            other = next(word for word in WORDS[key] if word != value)
        else:
            other = value + 2 if isinstance(value, int) else value / 3 + 0.0007
        kind, merged, _ = resolve(name, {key: str(other), **GO_ALONG.get(key, {})})
        config, training = split_options(kind, merged)
        assert kind is models.find(model)
        assert getattr(config if hasattr(config, key) else training, key) == other != value
