from dataclasses import dataclass, field

import jaxtyping
import numpy as np
import pytest

from videolavit.config import from_dict, load_config, plain_number, save_config, to_dict, whole_number
from videolavit.errors import ConfigError
from videolavit.generation_options import GenerationOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    sizes: tuple[int, ...] = (1, 2)
    rate: float = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    limit: int | None = None
    steps: tuple[Inner, ...] = ()


def test_a_configuration_survives_the_way_through_a_file(tmp_path):
    config = Outer(name="x", inner=Inner(sizes=(3, 4, 5), rate=2.0), limit=7, steps=(Inner(), Inner(rate=1.0)))
    save_config(config, tmp_path / "config.json")
    assert load_config(Outer, tmp_path / "config.json") == config


def test_an_unknown_key_is_an_error_that_names_it_and_its_place():
    with pytest.raises(ConfigError, match=r"model\.inner: unknown key 'sizs' for Inner; known are rate, sizes"):
        from_dict(Outer, {"name": "x", "inner": {"sizs": [1]}}, where="model")


def test_a_missing_key_is_an_error():
    with pytest.raises(ConfigError, match="name"):
        from_dict(Outer, {})


@pytest.mark.parametrize("value", ["seven", 7.5, True])
def test_a_value_of_another_type_is_an_error(value):
    with pytest.raises(ConfigError, match=r"limit: got .* expected int"):
        from_dict(Outer, {"name": "x", "limit": value})


def test_an_integer_is_taken_where_a_float_is_expected():
    assert from_dict(Inner, {"rate": 3}).rate == 3.0


def test_something_else_than_an_object_is_an_error():
    with pytest.raises(ConfigError, match="expected an object"):
        from_dict(Outer, [1, 2])


def test_a_damaged_file_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json: not a JSON file"):
        load_config(Outer, path)


def test_plain_values_hold_no_tuples_of_dataclasses():
    assert to_dict(Outer(name="x", steps=(Inner(),)))["steps"] == ({"sizes": (1, 2), "rate": 0.5},)


def test_scalars_of_numpy_become_numbers_of_python():
    for scalar, number in ((np.int64(3), 3), (np.float32(0.5), 0.5), (np.uint8(7), 7), (2.5, 2.5)):
        assert plain_number(scalar) == number
        assert type(plain_number(scalar)) is type(number)
    for other in ("3", None, True, (array := np.array(3)), np.bool_(True)):
        assert plain_number(other) is other
    assert array.shape == ()


def test_whole_numbers_are_taken_from_numpy_and_anything_else_is_refused():
    assert whole_number("clips", np.int64(2), at_least=1) == 2
    for wrong in (2.0, np.float64(2.0), "2", None, True):
        with pytest.raises(ConfigError, match=r"got clips=.*, expected a whole number"):
            whole_number("clips", wrong, at_least=1)
    with pytest.raises(ConfigError, match="got clips=0, expected at least 1"):
        whole_number("clips", 0, at_least=1)


def test_options_of_generation_hold_numbers_of_python(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for whoever calls this
    options = GenerationOptions(
        seed=np.int64(3), height=np.int64(64), width=64.0, keyframe_guidance_scale=np.float32(1.5)
    )
    values = (options.seed, options.height, options.width, options.keyframe_guidance_scale)
    assert [(type(value), value) for value in values] == [(int, 3), (int, 64), (int, 64), (float, 1.5)]
    with pytest.raises(ConfigError, match=r"got seed=3\.0, expected a whole number"):
        GenerationOptions(seed=np.float64(3))
