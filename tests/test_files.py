"""The one way to the files of a queue: nothing leads out of its folder, nothing is waited for."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from desipipe.errors import UnsafeFileError
from desipipe.store import file_names, files, folders

WAYS: dict[str, Callable[[str], object]] = {
    'read': lambda folder: files.read_file(folder, 'live/w-0.log', 100),
    'write': lambda folder: os.close(files.open_file(folder, 'live/w-0.log', os.O_RDWR)),
    'create': lambda folder: os.close(
        files.open_file(folder, 'live/w-0.log', os.O_WRONLY | os.O_CREAT)
    ),
    'append': lambda folder: os.close(
        files.open_file(folder, 'live/w-0.log', os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    ),
    'owned': lambda folder: os.close(files.open_owned(folder, 'live/w-0.log')[0]),
}


@pytest.fixture
def folder(tmp_path: Path) -> str:
    folder = tmp_path / 'q.queue'
    for name in file_names.SUBFOLDERS:
        (folder / name).mkdir(parents=True)
    return str(folder)


def plant(path: Path, kind: str) -> None:
    """Put something in the place of a file."""
    if kind == 'link':
        (path.parents[2] / 'precious').write_text('precious')
        path.symlink_to(path.parents[2] / 'precious')
    elif kind == 'dangling':
        path.symlink_to(path.parents[2] / 'not-there')
    elif kind == 'loop':
        path.symlink_to(path.name)
    elif kind == 'zero':
        path.symlink_to('/dev/zero')
    elif kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'folder':
        path.mkdir()
    else:
        # The path of a socket is short.
        here = os.open('.', os.O_RDONLY)
        os.chdir(path.parent)
        try:
            socket.socket(socket.AF_UNIX).bind(path.name)
        finally:
            os.fchdir(here)
            os.close(here)


def open_below(folder: str) -> list[str]:
    """Return what this process has open in a folder; others may be closed at any time."""
    open_files = []
    for name in os.listdir('/proc/self/fd'):
        with contextlib.suppress(FileNotFoundError):  # that of the listing
            open_files.append(os.readlink(f'/proc/self/fd/{name}'))
    return [path for path in open_files if path.startswith(folder)]


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('kind', ['link', 'dangling', 'loop', 'zero', 'pipe', 'folder', 'socket'])
def test_open_refuses_special_files(folder: str, kind: str, way: str) -> None:
    plant(Path(folder, 'live', 'w-0.log'), kind)
    with pytest.raises((UnsafeFileError, IsADirectoryError), match='w-0.log'):
        WAYS[way](folder)
    assert open_below(folder) == []
    parent = Path(folder).parent
    assert sorted(path.name for path in parent.iterdir()) == (
        ['precious', 'q.queue'] if kind == 'link' else ['q.queue']
    )
    assert kind != 'link' or (parent / 'precious').read_text() == 'precious'


@pytest.mark.parametrize('way', WAYS)
def test_linked_folder_in_a_queue_is_not_followed(folder: str, way: str) -> None:
    other = Path(folder).parent / 'other'
    other.mkdir()
    (other / 'w-0.log').write_text('precious')
    os.rmdir(f'{folder}/live')
    os.symlink(other, f'{folder}/live')
    for step in (
        WAYS[way],
        lambda folder: files.remove(folder, 'live/w-0.log'),
        lambda folder: folders.list_names(folder, 'live'),
    ):
        with pytest.raises(UnsafeFileError, match='live is a link'):
            step(folder)
    assert (other / 'w-0.log').read_text() == 'precious'


def test_folder_that_is_named_may_be_a_link(folder: str) -> None:
    link = f'{folder}.link'
    os.symlink(folder, link)
    os.close(files.open_file(link, 'live/w-0.log', os.O_WRONLY | os.O_CREAT))
    assert folders.list_names(folder, 'live') == folders.list_names(link, 'live') == ['w-0.log']
    assert folders.usage(link) == {'bytes': 0, 'files': 1}


NO_NAMES = [
    '',
    '.',
    '..',
    '.hidden',
    '../x',
    'a/b',
    '/etc/passwd',
    'a\0b',
    'a\nb',
    '-rf',
    'x' * 300,
    '\udc80',
    '…',
    'a b',
    5,
    None,
    ['a'],
]


@pytest.mark.parametrize('name', NO_NAMES)
def test_names_that_are_no_names(folder: str, name: str) -> None:
    for path in (
        file_names.check_name,
        file_names.segment_file,
        file_names.lease_file,
        file_names.live_file,
    ):
        with pytest.raises(UnsafeFileError, match='outside of the queue'):
            path(name)
    for path in (
        (name, f'live/{name}', f'live/../../{name}', f'{name}/x') if isinstance(name, str) else ()
    ):
        with pytest.raises((UnsafeFileError, FileNotFoundError, AttributeError)):
            files.open_file(folder, path, os.O_WRONLY | os.O_CREAT)
    assert sorted(os.listdir(os.path.dirname(folder))) == ['q.queue']


@pytest.mark.parametrize(
    ('mode', 'owner', 'opens'),
    [
        (0o700, 0, True),
        (0o755, 0, True),
        (0o770, 0, False),
        (0o777, 0, False),
        (0o755, 12345, False),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason='folders are given to another user, which needs root')
def test_hard_links_count_where_only_the_owner_of_the_file_can_make_them(
    folder: str, mode: int, owner: int, opens: bool
) -> None:
    precious = Path(folder).parent / 'precious'
    precious.write_text('precious')
    os.link(precious, f'{folder}/live/w-0.log')
    os.chmod(f'{folder}/live', mode)
    os.chown(f'{folder}/live', owner, -1)
    for way in WAYS.values():
        if opens:
            way(folder)
        else:
            with pytest.raises(UnsafeFileError, match='hard link'):
                way(folder)
    assert precious.read_text() == 'precious'


def test_owners_are_those_of_what_was_opened(folder: str) -> None:
    Path(folder, 'journal.jsonl').touch()
    assert files.owners(folder, 'journal.jsonl') == (os.geteuid(), os.geteuid())
    if os.geteuid() == 0:
        os.chown(f'{folder}/journal.jsonl', 12345, -1)
        os.chown(folder, 12346, -1)
        assert files.owners(folder, 'journal.jsonl') == (12346, 12345)


def test_much_is_read_in_bounds(folder: str) -> None:
    path = Path(folder, 'live', 'w-0.log')
    path.write_bytes(b'begin')
    os.truncate(path, 1 << 40)  # no bytes of it are on the disk
    assert files.read_file(folder, 'live/w-0.log', 7) == b'begin\0\0'
    assert files.read_file(folder, 'live/w-0.log', 3, tail=True) == b'\0\0\0'


def test_file_is_replaced_whatever_has_its_name(folder: str) -> None:
    plant(Path(folder, 'live', 'w-0.log'), 'link')
    Path(folder, 'live', 'new').write_text('new')
    with pytest.raises(FileExistsError):
        files.replace_file(folder, 'live/new', 'live/w-0.log', exclusive=True)
    files.replace_file(folder, 'live/new', 'live/w-0.log')
    assert Path(folder, 'live', 'w-0.log').read_text() == 'new' and stat.S_ISREG(
        files.status(folder, 'live/w-0.log').st_mode
    )
    assert (Path(folder).parent / 'precious').read_text() == 'precious'


def test_folders_are_made_once(folder: str) -> None:
    for _ in range(2):
        folders.make_folder(folder, 'more')
    os.symlink('/tmp', f'{folder}/link')
    with pytest.raises(UnsafeFileError, match='link is a link'):
        folders.make_folder(folder, 'link')
    os.close(files.open_file(folder, 'more/x', os.O_WRONLY | os.O_CREAT))


@pytest.mark.parametrize('kind', ['pipe', 'zero', 'folder', 'socket'])
def test_named_files_are_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / 'a' / 'b' / 'record'
    path.parent.mkdir(parents=True)
    plant(path, kind)
    with pytest.raises(UnsafeFileError, match='record'):
        files.open_named(str(path))


def test_named_files_may_be_links(tmp_path: Path) -> None:
    path = tmp_path / 'a' / 'b' / 'record'
    path.parent.mkdir(parents=True)
    plant(path, 'link')
    with open(files.open_named(str(path)), 'rb') as file:
        assert file.read() == b'precious'
