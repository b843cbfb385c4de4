import pytest
from pydantic import Field

from cluster.storage import UserError
from ray_jobs.config import StrictModel, apply_overrides, read_yaml, validate


class Inner(StrictModel):
    n_seeds: int = Field(5, ge=1)


class Outer(StrictModel):
    name: str
    sweep: Inner = Inner()
    several: tuple[Inner, ...] = ()


def test_overrides_mean_the_same_as_yaml():
    value = {"name": "a", "several": [{"n_seeds": 1}]}
    result = apply_overrides(value, ["sweep.n_seeds=8", "several.0.n_seeds=3", "name=b"])
    assert result == {"name": "b", "sweep": {"n_seeds": 8}, "several": [{"n_seeds": 3}]}
    assert value == {"name": "a", "several": [{"n_seeds": 1}]}
    assert validate(Outer, result, "x.yaml").sweep.n_seeds == 8


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"name": "a", "sweeep": {}}, "unknown key sweeep; did you mean sweep?"),
        ({"name": "a", "sweep": {"n_seed": 3}}, "unknown key sweep.n_seed; did you mean n_seeds?"),
        (
            {"name": "a", "several": [{"seeds": 3}]},
            "unknown key several.0.seeds; did you mean n_seeds?",
        ),
        (
            {"name": "a", "sweep": {"n_seeds": 0}},
            "sweep.n_seeds: Input should be greater than or equal to 1 (got 0)",
        ),
        ({}, "name: Field required"),
    ],
)
def test_a_mistake_is_one_line_with_the_place(value, message):
    with pytest.raises(UserError) as error:
        validate(Outer, value, "x.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "override", ["novalue", "=3", "name.x=3", "several.7.n_seeds=1", "name=[1", "name=&x [*x]"]
)
def test_a_bad_override_is_refused(override):
    with pytest.raises(UserError, match="--set"):
        apply_overrides({"name": "a", "several": [{}]}, [override])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", r"bad\.yaml:1: not valid YAML"),
        (b"- 1", "must be a mapping"),
        (b"a: &x [*x]", "alias that holds itself"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_unreadable_yaml_is_one_line(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_yaml(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.yaml"):
        read_yaml(tmp_path / "nowhere.yaml")
