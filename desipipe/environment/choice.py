"""Choose an environment by a name, a dictionary or options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import Config
from .base import BaseEnvironment


def Environment(
    environ: BaseEnvironment | Mapping[str, Any] | str | None = None,
    data: Mapping[str, Any] | None = None,
    command: str | list[str] | None = None,
    *,
    strict: bool | None = None,
    secret: str | list[str] | None = None,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> BaseEnvironment:
    """Make an environment from a name, a dictionary or an instance.

    Parameters
    ----------
    environ : str, dict, BaseEnvironment, default=None
        A name; a dictionary with ``name``, ``data``, ``command``; any other dictionary: variables,
        on top of the configured environment; an environment, which is returned, or a copy of it if
        there are ``data`` or ``command``. By default what the configuration says, else 'base'.
    data : dict, default=None
        Further variables.
    command : str, list of str, default=None
        Further shell commands; those of the configuration are not run then.
    strict : bool, default=None
        If True, nothing is started when a command fails; by default it is told and passed over.
    secret : str, list of str, default=None
        Names of variables whose values are kept secret, see :class:`BaseEnvironment`.
    config : Config, default=None
        Configuration to look into; by default the user's.
    **options
        Further options of an own class.

    Returns
    -------
    environ : BaseEnvironment

    Raises
    ------
    UnknownNameError, UnknownOptionError, ConfigError
        Saying what is valid.
    """
    if isinstance(environ, Mapping) and not isinstance(environ, BaseEnvironment):
        environ = dict(environ)
        if environ.keys().isdisjoint({'name', *BaseEnvironment.defaults}):
            name = environ.pop('environ', None)  # as the original's users call it
            environ = {'data': environ, **({'name': name} if name is not None else {})}
    if options and not isinstance(environ, BaseEnvironment):
        environ = {**({'name': environ} if isinstance(environ, str) else environ or {}), **options}
        options = {}
    if command is not None and (environ is None or isinstance(environ, dict)):
        config = _without_command(Config() if config is None else config)
    given = {'data': data, 'command': command, 'strict': strict, 'secret': secret}
    options |= {option: value for option, value in given.items() if value is not None}
    return BaseEnvironment.make(environ, config, **options)


def _without_command(config: Mapping[str, Any]) -> Mapping[str, Any]:
    # What is given takes the place of the command of the configuration.
    chosen = config.get('environ')
    if not isinstance(chosen, Mapping):
        return config
    return {'environ': {key: value for key, value in chosen.items() if key != 'command'}}


get_environ = Environment
