"""Measure, print the tables, write the JSON file."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import bag
from .harness import Figure, Outcome, column, machine, run_child, versions
from .peers import DESIPIPE, SYSTEMS, System

if TYPE_CHECKING:
    from rich.table import Table

# Measurement: module, most rounds, seconds it may take, arguments, arguments of --quick. `turn` is
# the round's number.
OWN: dict[str, tuple[str, int, float, dict[str, int], dict[str, int]]] = {
    'additions': ('engine.additions', 5, 120, {'tasks': 5_000}, {'tasks': 1_000}),
    'fan': ('engine.fan', 5, 180, {'width': 10_000}, {'width': 1_000}),
    'scale': (
        'engine.scale',
        3,
        300,
        {'small': 10_000, 'large': 100_000},
        {'small': 10_000, 'large': 100_000},
    ),
    'scale-out': (
        'scale_out',
        1,
        600,
        {'workers': 1000, 'slots': 128, 'seconds': 60, 'tasks': 256_000},
        {'workers': 100, 'slots': 8, 'seconds': 60, 'tasks': 1600},
    ),
    'array': ('engine.array', 3, 180, {'size': 125_000_000}, {'size': 12_500_000}),
    'contention': (
        'engine.contention',
        3,
        300,
        {'tasks': 60_000, 'workers': 64},
        {'tasks': 5_000, 'workers': 16},
    ),
    'files': ('engine.files', 5, 120, {'files': 10_000}, {'files': 10_000}),
    'record': (
        'engine.record',
        3,
        600,
        {'tasks': 10_000, 'large': 100_000, 'flips': 1000},
        {'tasks': 10_000, 'large': 20_000, 'flips': 50},
    ),
    'import': ('engine.imports', 5, 60, {'repeats': 10}, {'repeats': 3}),
    'server': (
        'engine.server',
        3,
        180,
        {'tasks': 100_000, 'idle': 10},
        {'tasks': 100_000, 'idle': 3},
    ),
    'cells': (
        'notebook.cells',
        5,
        60,
        {'cells': 60, 'sweep': 10_000},
        {'cells': 20, 'sweep': 10_000},
    ),
    'lab': ('lab.panel', 3, 300, {'tasks': 100_000, 'idle': 40}, {'tasks': 100_000, 'idle': 5}),
    'live': (
        'notebook.live',
        3,
        180,
        {'tasks': 100_000, 'cell': 10_000},
        {'tasks': 100_000, 'cell': 10_000},
    ),
    'badges': ('notebook.badges', 3, 180, {'cells': 50, 'idle': 200}, {'cells': 50, 'idle': 60}),
    'typing': ('lab.typing', 3, 300, {'cells': 50, 'keys': 10}, {'cells': 50, 'keys': 3}),
    'slurm': ('slurm.short', 2, 1800, {'tasks': 1000}, {'tasks': 200}),
    'slurm-many': ('slurm.many', 1, 1200, {'jobs': 500, 'seconds': 9}, {'jobs': 40, 'seconds': 1}),
}
TURNS = ('fan', 'array', 'contention')
GIVE_UP = 2  # failures after which a system is not tried again: each may cost its time limit


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def run_bag(
    systems: Sequence[System], rounds: int, quick: bool, folder: Path | None
) -> dict[str, list[Outcome]]:
    """Measure the comparison: every system once a round, starting with another one each time.

    Parameters
    ----------
    systems : sequence of System
        What to compare.
    rounds : int
        Rounds.
    quick : bool
        A quarter of the tasks.
    folder : Path, optional
        Where the systems keep their files.

    Returns
    -------
    outcomes : dict
        For each system, one outcome a round.
    """
    found: dict[str, list[Outcome]] = {system.name: [] for system in systems}
    for turn in range(rounds):
        first = turn % len(systems)
        for system in [*systems[first:], *systems[:first]]:
            before = found[system.name]
            if (
                any(outcome.missing for outcome in before)
                or sum(bool(outcome.error) for outcome in before) >= GIVE_UP
            ):
                before.append(Outcome({}, before[-1].error, before[-1].missing))
                continue
            outcome = run_child(
                'bag',
                {'system': system.name, 'tasks': system.tasks // (4 if quick else 1), 'calls': 30},
                120,
                folder,
            )
            before.append(outcome)
            rate = outcome.values.get('rate', 0)
            _say(
                f'[{turn + 1}/{rounds}] {system.name}: '
                + (outcome.error.splitlines()[-1] if outcome.error else f'{rate:,.0f} tasks/s')
            )
    return found


def run_own(name: str, rounds: int, quick: bool, folder: Path | None) -> list[Outcome]:
    """Measure one of desipipe's own figures.

    Parameters
    ----------
    name : str
        Name of the measurement, a key of `OWN`.
    rounds : int
        Rounds; slow measurements have fewer.
    quick : bool
        Smaller sizes.
    folder : Path, optional
        Where queues are made.

    Returns
    -------
    outcomes : list of Outcome
        One a round; none when the module's `left_out()` says why it can't be measured here.
    """
    module, most, limit, params, small = OWN[name]
    left_out: Callable[[], str] = getattr(
        importlib.import_module(f'benchmarks.{module}'), 'left_out', str
    )
    if reason := left_out():
        _say(f'{name}: LEFT OUT: {reason}')
        return []
    found: list[Outcome] = []
    for turn in range(min(rounds, most)):
        found.append(
            run_child(
                module,
                {**(small if quick else params), **({'turn': turn} if name in TURNS else {})},
                limit,
                folder,
            )
        )
        _say(
            f'[{turn + 1}/{min(rounds, most)}] {name}: '
            + (found[-1].error.splitlines()[-1] if found[-1].error else 'done')
        )
        if found[-1].error:
            break
    return found


def _number(value: float | None) -> str:
    if value is None:
        return '–'
    return f'{value:,.0f}' if abs(value) >= 100 else f'{value:.3g}'


def systems_table(found: dict[str, list[Outcome]]) -> Table:
    """Return the table of systems, fastest first."""
    from rich.table import Table

    table = Table(title='Bag of no-op tasks, two workers, until every result is known')
    for name in (
        'system',
        'on disk',
        'tasks/s',
        'lowest – highest',
        'processor (µs/task)',
        'latency (ms)',
        'how',
    ):
        table.add_column(name, justify='left' if name in ('system', 'on disk', 'how') else 'right')

    def rate(system: System) -> float:
        return Figure('', '', column(found[system.name], 'rate'), '').value or 0.0

    for system in sorted(
        (system for system in SYSTEMS if system.name in found), key=rate, reverse=True
    ):
        outcomes = found[system.name]
        rates, latency = (
            column(outcomes, 'rate'),
            Figure('', '', column(outcomes, 'latency', 1e3), 'ms').value,
        )
        processor = Figure('', '', column(outcomes, 'processor', 1e6), 'µs').value
        failed = [outcome for outcome in outcomes if outcome.error]
        how = system.note
        if failed:
            how = (
                f'not installed: pip install {system.distribution}'
                if failed[0].missing
                else (
                    f'failed in {len(failed)} of {len(outcomes)} rounds: '
                    f'{failed[0].error.splitlines()[-1]}'
                )
            )
        table.add_row(
            system.name,
            'yes' if system.durable else 'no',
            _number(rate(system) or None),
            f'{_number(min(rates))} – {_number(max(rates))}' if rates else '',
            _number(processor),
            _number(latency),
            how,
            style='bold' if system is DESIPIPE else 'yellow' if failed else None,
        )
    return table


def figures_table(figures: Sequence[Figure]) -> Table:
    """Return the table of figures, with their targets."""
    from rich.table import Table

    table = Table(title='desipipe')
    for name in ('figure', 'value', '', 'lowest – highest', 'target', 'passed', 'note'):
        table.add_column(name, justify='right' if name in ('value', 'lowest – highest') else 'left')
    for figure in figures:
        passed = {None: '', True: '[green]✓ yes[/]', False: '[red]✗ no[/]'}[figure.passed]
        if figure.passed is False and not figure.samples:
            passed = '[yellow]? not measured[/]'
        spread = (
            f'{_number(min(figure.samples))} – {_number(max(figure.samples))}'
            if len(figure.samples) > 1
            else ''
        )
        table.add_row(
            figure.text,
            _number(figure.value),
            figure.unit,
            spread,
            f'{figure.target.kind} {figure.target.value:g}' if figure.target else '',
            passed,
            figure.note,
        )
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; defaults to those of the command line.

    Returns
    -------
    status : int
        0; 1 when a measurement of desipipe crashed; 3 when ``--strict`` and a target was missed or
        not measured.
    """
    names = ['bag', *OWN, *(system.name for system in SYSTEMS)]
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks',
        description='Measure desipipe beside its peers, in one run on this machine.',
        epilog='example: python -m benchmarks --only desipipe joblib fan --rounds 3',
    )
    parser.add_argument(
        '--quick',
        action='store_true',
        help='smaller sizes and one round: shows that everything runs, not how fast',
    )
    parser.add_argument(
        '--only',
        nargs='+',
        choices=names,
        default=[],
        metavar='NAME',
        help='only these measurements (bag, {}) or, of the bag, these systems ({})'.format(
            ', '.join(OWN), ', '.join(system.name for system in SYSTEMS)
        ),
    )
    parser.add_argument(
        '--rounds',
        type=int,
        default=0,
        help='rounds whose median counts; default: 5, with --quick 1',
    )
    parser.add_argument(
        '--json', type=Path, default=Path('bench.json'), help='file to write; default: bench.json'
    )
    parser.add_argument(
        '--folder',
        type=Path,
        default=None,
        help='where queues and peers keep their files; default: the temporary folder',
    )
    parser.add_argument(
        '--strict',
        action='store_true',
        help='exit with status 3 when a target is missed or could not be measured',
    )
    args = parser.parse_args(argv)
    rounds = args.rounds or (1 if args.quick else 5)
    only = args.only or ['bag', *OWN]
    systems = [system for system in SYSTEMS if 'bag' in only or system.name in only]

    about = machine(args.folder or Path(tempfile.gettempdir()))
    found = run_bag(systems, rounds, args.quick, args.folder) if systems else {}
    own = {name: run_own(name, rounds, args.quick, args.folder) for name in OWN if name in only}
    figures = bag.figures(found)
    for name, outcomes in own.items():
        make: Callable[[Sequence[Outcome]], list[Figure]] = importlib.import_module(
            f'benchmarks.{OWN[name][0]}'
        ).figures
        figures += make(outcomes)
    crashed = {
        name: outcome.error
        for name, outcomes in [(DESIPIPE.name, found.get(DESIPIPE.name, [])), *own.items()]
        for outcome in outcomes
        if outcome.error
    }

    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=200)
    if found:
        console.print(systems_table(found))
    if figures:
        console.print(figures_table(figures))
    for name, error in crashed.items():
        console.print(f'{name} crashed:\n{error}', markup=False, style='red')

    words: dict[str, Any] = {
        'quick': args.quick,
        'rounds': rounds,
        'machine': about,
        'versions': versions(
            [
                'desipipe',
                'numpy',
                *dict.fromkeys(
                    system.distribution for system in SYSTEMS[1:] if system.distribution
                ),
            ]
        ),
        'systems': {
            name: {
                'durable': next(system.durable for system in SYSTEMS if system.name == name),
                'rounds': [
                    {**outcome.values, **({'error': outcome.error} if outcome.error else {})}
                    for outcome in outcomes
                ],
            }
            for name, outcomes in found.items()
        },
        'figures': [figure.to_dict() for figure in figures],
        'crashed': crashed,
    }
    args.json.write_text(json.dumps(words, indent=1, ensure_ascii=False) + '\n')
    missed = [figure for figure in figures if figure.passed is False]
    _say(
        f'{sum(figure.passed is True for figure in figures)} of '
        f'{sum(figure.target is not None for figure in figures)} targets met; figures in '
        f'{args.json}'
    )
    if crashed:
        return 1
    return 3 if args.strict and missed else 0


if __name__ == '__main__':
    sys.exit(main())
