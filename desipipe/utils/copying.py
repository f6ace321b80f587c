"""Copy folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from typing import NamedTuple


def copytree(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    symlinks: bool = False,
    ignore: Callable[[str, list[str]], Collection[str]] | None = None,
    copy_function: Callable[[str, str], object] | None = None,
    ignore_dangling_symlinks: bool = False,
    dirs_exist_ok: bool = False,
    dirs_copystat: bool = True,
) -> str:
    """Copy a folder and all that is in it, as :func:`shutil.copytree` does.

    Parameters
    ----------
    src, dst : str, path-like
        Folders.
    symlinks, ignore, copy_function, ignore_dangling_symlinks, dirs_exist_ok
        See :func:`shutil.copytree`; ``copy_function`` is :func:`shutil.copy2` by default.
    dirs_copystat : bool, default=True
        If False, folders keep the permissions and times that they have: those of another user can't
        be changed. Together with ``copy_function=shutil.copyfile`` no permission is touched.

    Returns
    -------
    dst : str

    Raises
    ------
    shutil.Error
        With a list of all that could not be copied.
    """
    import shutil

    copy = _Copy(
        symlinks=symlinks,
        ignore=ignore,
        copy_file=shutil.copy2 if copy_function is None else copy_function,
        ignore_dangling=ignore_dangling_symlinks,
        exist_ok=dirs_exist_ok,
        copystat=dirs_copystat,
    )
    return copy.folder(os.fspath(src), os.fspath(dst))


class _Copy(NamedTuple):
    """A way to copy folders; the members are parameters of :func:`copytree`."""

    symlinks: bool
    ignore: Callable[[str, list[str]], Collection[str]] | None
    copy_file: Callable[[str, str], object]
    ignore_dangling: bool
    exist_ok: bool
    copystat: bool

    def folder(self, source: str, target: str) -> str:
        """Copy a folder, and then raise the errors of all that could not be copied."""
        import shutil

        with os.scandir(source) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        names = [entry.name for entry in entries]
        passed = set(self.ignore(source, names)) if self.ignore else set()
        os.makedirs(target, exist_ok=self.exist_ok)
        errors: list[tuple[str, str, str]] = []
        for entry in entries:
            if entry.name in passed:
                continue
            goal = os.path.join(target, entry.name)
            try:
                self._entry(entry, goal)
            except shutil.Error as exc:
                errors += exc.args[0]
            except OSError as exc:
                errors.append((entry.path, goal, str(exc)))
        if self.copystat:
            try:
                shutil.copystat(source, target)
            except OSError as exc:
                errors.append((source, target, str(exc)))
        if errors:
            raise shutil.Error(errors)
        return target

    def _entry(self, entry: os.DirEntry[str], goal: str) -> None:
        """Copy what a folder holds under one name."""
        if entry.is_symlink() and self.symlinks:
            os.symlink(os.readlink(entry.path), goal)
        elif entry.is_symlink() and self.ignore_dangling and not os.path.exists(entry.path):
            return
        elif entry.is_dir():
            self.folder(entry.path, goal)
        else:
            self.copy_file(entry.path, goal)
