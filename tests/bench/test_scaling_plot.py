"""The pictures of replayed loads. No cluster."""

from pathlib import Path

from bench.records import Series
from bench.scaling.plot import draw
from tests.bench.records import a_record


def test_each_load_gets_a_small_picture_of_all_its_scalers(tmp_path: Path) -> None:
    operator = Series({}, (a_record(), a_record(trace="wave")))
    files = draw({"operator": operator, "fixed-5": Series({}, (a_record(scaler="fixed-5"),))}, tmp_path / "img")
    assert [file.name for file in files] == ["scaling-step.png", "scaling-wave.png"]
    for file in files:
        content = file.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) < 60_000


def test_the_same_data_gives_the_same_picture(tmp_path: Path) -> None:
    series = {"operator": Series({}, (a_record(),))}
    (one,), (other,) = draw(series, tmp_path / "one"), draw(series, tmp_path / "other")
    assert one.read_bytes() == other.read_bytes()


def test_of_many_series_a_few_are_drawn(tmp_path: Path) -> None:
    many = {f"hpa-{number}": Series({}, (a_record(scaler=f"hpa-{number}"),)) for number in range(1, 9)}
    (some,) = draw(many, tmp_path / "many")
    (one,) = draw({"hpa-5": many["hpa-5"]}, tmp_path / "one")
    assert some.read_bytes() == one.read_bytes()
