"""Every member of a view is rendered by the faces that show the view.

A member is rendered where another value of it changes what is shown of one of the samples, at
least. Members that a face leaves out stand in `views/unrendered.json`, each with the reason; a face
that renders one of these fails, too.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NotRequired, TypedDict
from unittest import mock

import pytest
from jsonschema import ValidationError
from struct_checks import check_struct

from desipipe.commands.tables import queue_lines
from desipipe.view import schema, structs
from desipipe.view.bundle import as_html, as_text
from desipipe.view.structs import constraints, is_struct, members

VIEWS = Path(__file__).parent / 'views'
SAMPLES = json.loads((VIEWS / 'samples.json').read_text())
UNRENDERED = json.loads((VIEWS / 'unrendered.json').read_text())
# Other valid values of what is a name in a list.
OTHERS = {
    'state': ('KILLED', 'withdrawn', 'PAUSED', 'edited'),
    'condition': ('paused',),
    'name': ('stderr', 'other'),
}


def queue_text(view: Any) -> str:
    """A queue as the terminal shows it."""
    return '\n'.join(''.join(text for text, _ in line) for line in queue_lines(view, '-q survey'))


def tasks_text(view: Any) -> str:
    """A task as `desipipe tasks` lists it on a terminal."""
    from desipipe.commands import tasks
    from desipipe.commands.listing_options import ListingOptions

    class Group:
        group = 'desi'

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        tasks._print_table(Group(), [view], False, ListingOptions(wide=True))  # type: ignore[arg-type]
    return out.getvalue()


FACES: list[tuple[str, str, Callable[[Any], str]]] = [
    ('text', 'CellView', as_text),
    ('html', 'CellView', as_html),
    ('terminal', 'QueueSummary', queue_text),
    ('terminal', 'TaskSummary', tasks_text),
]


def others(key: str, value: Any) -> Iterator[Any]:
    """Other values of a member."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield value + 100_000
        yield 0
    elif value is None:
        yield 100_000.0
    elif isinstance(value, str):
        yield from OTHERS.get(key, ())
        yield f'zq{value}'
    elif isinstance(value, list):
        yield []
    else:
        yield {}


def leaves(value: Any, path: str = '', key: str = '') -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Yield the paths of all members, each with what finds the container of the member."""
    if isinstance(value, dict):
        for name, item in value.items():
            here = f'{path}.{name}' if path else name
            yield here, lambda root, name=name: (root, name)
            for below, find in leaves(item, here, name):
                yield below, lambda root, name=name, find=find: find(root[name])
    elif isinstance(value, list):
        for i, item in enumerate(value):
            for below, find in leaves(item, f'{path}[]', key):
                yield below, lambda root, i=i, find=find: find(root[i])


def rendered(render: Callable[[Any], str], samples: list[Any]) -> dict[str, bool]:
    """Return for each member whether another value of it changes what is shown."""
    seen: dict[str, bool] = {}
    for sample in samples:
        before = render(copy.deepcopy(sample))
        for path, find in leaves(sample):
            if seen.get(path):
                continue
            container, key = find(sample)
            seen[path] = any(
                changes(render, sample, find, value, before)
                for value in others(key, container[key])
            )
    return seen


def changes(
    render: Callable[[Any], str], sample: Any, find: Callable[[Any], Any], value: Any, before: str
) -> bool:
    """Return True if a sample with another value of a member is shown differently."""
    changed = copy.deepcopy(sample)
    container, key = find(changed)
    container[key] = value
    try:
        return render(changed) != before
    except (KeyError, TypeError, ValueError, OverflowError, IndexError):
        return True  # that value can't be shown: the member is read


def is_below(path: str, excepted: Iterable[str]) -> bool:
    """Return True for an exception, and for what is below one."""
    return any(path == name or path.startswith((f'{name}.', f'{name}[')) for name in excepted)


@pytest.mark.parametrize('name', SAMPLES)
def test_samples_are_views(name: str) -> None:
    for sample in SAMPLES[name]:
        check_struct(sample, getattr(schema, name))


def structs_of(annotation: Any) -> Iterator[type]:
    """Yield the structs that an annotation names itself."""
    inner = constraints(annotation)[0]
    if is_struct(inner):
        yield inner
    for part in typing.get_args(inner):
        yield from structs_of(part)


def struct_of(value: dict[str, Any], annotation: Any) -> type | None:
    """Return the struct that a value of an annotation is; None for a mapping."""
    for struct in structs_of(annotation):
        required = {member.name for member in members(struct) if member.required}
        if required <= value.keys() <= {member.name for member in members(struct)}:
            return struct
    return None


def structs_in(value: Any, annotation: Any) -> Iterator[tuple[type, dict[str, Any]]]:
    """Yield the structs in a view, each with its value."""
    if isinstance(value, list):
        for item in value:
            yield from structs_in(item, annotation)
    elif isinstance(value, dict) and (struct := struct_of(value, annotation)):
        yield struct, value
        for member in members(struct):
            if member.name in value:
                yield from structs_in(value[member.name], member.type)


def structs_below(struct: type) -> list[type]:
    """Return a struct and those that its members name, however far down."""
    all_structs = [struct]
    for one in all_structs:
        for member in members(one):
            all_structs += (new for new in structs_of(member.type) if new not in all_structs)
    return all_structs


def absent_members(struct: type, samples: list[Any]) -> set[str]:
    """Return members of a view, and of structs in it, that no sample has."""
    present = {
        (inner, key)
        for sample in samples
        for inner, value in structs_in(sample, struct)
        for key in value
    }
    return {
        f'{inner.__name__}.{member.name}'
        for inner in structs_below(struct)
        for member in members(inner)
        if (inner, member.name) not in present
    }


def unrendered(
    face: str, name: str, render: Callable[[Any], str], samples: list[Any]
) -> tuple[set[str], set[str]]:
    """Return members that a face leaves out without a reason, and exceptions that it renders."""
    seen = rendered(render, samples)
    excepted = UNRENDERED.get(face, {}).get(name, {})
    left_out = {path for path, is_rendered in seen.items() if not is_rendered}
    return (
        {path for path in left_out if not is_below(path, excepted)},
        {path for path in excepted if seen.get(path, True)},
    )


@pytest.mark.parametrize('name', SAMPLES)
def test_samples_have_every_member(name: str) -> None:
    assert absent_members(getattr(schema, name), SAMPLES[name]) == set()


@pytest.mark.parametrize(('face', 'name', 'render'), FACES)
def test_face_renders_what_it_must(face: str, name: str, render: Callable[[Any], str]) -> None:
    assert unrendered(face, name, render, SAMPLES[name]) == (set(), set())


@pytest.mark.parametrize('name', sorted({name for _, name, _ in FACES}))
@pytest.mark.parametrize('optional', [False, True])
def test_checks_see_a_new_member_without_sample(name: str, optional: bool) -> None:
    struct = getattr(schema, name)
    kind = NotRequired[int] if optional else int
    wider = TypedDict(
        'wider', {**typing.get_type_hints(struct, include_extras=True), 'made_up': kind}
    )  # type: ignore[misc]
    with mock.patch.object(structs, '_bases', lambda struct: []):
        assert absent_members(wider, SAMPLES[name]) >= {'wider.made_up'}
    if not optional:
        with pytest.raises(ValidationError, match="'made_up' is a required property"):
            check_struct(SAMPLES[name][0], wider)


@pytest.mark.parametrize(('face', 'name', 'render'), FACES)
def test_checks_see_a_new_member_that_no_face_renders(
    face: str, name: str, render: Callable[[Any], str]
) -> None:
    samples = copy.deepcopy(SAMPLES[name])
    for sample in samples:
        for _, value in list(structs_in(sample, getattr(schema, name))):
            value['made_up'] = 7
    excepted = UNRENDERED[face][name]
    paths = {path for sample in samples for path, _ in leaves(sample) if path.endswith('made_up')}
    expected = {path for path in paths if not is_below(path, excepted)}
    assert 'made_up' in expected and len(expected) > 1 - (name == 'TaskSummary')
    assert unrendered(face, name, render, samples) == (expected, set())


def test_exceptions_are_argued() -> None:
    for face in UNRENDERED.values():
        for reasons in face.values():
            assert all(isinstance(why, str) and len(why) > 10 for why in reasons.values())
