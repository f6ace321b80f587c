"""Secrets of environments: stored in the user's files, named by digests elsewhere.

The journal, records, notes and scripts hold the digest of a secret, made with a key that only the
user has. Who starts a worker has its shell read the file ``secrets/<digest>`` in the folder of the
configuration.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..config.user_config import config_dir
from ..errors import ConfigError
from ..utils import random_hex

__all__ = [
    'KeptSecret',
    'assigned_secrets',
    'assigns_secret',
    'holds_secret',
    'hide',
    'is_secret_name',
    'keep_secret',
    'known_values',
    'redact',
]

HIDDEN = '***'
VARIABLE = 'DESIPIPE_SECRETS'
"""Variable that names the secrets of a worker's environment."""
# Characters of a value that is looked for in text: a shorter one is in it by chance. Of variables
# that nobody has put into an environment only the names tell, which may be wrong.
_SHORTEST, _SHORTEST_INHERITED = 6, 12
_WORDS = r'TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|PRIVATE'
_PARTS = r'PASS|PWD|PW|AUTH|COOKIE|COOKIES|PAT|JWT|DSN|BEARER'
_SECRET_NAME = re.compile(
    rf'{_WORDS}|KEYS?(?:_?ID)?\Z|(?:\A|_)KEYS?(?:_|\Z)|(?:\A|_)(?:{_PARTS})(?:_|\Z)', re.IGNORECASE
)
_NO_SECRETS = frozenset({'PWD', 'OLDPWD', 'SSH_AUTH_SOCK'})
# A password in an address, and what well-known services make their tokens look like.
_SECRET_VALUE = re.compile(
    r'://[^/\s:@]*:[^/\s@]+@|-----BEGIN [A-Z ]*PRIVATE KEY|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.'
    r'|\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|AKIA|ASIA|hf_|pypi-)[\w-]{12,}'
)
_ASSIGNMENT = re.compile(r'(?<![\w$])([A-Za-z_]\w*)=(?!\$|["\']?\$|[\s;&|)]|\Z)')
_OPTION = re.compile(r'(?<!\S)--?([A-Za-z][\w-]*)[= ](?!\s*(?:-|["\']?\$|\Z))')
_DIGEST = re.compile('[0-9a-f]{32}')


class KeptSecret(NamedTuple):
    """A secret that another process has kept."""

    digest: str

    def __repr__(self) -> str:
        return repr(HIDDEN)

    @property
    def path(self) -> str:
        """File that holds it, as lines for `bash`."""
        return os.path.join(_folder(), self.digest)

    @property
    def spec(self) -> dict[str, str]:
        """Plain data from which :meth:`of` makes it again."""
        return {'secret': self.digest}

    @classmethod
    def of(cls, value: object) -> KeptSecret | None:
        """Return the secret that plain data names; None if it names none."""
        if isinstance(value, KeptSecret):
            return value
        if not isinstance(value, Mapping) or value.keys() != {'secret'}:
            return None
        digest = value['secret']
        return cls(digest) if isinstance(digest, str) and _DIGEST.fullmatch(digest) else None


def _folder() -> str:
    return os.path.join(config_dir(), 'secrets')


def is_secret_name(name: str) -> bool:
    """Return True if a variable's name denotes a secret: ``API_KEY``, ``PGPASSWORD``."""
    return bool(_SECRET_NAME.search(name)) and name not in _NO_SECRETS


def holds_secret(value: str) -> bool:
    """Return True if a value looks secret by itself, as a URL with a password does."""
    return bool(_SECRET_VALUE.search(value))


def assigns_secret(command: str) -> bool:
    """Return True if a shell command has the value of a secret in its text."""
    options = (name.replace('-', '_') for name in _OPTION.findall(command))
    return (
        bool(assigned_secrets(command))
        or any(map(is_secret_name, options))
        or holds_secret(command)
    )


def assigned_secrets(command: str) -> list[str]:
    """Return the names of the secrets to which a shell command assigns."""
    return [name for name in _ASSIGNMENT.findall(command) if is_secret_name(name)]


def keep_secret(text: str, names: Iterable[str] = ()) -> KeptSecret:
    """Keep lines for `bash` in a file that only this user can read.

    Parameters
    ----------
    text : str
    names : iterable of str, default=()
        Variables that are secret when the lines were run.

    Returns
    -------
    secret : KeptSecret
        The same for the same text, and to nobody else of any use.

    Raises
    ------
    ConfigError
        If the file can't be written.
    """
    folder = _folder()
    for name in names:
        text = f'export {VARIABLE}="${{{VARIABLE}-}} {name}"\n{text}'
    try:
        _make_folder(folder)
        key = _read_key(folder)
        import hmac

        secret = KeptSecret(hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32])
        if not os.path.exists(secret.path):
            _write(secret.path, text.encode())
    except OSError as exc:
        raise ConfigError(
            f'A secret of the environment cannot be kept in {folder} ({exc.strerror}). Nothing was '
            'added. '
            'Choose a folder that can be written:\nexport DESIPIPE_CONFIG_DIR=...'
        ) from exc
    return secret


def _make_folder(folder: str) -> None:
    for path in (os.path.dirname(folder), folder):
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.mkdir(path, 0o700)
        except FileExistsError:
            continue
    os.chmod(folder, 0o700)


def _read_key(folder: str) -> bytes:
    path = os.path.join(folder, 'key')
    if not os.path.exists(path):
        _write(path, os.urandom(32))
    with open(path, 'rb') as file:
        return file.read()


def _write(path: str, data: bytes) -> None:
    """Write a file in one step; if another process was faster, its file stays."""
    temporary = f'{path}.{random_hex(8)}.tmp'
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        os.unlink(temporary)


def known_values(environ: Mapping[str, Any], names: Iterable[str] = ()) -> list[str]:
    """Return the values of secrets in an environment, the longest first.

    Parameters
    ----------
    environ : dict
        Names and values of variables.
    names : iterable of str, default=()
        Secrets whose names don't tell.
    """
    declared = frozenset([*names, *environ.get(VARIABLE, '').split()])
    values = {
        value
        for name, value in environ.items()
        if isinstance(value, str)
        and len(value) >= _SHORTEST
        and (name in declared or _is_inherited_secret(name, value))
    }
    return sorted(values, key=len, reverse=True)


def _is_inherited_secret(name: str, value: str) -> bool:
    is_word = len(value) < _SHORTEST_INHERITED or value.isalpha()
    return is_secret_name(name) and not is_word and not os.path.exists(value)


@functools.cache
def process_values() -> tuple[bytes, ...]:
    """Return the values of secrets in the environment that this process had at first."""
    return tuple(value.encode(errors='surrogateescape') for value in known_values(os.environ))


def hide(data: bytes) -> bytes:
    """Return output of a task without the secrets of its worker's environment."""
    for value in process_values():
        if value in data:
            data = data.replace(value, HIDDEN.encode())
    return data


def begun(data: bytes, marks: Iterable[bytes]) -> int:
    """Return how many of the last bytes may be the beginning of one of some marks."""
    return max((_begun(data, mark) for mark in marks), default=0)


def _begun(data: bytes, mark: bytes) -> int:
    longest = min(len(mark) - 1, len(data))
    return next((n for n in range(longest, 0, -1) if data.endswith(mark[:n])), 0)


def redact(text: str, values: Iterable[str]) -> str:
    """Return text without these values."""
    for value in values:
        text = text.replace(value, HIDDEN)
    return text
