"""Entries that tasks share: groups, task managers, workers, versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import orjson

from ...queue.ledger import Ledger
from ..model_types import GroupEntry, ManagerEntry, Versions, WorkerEntry
from ..privacy import Privacy

_Setting = Literal['timeout', 'retries', 'retry_on', 'priority', 'save_attrs']
_SETTINGS: tuple[_Setting, ...] = ('timeout', 'retries', 'retry_on', 'priority', 'save_attrs')


class SharedEntries:
    """Numbers what tasks share, in the order of the tasks, and describes it."""

    def __init__(self, ledger: Ledger, privacy: Privacy) -> None:
        self._state = ledger.state
        self._privacy = privacy
        self.groups: dict[int, int] = {}
        """Numbers in the record, by those in the queue; so for the others, by their names."""
        self.apps: dict[str, int] = {}
        self.managers: dict[str, int] = {}
        self.workers: dict[str, int] = {}
        self.versions: dict[str, int] = {}

    def number_group(self, number: int) -> int:
        """Return the number of a group of the queue, which is recorded with its app."""
        group = self._state.groups[number]
        index = self.groups.setdefault(number, len(self.groups))
        self.apps.setdefault(group.app, len(self.apps))
        self.managers.setdefault(group.mid, len(self.managers))
        return index

    def number_worker(self, name: str) -> int:
        """Return the number of a worker, which is recorded."""
        return self.workers.setdefault(name, len(self.workers))

    def number_versions(self, versions: Mapping[str, str]) -> int:
        """Return the number of these versions, which are recorded."""
        kept = {name: self._privacy.text(str(value)) for name, value in versions.items()}
        if 'declared environment' in kept and 'environ' not in self._privacy.keep:
            del kept['declared environment']  # the task manager says what may be said of it
            self._privacy.left['environ'] += 1
        return self.versions.setdefault(
            orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode(), len(self.versions)
        )

    def describe_groups(self) -> list[GroupEntry]:
        """Describe the groups."""
        return [self._group(number) for number in self.groups]

    def describe_managers(self) -> list[ManagerEntry]:
        """Describe the task managers."""
        return [self._manager(mid) for mid in self.managers]

    def describe_workers(self) -> list[WorkerEntry]:
        """Describe the workers; versions of theirs are recorded."""
        return [self._worker(name) for name in self.workers]

    def describe_versions(self) -> list[Versions]:
        """Return the versions, once all others are described."""
        return [orjson.loads(key) for key in self.versions]

    def _group(self, number: int) -> GroupEntry:
        group = self._state.groups[number]
        entry: GroupEntry = {
            'app': self.apps[group.app],
            'manager': self.managers[group.mid],
            'name': group.name,
            'cwd': self._privacy.path(group.cwd),
        }
        for key in _SETTINGS:
            value = getattr(group, key)
            if value != group._field_defaults[key]:
                entry[key] = value
        return entry

    def _manager(self, mid: str) -> ManagerEntry:
        event = self._state.managers.get(mid)
        environ = {} if event is None else dict(event['environ'])
        if environ.get('data'):
            environ['data'] = self._privacy.environ(environ['data'])
        if environ.get('command') and 'environ' not in self._privacy.keep:
            self._privacy.left['environ'] += 1
            environ['command'] = ['…' for _ in environ['command']]
        if environ.get('command'):
            environ['command'] = [
                command if isinstance(command, str) else '…' for command in environ['command']
            ]
        return {
            'id': mid,
            'environ': environ,
            'scheduler': {} if event is None else self._plain(event['scheduler']),
            'provider': {} if event is None else self._plain(event['provider']),
        }

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._privacy.text(value)
        if isinstance(value, dict):
            return {key: self._plain(item) for key, item in value.items()}
        return [self._plain(item) for item in value] if isinstance(value, list | tuple) else value

    def _worker(self, name: str) -> WorkerEntry:
        worker = self._state.workers.get(name)
        if worker is None:
            return {'name': name}
        entry: WorkerEntry = {
            'name': name,
            'host': worker.host,
            'job': worker.job,
            'slots': worker.slots,
            'since': worker.time,
        }
        if worker.user:
            entry['user'] = self._privacy.user(worker.user)
        snapshot = self._state.versions.get((name, ''))
        if snapshot:
            entry['with'] = self.number_versions(snapshot)
        return entry
