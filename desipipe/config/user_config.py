"""The configuration of a user."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ..errors import ConfigError
from ..utils import username
from .config_file import read_config, write_config
from .keys import KEYS, absolute, checked, expanded
from .layers import Layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self


def config_dir() -> str:
    """Folder of the configuration file.

    Returns
    -------
    dirname : str
        ``$DESIPIPE_CONFIG_DIR``, else ``~/.desipipe``.
    """
    return os.path.abspath(
        os.environ.get('DESIPIPE_CONFIG_DIR') or os.path.expanduser('~/.desipipe')
    )


class Config(Layers):
    """User's configuration: set here, else ``config.yaml``, environment, or defaults.

    The keys are

    - ``base_queue_dir``: folder of the users' queue folders (``$DESIPIPE_QUEUE_DIR``), see
      :attr:`queue_dir`;
    - ``environ``, ``scheduler``, ``provider``: what a task manager uses if nothing is given, each a
      name or a dictionary with ``name`` and options; absent by default;
    - ``file``: ``filename``, the path of a data base of files, a pattern, or a list of these, see
      :meth:`.FileManager.databases`; absent by default;
    - ``trusted_users``: users, by name or number, whose queues may be unpickled
      (``$DESIPIPE_TRUST``, separated by commas, wins over the file), see :attr:`trusted_uids`;
    - ``lock``: kind of lock of new queues, 'flock', 'poll' or 'soft' (``$DESIPIPE_LOCK`` wins over
      the file); absent by default: the self-test of the folder chooses;
    - ``sync_interval``: the most seconds that an announced event may be missing on a local disk
      after a power cut;
    - ``lease``: seconds of silence after which a worker of another host counts as dead;
    - ``output_limit``: bytes that are kept of a task's standard output, and of its standard error,
      half of them from the beginning and half from the end;
    - ``linger``: seconds that idle workers wait for further tasks before they end.

    Other keys of the file are told by a warning, and kept. Iterating gives the keys that have been
    set, and ``base_queue_dir``.

    Parameters
    ----------
    user : str, default=None
        User whose queues are meant; by default the one who runs this process.
    filename : str, path-like, default=None
        YAML file to read; it need not exist. By default ``config.yaml`` in the folder
        of the user's configuration.

    Raises
    ------
    ConfigError
        If the file, or an environment variable, has a value that can't be; nothing is then taken
        from it.
    """

    default_user: ClassVar[str] = username()
    """User who runs this process."""
    home_dir: ClassVar[str] = os.path.expanduser('~')

    def __init__(
        self, user: str | None = None, filename: str | os.PathLike[str] | None = None
    ) -> None:
        self.user = str(user or self.default_user)
        self.filename = os.path.abspath(
            os.path.join(config_dir(), 'config.yaml') if filename is None else filename
        )
        # Kept apart, so that `save` writes neither defaults, which may change, nor what an
        # environment variable says today.
        self._saved = read_config(self.filename)
        self._environ: dict[str, Any] = {}
        for key, spec in KEYS.items():
            text = os.environ.get(spec.variable, '') if spec.variable else ''
            if text and not (key == 'base_queue_dir' and key in self._saved):
                value = (
                    [user.strip() for user in text.split(',') if user.strip()]
                    if key == 'trusted_users'
                    else absolute(key, text)
                )
                self._environ[key] = checked(key, value, f'${spec.variable}')
        self._set: dict[str, Any] = {}

    def __copy__(self) -> Self:
        new = self.__class__.__new__(self.__class__)
        new.__dict__.update(self.__dict__)
        new._saved, new._set = dict(self._saved), dict(self._set)
        return new

    @property
    def config_fn(self) -> str:
        """Path of the configuration file."""
        return self.filename

    @property
    def config_dir(self) -> str:
        """Folder of the configuration file."""
        return os.path.dirname(self.filename)

    @config_dir.setter
    def config_dir(self, folder: str) -> None:
        self.filename = os.path.join(os.path.abspath(folder), os.path.basename(self.filename))

    def __getitem__(self, key: str) -> Any:
        for layer in (self._set, self._environ, self._saved):
            if key in layer:
                value = layer[key]
                return (
                    value
                    if key != 'base_queue_dir'
                    else expanded(
                        value,
                        f'${KEYS[key].variable}' if layer is self._environ else self.filename,
                    )
                )
        if key == 'base_queue_dir':
            return os.path.join(os.path.expanduser('~/.desipipe'), 'queues')
        default = KEYS[key].default
        if default is None:
            raise KeyError(key)
        return list(default) if isinstance(default, tuple) else default

    def __setitem__(self, key: str, value: Any) -> None:
        self._set[key] = checked(key, absolute(key, value), 'in this process')

    def __delitem__(self, key: str) -> None:
        if key not in self._set and key not in self._saved and key not in KEYS:
            raise KeyError(key)
        self._set.pop(key, None)
        self._saved.pop(key, None)

    def __iter__(self) -> Iterator[str]:
        # Defaults are found by name; a list of keys has what was said.
        return iter(dict.fromkeys([*self._saved, *self._environ, *self._set, 'base_queue_dir']))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f'Config({self.filename!r}: {self._saved | self._environ | self._set!r})'

    def save(self) -> None:
        """Write the file: what it held and what was set here, nothing else.

        The file is replaced as a whole, so that a process that reads it meanwhile sees the old or
        the new one; comments in it are lost.

        Raises
        ------
        OSError
            If it can't be written; the old one is then intact.
        """
        values = self._saved | self._set
        write_config(self.filename, values)
        self._saved, self._set = values, {}

    @property
    def queue_dir(self) -> str:
        """Folder of the queues of :attr:`user`."""
        return self.queue_dir_of(self.user)

    def queue_dir_of(self, user: str) -> str:
        """Return the folder of a user's queues.

        Parameters
        ----------
        user : str
            Name of the user.

        Returns
        -------
        dirname : str
            ``<base_queue_dir>/<user>``. Where no ``base_queue_dir`` is configured everyone has
            queues at home, so that for another user it is ``~<user>/.desipipe/queues/<user>``.

        Raises
        ------
        ConfigError
            If ``user`` can't be the name of a folder, or has no home here.
        """
        me = username()
        if user in ('', '.', '..') or '/' in user or '\0' in user:
            raise ConfigError(
                f'{user!r} is no name of a user: queues of other users are named user/name'
            )
        if user == me or any(
            'base_queue_dir' in layer for layer in (self._set, self._environ, self._saved)
        ):
            return os.path.join(self['base_queue_dir'], user)
        home = os.path.expanduser(f'~{user}')
        if home.startswith('~'):
            raise ConfigError(
                f'There is no user {user!r} on this machine, and queues are in the home folders of '
                'their users. To share queues in one folder, '
                f'set base_queue_dir in {self.filename} or $DESIPIPE_QUEUE_DIR.'
            )
        return os.path.join(home, '.desipipe', 'queues', user)

    @property
    def base_queue_dir(self) -> str:
        """Folder of the users' queue folders, with ``~`` and variables replaced."""
        return str(self['base_queue_dir'])

    @property
    def trusted_uids(self) -> frozenset[int]:
        """Ids of the users whose queues may be unpickled.

        They are this process's user and ``trusted_users``; names unknown here are ignored.
        """
        import pwd

        trusted = {os.geteuid()}
        for user in map(str, self['trusted_users']):
            if user.isdecimal():
                trusted.add(int(user))
            else:
                with contextlib.suppress(KeyError):
                    trusted.add(pwd.getpwnam(user).pw_uid)
        return frozenset(trusted)

    @property
    def lock(self) -> str | None:
        """Kind of lock of new queues; None: what the self-test of the folder chooses."""
        lock: str | None = self.get('lock')
        return lock

    @property
    def sync_interval(self) -> float:
        """Seconds."""
        return float(self['sync_interval'])

    @property
    def lease(self) -> float:
        """Seconds."""
        return float(self['lease'])

    @property
    def output_limit(self) -> int:
        """Bytes."""
        return int(self['output_limit'])

    @property
    def linger(self) -> float:
        """Seconds."""
        return float(self['linger'])
