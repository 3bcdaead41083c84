"""`harness export` as a command: what it says, and bad input, which changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli

ROOT = Path(__file__).resolve().parents[2]

Harness = Callable[..., tuple[int, str, str]]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Harness:
    monkeypatch.chdir(ROOT)

    def go(*argv: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", "export", *argv])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, captured.out, captured.err

    return go


def there(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_the_folder_and_says_where_to_read_on(harness: Harness, tmp_path: Path) -> None:
    out = tmp_path / "new/folder"
    code, said, _ = harness("single", "--format", "compose", "--out", str(out), "--subnet", "192.168.7.0/24")
    assert code == 0
    assert str(out / "README.md") in said
    assert "192.168.7.11" in (out / "compose.yaml").read_text()
    assert [path for path in tmp_path.iterdir() if path.name != "new"] == []


def test_an_empty_folder_is_filled(harness: Harness, tmp_path: Path) -> None:
    assert harness("single", "--out", str(tmp_path))[0] == 0
    assert (tmp_path / "compose.yaml").is_file()


def test_without_out_it_is_below_the_current_folder(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "topologies").mkdir()
    (tmp_path / "topologies/mine.yaml").write_text((ROOT / "topologies/single.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    assert harness("mine")[0] == 0
    assert "COMPOSE_PROJECT_NAME=mine\n" in (tmp_path / "exported/mine/.env.example").read_text()


def test_a_folder_that_holds_anything_is_refused_and_left_as_it_is(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("somebody's")
    code, _, error = harness("single", "--out", str(tmp_path))
    assert code == 64
    assert f"--out {tmp_path}: expected a folder that is new or empty, found compose.yaml" in error
    assert there(tmp_path) == {"compose.yaml": "somebody's"}


def test_an_export_is_not_written_over_another_one(harness: Harness, tmp_path: Path) -> None:
    assert harness("single", "--out", str(tmp_path))[0] == 0
    before = there(tmp_path)
    code, _, error = harness("active-active", "--out", str(tmp_path))
    assert code == 64
    assert "and 4 more" in error
    assert there(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["singel"], "did you mean single?"),
        (["single", "--format", "compos"], "did you mean compose?"),
        (["single", "--format", "helm"], "hint: one of: compose"),
        (["single", "--subnet", "10.72.0.0/16"], "expected a /24, found a /16"),
        (["single", "--subnet", "10.72.0.1/24"], "host bits set"),
        (["single", "--subnet", "here"], "expected an IPv4 network"),
    ],
)
def test_a_word_that_means_nothing_is_named_and_nothing_is_written(
    harness: Harness, tmp_path: Path, words: list[str], expected: str
) -> None:
    code, _, error = harness(*words, "--out", str(tmp_path / "out"))
    assert (code, expected in error) == (64, True), error
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_or_of_its_parent_is_refused(harness: Harness, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("somebody's")
    for out, expected in ((file, "found a file"), (file / "below", "Not a directory")):
        code, _, error = harness("single", "--out", str(out))
        assert (code, expected in error) == (64, True), error
    assert there(tmp_path) == {"file": "somebody's"}


@pytest.mark.parametrize("made_before", [True, False])
def test_a_disk_that_is_full_half_way_leaves_nothing(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_before: bool
) -> None:
    out = tmp_path / "out"
    if made_before:
        out.mkdir()
    written: list[Path] = []
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if len(written) == 20:
            raise OSError(28, "No space left on device")
        written.append(path)
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    code, _, error = harness("single", "--out", str(out))
    assert (code, "No space left on device" in error) == (64, True)
    assert len(written) == 20
    assert list(tmp_path.rglob("*")) == ([out] if made_before else [])
