"""Task managers of desipipe 1.0, as ones of this version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..environment import BaseEnvironment
from ..errors import ConfigError, DesipipeError
from ..provider import Provider
from ..queue.author_claims import mid_of
from ..scheduler import Scheduler
from .import_notes import ImportNotes
from .original_pickles import Stored, read_manager

if TYPE_CHECKING:
    from ..queue.task_events import Spec

_PROVIDERS = {'LocalProvider': 'local', 'SlurmProvider': 'slurm', 'NERSCProvider': 'nersc'}
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    'stop_after': (None,),
    'output': ('/dev/null',),
    'error': ('/dev/null',),
    'killed_at_timeout': (None,),
    'mpiprocs_per_worker': (1,),
    'kwargs': ({},),
    'mpiexec': (
        'mpiexec -np {mpiprocs:d} {cmd}',
        'srun --unbuffered -N {nodes:d} -n {mpiprocs:d} {cmd}',
    ),
}
"""Values of options of providers that desipipe 1.0 stored although they had not been given."""
_UNUSED = {'environ', 'processes', 'max_mpiprocs_per_node', 'timestep', 'sqs'}
_NO_SPEC: Spec = {
    'environ': BaseEnvironment().to_spec(),
    'scheduler': {'name': 'simple'},
    'provider': {'name': 'local'},
}


class OriginalManagers:
    """Specifications of task managers, by their identities in the old queue."""

    def __init__(self, notes: ImportNotes) -> None:
        self._notes = notes
        self._specs: dict[str, Spec] = {}

    def add(self, mid: str, data: bytes) -> None:
        """Read a task manager."""
        self._specs[mid] = self._spec(mid, data)

    def number(self, mid: str) -> str:
        """Return the identity here of a task manager; of a local one if it is unknown."""
        return mid_of(self._specs.setdefault(mid, _NO_SPEC))

    def by_number(self) -> dict[str, Spec]:
        """Return the specifications by their identities here."""
        return {mid_of(spec): spec for spec in self._specs.values()}

    def _spec(self, mid: str, data: bytes) -> Spec:
        stored = read_manager(data)
        if stored is None:
            self._notes.add(f'Task manager {mid} cannot be read: its tasks get a local one.')
            return _NO_SPEC
        return {
            'environ': self._environ(mid, stored.get('environ')),
            'scheduler': self._scheduler(stored.get('scheduler')),
            'provider': self._provider(mid, stored.get('provider')),
        }

    def _environ(self, mid: str, stored: Any) -> dict[str, Any]:
        state = stored.__dict__ if isinstance(stored, Stored) else {}
        try:
            # Variables and commands of its class are among those that are stored.
            return BaseEnvironment(state.get('data') or {}, state.get('command') or None).to_spec()
        except ConfigError as exc:
            self._notes.add(f'The environment of task manager {mid} cannot be used: {exc}')
        return BaseEnvironment().to_spec()

    def _scheduler(self, stored: Any) -> dict[str, Any]:
        most = stored.get('max_workers') if isinstance(stored, Stored) else None
        options = {'max_workers': most} if isinstance(most, int) and most > 0 else {}
        return Scheduler({'scheduler': 'simple', **options}).to_spec()

    def _provider(self, mid: str, stored: Any) -> dict[str, Any]:
        kind = type(stored).__name__
        if not isinstance(stored, Stored) or kind not in _PROVIDERS:
            text = f'The provider of task manager {mid} ({kind}) is not one of desipipe'
            self._notes.add(f'{text}: its tasks get a local one.')
            return {'name': 'local'}
        options: dict[str, Any] = {}
        for name, value in stored.__dict__.items():
            if name in _UNUSED or name.startswith('_') or value in _DEFAULTS.get(name, ()):
                continue
            try:
                Provider({'provider': _PROVIDERS[kind], **options, name: value})
            except (DesipipeError, TypeError, ValueError) as exc:
                text = f'{name}={value!r:.100} was left out. {exc}'
                self._notes.add(f'The provider of task manager {mid}: {text}')
            else:
                options[name] = value
        return Provider({'provider': _PROVIDERS[kind], **options}).to_spec()
