"""Types of text, of plain values, of objects, and of functions of the user."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from typing import Any, BinaryIO

from ..errors import ConfigError, UntrustedFileError
from .file_types import BaseFile, StreamFile, filetypes


class TextFile(StreamFile):
    """Text, UTF-8."""

    name = 'text'
    suffixes = ('.txt',)

    def read(self, file: BinaryIO) -> str:
        """See :class:`StreamFile`."""
        return file.read().decode()

    def save(self, txt: str) -> Any:
        """Write text; see :class:`StreamFile`."""
        return super().save(txt)

    def write(self, file: BinaryIO, data: str) -> object:
        """See :class:`StreamFile`."""
        if not isinstance(data, str):
            raise TypeError(
                f'A text file holds text (str), not {type(data).__name__}. Type: '
                'file.save(str(...))'
            )
        return file.write(data.encode())


class JSONFile(StreamFile):
    """JSON; arrays of NumPy are written as lists.

    NaN and infinities are written as Python does, which not all readers of JSON take.
    """

    name = 'json'
    suffixes = ('.json',)

    def read(self, file: BinaryIO) -> Any:
        """See :class:`StreamFile`."""
        import orjson

        text = file.read()
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return json.loads(text)  # which knows NaN; and has the better words

    def write(self, file: BinaryIO, data: Any) -> object:
        """See :class:`StreamFile`."""
        import orjson

        def plain(value: Any) -> Any:
            return value.tolist() if hasattr(value, 'tolist') else orjson.loads(orjson.dumps(value))

        text = orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)
        if b'null' in text:
            text = json.dumps(
                data, indent=2, ensure_ascii=False, default=plain
            ).encode()  # ten times slower, but NaN would be read back as None
        return file.write(text)


class YAMLFile(StreamFile):
    """YAML of plain values: tags that would make objects are refused."""

    name = 'yaml'
    suffixes = ('.yaml', '.yml')

    def read(self, file: BinaryIO) -> Any:
        """See :class:`StreamFile`."""
        import yaml

        return yaml.safe_load(file)

    def write(self, file: BinaryIO, data: Any) -> object:
        """See :class:`StreamFile`."""
        import yaml

        return yaml.safe_dump(data, file, encoding='utf-8', sort_keys=False)


class PickleFile(StreamFile):
    """Any object of Python's.

    Loading one runs code, so only files of one's own are loaded, which no one else may write to.
    """

    name = 'pickle'
    suffixes = ('.pkl', '.pickle')

    def read(self, file: BinaryIO) -> Any:
        """See :class:`StreamFile`."""
        import pickle

        from ..utils import username

        status = os.fstat(file.fileno())
        if status.st_uid != os.geteuid() or status.st_mode & stat.S_IWOTH:
            whose = (
                f'belongs to user {username(status.st_uid)}'
                if status.st_uid != os.geteuid()
                else 'may be written to by everyone'
            )
            raise UntrustedFileError(
                f'{self.path} {whose}: loading a pickle runs whatever code is in it, so it was not '
                'loaded. '
                'If you trust it, copy it, and load the copy; better, have it written as npz, json '
                'or hdf5.'
            )
        return pickle.load(file)

    def write(self, file: BinaryIO, data: Any) -> None:
        """See :class:`StreamFile`."""
        import pickle

        pickle.dump(data, file, protocol=5)


class GenericFile(BaseFile):
    """File that a function, or an object with `load` or `save`, reads and writes.

    The methods may also be called `read` and `write`.
    """

    name = 'generic'

    def load(self, load: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Content of the file.

        Parameters
        ----------
        load : callable, object
            Called with the path; or its method ``load``, or ``read``.
        *args, **kwargs
            Passed on.
        """
        return self._method(load, 'load', 'read')(self.path, *args, **kwargs)

    def save(self, save: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Write the file.

        Parameters
        ----------
        save : callable, object
            Called with the path to write to; or its method ``save``, or ``write``.
        *args, **kwargs
            Passed on.
        """
        return self._method(save, 'save', 'write')(self.path, *args, **kwargs)

    def _method(self, given: Any, *names: str) -> Callable[..., Any]:
        for name in names:
            method = getattr(given, name, None)
            if callable(method):
                return method  # type: ignore[no-any-return]
        if callable(given):
            return given  # type: ignore[no-any-return]
        verb = names[0].rstrip('e')
        raise ConfigError(
            f'{self.path}: a generic file is {verb}ed by a function of its path, or an object with '
            f'a method {" or ".join(names)}, not by {given!r:.100}; '
            'nothing was read or written. Name another file type of the entry: '
            f'{", ".join(filetypes())}'
        )
