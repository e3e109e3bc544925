"""A folder appears whole or not at all, and replaces only what it may."""

import stat

import pytest

from gelora.errors import OutputExistsError
from gelora.exports.folders import new_folder

MARK = "adapter_config.json"


def write(path, text="new", **options):
    with new_folder(path, holds=MARK, **{"overwrite": False, **options}) as folder:
        (folder / MARK).touch(mode=0o600)
        if isinstance(text, BaseException):
            raise text
        (folder / MARK).write_text(text)


def fail_in(path, **options):
    class Interruption(BaseException): ...

    with pytest.raises(Interruption):
        write(path, Interruption(), **options)


@pytest.mark.parametrize("is_there", [False, True])
def test_a_new_folder_or_an_empty_one(tmp_path, is_there):
    path = tmp_path / "runs" / "export"
    if is_there:
        path.mkdir(parents=True)
    write(path)
    assert (path / MARK).read_text() == "new"
    assert [one.name for one in path.parent.iterdir()] == ["export"]
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(path.parent.stat().st_mode)
    assert stat.S_IMODE((path / MARK).stat().st_mode) == 0o644


def test_an_error_leaves_nothing(tmp_path):
    fail_in(tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays_unless_it_is_to_be_replaced(tmp_path):
    path = tmp_path / "export"
    write(path, "old")
    (path / "more").touch()
    with pytest.raises(OutputExistsError, match=f"{path} is not empty: name another folder"):
        write(path)
    fail_in(path, overwrite=True)
    assert (path / MARK).read_text() == "old"
    write(path, overwrite=True)
    assert [(one.name, one.read_text()) for one in path.iterdir()] == [(MARK, "new")]
    assert [one.name for one in tmp_path.iterdir()] == ["export"]


def test_what_is_no_such_export_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputExistsError, match=f"{tmp_path} holds no {MARK}, so it is no such"):
        write(tmp_path, overwrite=True)
    file = tmp_path / "thesis.tex"
    with pytest.raises(OutputExistsError, match=f"{file} holds no {MARK}"):
        write(file, overwrite=True)


@pytest.mark.parametrize("place", [".", "adapter"])
def test_the_source_is_not_replaced(tmp_path, place):
    write(tmp_path / "adapter")
    (tmp_path / MARK).touch()
    source = tmp_path / "adapter"
    with pytest.raises(OutputExistsError, match=f"holds {source}, which the export is made from"):
        write(tmp_path / place, overwrite=True, source=source)
