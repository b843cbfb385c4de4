"""Keys, checksums and atomic publication, on a local folder and on a remote URI (fsspec's memory://
stands for s3://)."""

import json
import os
import stat
import subprocess
import sys
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from cluster.storage import (
    CACHE_DIR_ENV_VAR,
    MANIFEST,
    CorruptArtefactError,
    Storage,
    UserError,
    canonical_json,
    digest,
    file_digest,
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


class Config(BaseModel):
    b: int = 2
    a: tuple[int, ...] = (1, 2)


def memory_storage() -> Storage:
    return Storage(f"memory://{uuid.uuid4().hex}/root")


@pytest.fixture(params=["local", "remote"])
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Storage:
    monkeypatch.setenv(CACHE_DIR_ENV_VAR, str(tmp_path / "cache"))
    return Storage(tmp_path / "root") if request.param == "local" else memory_storage()


def below(storage: Storage) -> list[str]:
    """Every file under the root, hidden and temporary ones too."""
    if storage.is_local:
        root = Path(storage.uri)
        return sorted(
            path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()
        )
    fs, root_name = fsspec.core.url_to_fs(storage.uri)
    return sorted(name.removeprefix(f"{root_name}/") for name in fs.find(root_name))


# --- identities -----------------------------------------------------------------------------------


@given(json_values)
@settings(max_examples=60, deadline=None)
def test_canonical_json_round_trips_and_ignores_order(value: object) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    if isinstance(value, dict):
        assert digest(dict(reversed(value.items()))) == digest(value)


def test_golden_digests(tmp_path: Path) -> None:
    assert digest({"b": 1, "a": [1, 2.5, None, "ü"]}) == digest({"a": (1, 2.5, None, "ü"), "b": 1})
    assert canonical_json({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'
    assert (
        digest({}, n_chars=64) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )
    (tmp_path / "empty").write_bytes(b"")
    assert (
        file_digest(tmp_path / "empty")
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_canonical_json_of_our_values() -> None:
    assert (
        canonical_json({"config": Config(), "path": Path("x/y"), "n": np.int64(3)})
        == '{"config":{"a":[1,2],"b":2},"n":3,"path":"x/y"}'
    )
    with pytest.raises(TypeError, match="set has no canonical JSON"):
        canonical_json({1, 2})


# --- files ----------------------------------------------------------------------------------------


def test_files_round_trip(storage: Storage) -> None:
    table = pa.table({"x": [1, 2, 3], "y": ["a", None, "c"]})
    storage.write_bytes("a/b.bin", b"\x00\x01")
    storage.write_json("a/c.json", {"z": 1, "config": Config(), "é": [np.float64(0.5)]})
    storage.write_table("t.parquet", table)
    assert storage.keys() == ["a/b.bin", "a/c.json", "t.parquet"]
    assert storage.keys("a") == ["a/b.bin", "a/c.json"]
    assert storage.keys("nothing") == []
    assert storage.read_bytes("a/b.bin") == b"\x00\x01"
    assert storage.read_json("a/c.json") == {"z": 1, "config": {"b": 2, "a": [1, 2]}, "é": [0.5]}
    assert storage.read_table("t.parquet").equals(table)
    assert storage.read_table("t.parquet", columns=["y"]).column_names == ["y"]
    assert storage.exists("t.parquet")
    assert not storage.exists("a"), "a folder without a manifest is no artefact"
    assert below(storage) == ["a/b.bin", "a/c.json", "t.parquet"], "nothing temporary is left"


def test_a_later_write_replaces(storage: Storage) -> None:
    storage.write_bytes("x", b"old")
    storage.write_bytes("x", b"new")
    assert storage.read_bytes("x") == b"new"


def test_what_is_not_there(storage: Storage) -> None:
    assert not storage.exists("nothing")
    for read in (
        storage.read_bytes,
        storage.read_json,
        storage.read_table,
        storage.local_path,
        storage.verify_folder,
    ):
        with pytest.raises(FileNotFoundError):
            read("nothing")
    storage.delete("nothing")


def test_an_error_while_writing_leaves_nothing(storage: Storage) -> None:
    with pytest.raises(ZeroDivisionError), storage.writing("x/y.bin") as path:
        path.write_bytes(b"half")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), storage.writing_folder("x/folder") as folder:
        (folder / "part").write_bytes(b"half")
        raise ZeroDivisionError
    assert below(storage) == []
    assert storage.keys() == []


def test_corrupt_files_are_told_from_missing_ones(storage: Storage) -> None:
    table = pa.table({"x": list(range(1000))})
    storage.write_table("t.parquet", table)
    data = bytearray(storage.read_bytes("t.parquet"))
    data[len(data) // 3] ^= 0xFF
    storage.write_bytes("t.parquet", bytes(data))
    storage.write_bytes("short.parquet", bytes(data[:50]))
    storage.write_bytes("half.json", b'{"a": ')
    storage.write_bytes("latin.json", b'"\xe9"')
    for key in ("t.parquet", "short.parquet"):
        with pytest.raises(CorruptArtefactError, match=key):
            storage.read_table(key)
    for key in ("half.json", "latin.json"):
        with pytest.raises(CorruptArtefactError, match=key):
            storage.read_json(key)


# --- folders --------------------------------------------------------------------------------------


def fill(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "a.txt").write_text("alpha")
    (folder / "sub" / "b.bin").write_bytes(bytes(range(256)))


def test_folders_round_trip(storage: Storage) -> None:
    with storage.writing_folder("models/m1") as folder:
        fill(folder)
        assert not storage.exists("models/m1")
    assert storage.exists("models/m1")
    assert storage.keys("models") == [
        "models/m1/a.txt",
        f"models/m1/{MANIFEST}",
        "models/m1/sub/b.bin",
    ]
    storage.verify_folder("models/m1")
    local = storage.local_path("models/m1")
    assert (local / "sub" / "b.bin").read_bytes() == bytes(range(256))
    manifest = json.loads((local / MANIFEST).read_text())["files"]
    assert manifest["a.txt"] == {"sha256": file_digest(local / "a.txt"), "size_bytes": 5}
    assert storage.local_path("models/m1/a.txt").read_text() == "alpha"
    storage.delete("models/m1")
    assert not storage.exists("models/m1")
    assert below(storage) == []


def test_folders_that_are_no_artefacts_can_be_copied(storage: Storage, tmp_path: Path) -> None:
    storage.write_bytes("ray/run/state/a", b"1")
    storage.write_bytes("ray/run/state/b/c", b"2")
    storage.copy_folder("ray/run/state", tmp_path / "copy")
    assert (tmp_path / "copy/a").read_bytes() + (tmp_path / "copy/b/c").read_bytes() == b"12"
    with pytest.raises(FileNotFoundError):
        storage.copy_folder("ray/run/nothing", tmp_path / "none")


def test_publishing_a_folder_twice_keeps_a_whole_one(storage: Storage) -> None:
    for _ in range(2):
        with storage.writing_folder("m") as folder:
            fill(folder)
    storage.verify_folder("m")
    assert storage.keys() == ["m/a.txt", f"m/{MANIFEST}", "m/sub/b.bin"]


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "manifest"])
def test_damage_to_a_folder_is_found(storage: Storage, damage: str) -> None:
    with storage.writing_folder("m") as folder:
        fill(folder)
    victim = MANIFEST if damage == "manifest" else "sub/b.bin"
    data = storage.read_bytes(f"m/{victim}")
    if damage == "remove":
        storage.delete(f"m/{victim}")
    else:
        damaged = {"flip": b"\xff" + data[1:], "truncate": data[:10], "manifest": b"{"}[damage]
        storage.write_bytes(f"m/{victim}", damaged)
    with pytest.raises(CorruptArtefactError, match="m/"):
        storage.verify_folder("m")


def test_a_users_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with (
        pytest.raises(UserError, match="not one of our artefacts"),
        Storage(tmp_path).writing_folder("mine") as folder,
    ):
        fill(folder)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def test_a_manifest_cannot_point_outside(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "root")
    with storage.writing_folder("m") as folder:
        fill(folder)
    (tmp_path / "root" / "m" / MANIFEST).write_text(
        json.dumps({"files": {"../../secret": {"sha256": "0", "size_bytes": 1}}})
    )
    (tmp_path / "secret").write_text("x")
    with pytest.raises(CorruptArtefactError):
        storage.verify_folder("m")


# --- concurrency and kills ------------------------------------------------------------------------


def test_concurrent_writers_leave_one_whole_artefact(storage: Storage) -> None:
    errors = []

    def write(n: int) -> None:
        try:
            for _ in range(5):
                storage.write_bytes("file", bytes([n]) * 10_000)
                with storage.writing_folder("folder") as folder:
                    (folder / "same.bin").write_bytes(b"same" * 1000)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(set(storage.read_bytes("file"))) == 1
    storage.verify_folder("folder")
    assert below(storage) == ["file", f"folder/{MANIFEST}", "folder/same.bin"]


def test_a_killed_writer_leaves_nothing_under_a_final_name(tmp_path: Path) -> None:
    code = f"""
import os, signal
from cluster.storage import Storage
storage = Storage({str(tmp_path)!r})
with storage.writing("x.bin") as path, storage.writing_folder("m") as folder:
    path.write_bytes(b"half")
    (folder / "part").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == -9
    storage = Storage(tmp_path)
    assert not storage.exists("x.bin")
    assert not storage.exists("m")
    assert storage.keys() == [], "temporary files are not artefacts"


def test_sizes_times_and_parts_of_files(storage: Storage) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)  # file systems keep time more coarsely
    storage.write_bytes("a/x.bin", b"0123456789")
    storage.write_bytes("b.bin", b"")
    files = storage.files()
    assert [(file.key, file.size_bytes) for file in files] == [("a/x.bin", 10), ("b.bin", 0)]
    times = [file.modified_at for file in files if file.modified_at is not None]
    assert len(times) == (2 if storage.is_local else 0), "memory:// keeps no times"
    assert all(before <= time <= datetime.now(UTC) + timedelta(seconds=5) for time in times)
    assert [file.key for file in storage.files("a")] == ["a/x.bin"] and storage.files(
        "nowhere"
    ) == []
    assert storage.read_range("a/x.bin", 3, 4) == b"3456"
    assert (
        storage.read_range("a/x.bin", 8, 9) == b"89" and storage.read_range("a/x.bin", 20, 9) == b""
    )
    with pytest.raises(FileNotFoundError):
        storage.read_range("nothing", 0, 1)
    assert (storage.node_copy("b.bin") is None) == storage.is_local


def test_two_processes_of_a_node_copy_one_remote_artefact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_DIR_ENV_VAR, str(tmp_path / "cache"))
    with Storage(tmp_path / "root").writing_folder("m") as folder:
        fill(folder)
    storage = Storage(
        f"local://{tmp_path / 'root'}"
    )  # by way of fsspec: memory:// cannot be read by two at once
    assert not storage.is_local
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda: paths.append(storage.local_path("m"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 4
    assert len(set(paths)) == 1
    assert (paths[0] / "a.txt").read_text() == "alpha"
    assert [path.name for path in paths[0].parent.iterdir()] == ["m"]


def test_a_damaged_remote_artefact_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_DIR_ENV_VAR, str(tmp_path / "cache"))
    storage = memory_storage()
    with storage.writing_folder("m") as folder:
        fill(folder)
    storage.write_bytes("m/a.txt", b"alphA")
    with pytest.raises(CorruptArtefactError, match=r"a\.txt"):
        storage.local_path("m")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


# --- users' mistakes ------------------------------------------------------------------------------


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--out"):
        Storage(tmp_path / "file").write_bytes("x", b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_root_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    for write in (
        lambda: Storage(tmp_path).write_bytes("x", b""),
        lambda: Storage(tmp_path / "new").write_bytes("x", b""),
    ):
        with pytest.raises(UserError, match="--out"):
            write()


@pytest.mark.parametrize("uri", ["nosuch://bucket/x", "s4://bucket"])
def test_an_unknown_kind_of_uri(uri: str) -> None:
    with pytest.raises(UserError, match=r"nosuch|s4"):
        Storage(uri).write_bytes("x", b"")


def test_a_bucket_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(bucket: str) -> None:
        raise OSError(
            f"When resolving region for {bucket}: AWS Error NETWORK_CONNECTION; Details: no such"
            " host"
        )

    monkeypatch.setattr(pafs, "resolve_s3_region", refuse)
    with pytest.raises(
        UserError, match=r"s3://bucket/x: cannot be opened \(.*NETWORK_CONNECTION\); check"
    ) as caught:
        Storage("s3://bucket/x").exists("probes")
    assert "no such host" not in str(caught.value)


@pytest.mark.parametrize("uri", ["", " "])
def test_an_empty_place(uri: str) -> None:
    with pytest.raises(UserError, match="empty name"):
        Storage(uri)


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/../../b", "a//b", "", "a/./b"])
def test_keys_stay_below_the_root(storage: Storage, key: str) -> None:
    for use in (storage.exists, storage.read_bytes, storage.local_path, storage.delete):
        with pytest.raises(ValueError, match="key"):
            use(key)
    with pytest.raises(ValueError, match="key"):
        storage.write_bytes(key, b"")


def test_a_file_uri_is_a_folder(tmp_path: Path) -> None:
    storage = Storage((tmp_path / "with space").as_uri())
    assert storage.is_local
    storage.write_bytes("x", b"1")
    assert (tmp_path / "with space" / "x").read_bytes() == b"1"


def test_deleting_a_remote_artefact_removes_this_nodes_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_DIR_ENV_VAR, str(tmp_path / "cache"))
    storage = memory_storage()
    storage.write_bytes("x", b"old")
    assert storage.local_path("x").read_bytes() == b"old"
    storage.delete("x")
    storage.write_bytes("x", b"new")
    assert storage.local_path("x").read_bytes() == b"new"


def test_the_home_folder_is_meant_by_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Storage("~/out").uri == str(tmp_path / "out")
    assert repr(Storage("~/out")) == f"Storage({str(tmp_path / 'out')!r})"


@pytest.mark.parametrize("uri", ["s3://", "memory:///", "~nobody-of-this-name/x"])
def test_a_uri_that_names_no_place_is_refused(uri):
    with pytest.raises(UserError) as error:
        Storage(uri)
    assert uri in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "uri",
    ["s3://KEY:hunter2@bucket/x", "s3://bucket/x?secret_key=hunter2", "ftp://me:hunter2@host/x"],
)
def test_a_uri_that_holds_a_secret_is_refused_and_not_repeated(uri):
    with pytest.raises(UserError, match="environment") as error:
        Storage(uri)
    assert (
        "hunter2" not in str(error.value)
        and "KEY:" not in str(error.value)
        and "\n" not in str(error.value)
    )


@pytest.mark.parametrize("files", [[], None, {"a": {}}, {"a": []}])
def test_a_manifest_of_another_shape_is_corrupt(tmp_path, files):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/a").write_text("a")
    (tmp_path / "m" / MANIFEST).write_text(json.dumps({"files": files}))
    with pytest.raises(CorruptArtefactError, match="not a manifest"):
        Storage(tmp_path).verify_folder("m")


def test_a_reader_of_the_old_file_is_not_disturbed_by_a_new_one(tmp_path: Path) -> None:
    """The new file takes the old one's place by a rename. To write into the old one would show its
    readers a mixture of both."""
    storage, old, new = Storage(tmp_path), b"old" * 500_000, b"new" * 500_000
    storage.write_bytes("a/b.bin", old)
    with open(tmp_path / "a" / "b.bin", "rb", buffering=0) as reader:
        begun = reader.read(3)
        storage.write_bytes("a/b.bin", new)
        assert begun + reader.readall() == old
    assert storage.read_bytes("a/b.bin") == new


def test_a_file_system_that_refuses_modes_takes_files_all_the_same(tmp_path, monkeypatch):
    """So do vfat and some network file systems."""

    def refuse(path, mode, **options):
        raise PermissionError(1, "Operation not permitted", str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    before = os.umask(0o027)
    try:
        Storage(tmp_path).write_json("a.json", [1])
    finally:
        os.umask(before)
    assert Storage(tmp_path).read_json("a.json") == [1]
