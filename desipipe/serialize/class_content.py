"""Tell a class's content from what Python and libraries made of that content."""

from __future__ import annotations

import abc
import enum
import types
from collections.abc import Iterator
from types import FunctionType
from typing import Any, NamedTuple

from . import modules
from .plain import plain_text

__all__ = ['WORDS', 'is_made', 'member_parts', 'registered', 'source', 'tables']

# What the machinery of classes keeps in them; what of it matters is asked for by name (see
# `tables`).
WORDS = frozenset(
    (
        *(
            '__module__',
            '__qualname__',
            '__doc__',
            '__dict__',
            '__weakref__',
            '__classcell__',
            '__classdictcell__',
            '__signature__',
        ),
        *('__annotations__', '__annotate__', '__annotate_func__', '__annotations_cache__'),
        *(
            '__conditional_annotations__',
            '__firstlineno__',
            '__static_attributes__',
            '__slotnames__',
        ),
        *('__dataclass_fields__', '__dataclass_params__', '__attrs_attrs__', '__attrs_props__'),
        *('_abc_impl', '_field_defaults', '_fields'),
        # Of typing: what it makes of bases and annotations, other names in each version of Python.
        *(
            '__parameters__',
            '__type_params__',
            '__readonly_keys__',
            '__mutable_keys__',
            '__closed__',
        ),
        *('__extra_items__', '__protocol_attrs__', '__non_callable_proto_members__'),
        *('__callable_proto_members_only__', '_is_protocol', '_is_runtime_protocol'),
    )
)
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_BUILTIN = (types.BuiltinFunctionType, types.WrapperDescriptorType, types.MethodDescriptorType)
# Modules that write functions into the classes of others.
_MAKERS = frozenset(('enum', 'collections', 'dataclasses', 'reprlib', 'typing'))
# Of what pydantic keeps in a class: the rest is built from these, and from the members.
_PYDANTIC = ('__pydantic_fields__', '__pydantic_generic_metadata__', '__pydantic_root_model__')


def is_made(cls: type, name: str, value: Any) -> bool:
    """Return True for a class attribute that the metaclass or a decorator derived."""
    if (
        name in WORDS
        or name.startswith('__pydantic_')
        or type(value).__name__ in ('_tuplegetter', 'CField')
    ):
        return True
    if isinstance(value, _SLOTS):
        return value.__objclass__ is cls
    func = (
        getattr(value, '__func__', value)
        if isinstance(value, (staticmethod, classmethod))
        else value
    )
    if type(func) is FunctionType:
        return (name == '__replace__' and func.__module__ in _MAKERS) or _is_made_function(
            cls, func
        )
    if not issubclass(cls, enum.Enum):
        return False
    if name in cls.__dict__.get('_member_map_', ()):
        return True
    if (
        name.startswith('_')
        and name.endswith('_')
        and (not name.startswith('__') or isinstance(value, _BUILTIN))
    ):
        return True
    return type(value).__module__ == 'enum' and getattr(value, 'fget', None) is None


def _is_made_function(cls: type, func: FunctionType) -> bool:
    code = func.__code__
    if code.co_qualname.startswith('__create_fn__.') and not code.co_filename.endswith('.py'):
        return True  # of dataclasses: as the table of its fields says
    if code.co_filename.startswith('<attrs generated'):
        return True
    module = func.__globals__.get('__name__')
    if module not in _MAKERS:
        return isinstance(module, str) and module.startswith('namedtuple_')
    if any(not _is_made_function(cls, inner) for inner in _inner(func)):
        return False  # around what the user wrote: a `recursive_repr`
    if module == 'enum' and issubclass(cls, enum.Enum):
        return True
    # What has a name in its module was put here by whoever wrote the class.
    return not _is_named(func)


def _inner(func: FunctionType) -> Iterator[FunctionType]:
    for cell in func.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:
            continue
        if type(content) is FunctionType and content is not func:
            yield content


class Table(NamedTuple):
    """Something that a class was made from."""

    words: str
    """The step to it, for errors."""
    items: tuple[Any, ...]
    """Contents: the same objects each time it is asked for, but for text and numbers."""


def tables(cls: type) -> Iterator[Table]:
    """Yield what dataclasses, enumerations, named tuples and the like were made from."""
    own = vars(cls)
    if '__dataclass_fields__' in own:
        yield from _dataclass(own)
    if '__attrs_attrs__' in own:
        made = sorted(
            name
            for name, value in own.items()
            if type(value) is FunctionType and name not in WORDS and is_made(cls, name, value)
        )
        yield Table("attribute '__attrs_attrs__'", (*own['__attrs_attrs__'], repr(made)))
    for name in (*_PYDANTIC, '_field_defaults', '_fields'):
        if name in own:
            yield Table(f'attribute {name!r}', (name, own[name]))
    if '__pydantic_decorators__' in own:
        yield from _pydantic(own['__pydantic_decorators__'])
    slots = sorted(name for name, value in own.items() if type(value) is types.MemberDescriptorType)
    if slots:
        yield Table('slots', (repr(slots),))
    yield from _generated(cls)
    if '_member_map_' in own and issubclass(cls, enum.Enum):
        yield from _members(cls)
    yield from (Table('a registered class', (item,)) for item in registered(cls))


def _generated(cls: type) -> Iterator[Table]:
    """Yield the attributes that users set on the generated functions of a class."""
    for name, value in sorted(vars(cls).items()):
        func = (
            getattr(value, '__func__', value)
            if isinstance(value, (staticmethod, classmethod))
            else value
        )
        if type(func) is FunctionType and (
            func.__defaults__ or func.__kwdefaults__ or func.__dict__
        ):
            own = {key: item for key, item in func.__dict__.items() if key != '__wrapped__'}
            keywords = func.__kwdefaults__ or {}
            if (
                (own or keywords or func.__defaults__)
                and is_made(cls, name, value)
                and not _is_named(func)
            ):
                pairs = [part for pair in sorted({**keywords, **own}.items()) for part in pair]
                yield Table(f'function {name!r}', (name, *(func.__defaults__ or ()), '', *pairs))


def _is_named(func: FunctionType) -> bool:
    module = func.__globals__.get('__name__')
    return module in _MAKERS and modules.resolve(module, func.__qualname__) is func


def _dataclass(own: Any) -> Iterator[Table]:
    for field in own['__dataclass_fields__'].values():
        flags = (
            field.init,
            field.repr,
            field.compare,
            field.hash,
            field.kw_only is True,
            field._field_type.name,
        )
        metadata = [part for pair in field.metadata.items() for part in pair]
        items = field.name, repr(flags), field.type, field.default, field.default_factory, *metadata
        yield Table(f'field {field.name!r}', items)
    params = own['__dataclass_params__']
    options = params.init, params.repr, params.eq, params.order, params.unsafe_hash, params.frozen
    yield Table('its options', (repr(options),))


def _pydantic(decorators: Any) -> Iterator[Table]:
    """Yield which methods of a model are validators and serializers, and of what."""
    for group in getattr(type(decorators), '__dataclass_fields__', ()):
        made = getattr(decorators, group)
        if isinstance(made, dict):
            for name, decorator in made.items():
                yield Table(
                    f'decorator {name!r}', (group, name, decorator.cls_var_name, decorator.info)
                )


# What enum itself notes in each member.
_NOTED = frozenset(
    ('_value_', '_name_', '__objclass__', '_sort_order_', '_inverted_', '_value_repr_')
)


def _members(cls: Any) -> Iterator[Table]:
    if issubclass(cls, enum.Flag):
        yield Table('its boundary', (str(getattr(cls, '_boundary_', '')),))
    else:
        # Other values by which a member is found; flags put there what they are asked for.
        for value, member in cls._value2member_map_.items():
            own = member._value_
            if value is not own and not (type(value) is type(own) and bool(value == own)):
                yield Table('another value', (value, str(member._name_)))
    yield Table('its members', (repr(cls._member_names_),))
    for name, member in cls._member_map_.items():
        items = [name, str(member._name_), member._value_]
        if name == member._name_:
            # By `__new__` and `__init__` a member can be another value than its own, and have
            # attributes.
            items += member_parts(member)[1]
            for key in sorted(vars(member).keys() - _NOTED):
                items += [key, vars(member)[key]]
        yield Table(f'member {name!r}', tuple(items))


def member_parts(member: Any) -> tuple[type, tuple[Any, ...]]:
    """Return the data type of a member of an enumeration, and its arguments."""
    for base in type(member).__mro__:
        method = vars(base).get('__new__')
        if method is None or isinstance(getattr(method, '__func__', method), FunctionType):
            continue
        if base is object:
            return object, ()
        if hasattr(base, '__getnewargs__'):
            return base, tuple(base.__getnewargs__(member))
        reduced: Any = base.__reduce_ex__(member, 5)  # type: ignore[call-arg]
        return base, tuple(reduced[1])
    raise TypeError(f'{type(member).__name__} has no type of data.')


def registered(cls: type) -> list[type]:
    """Return the classes registered with an abstract class.

    See :meth:`abc.ABCMeta.register`.
    """
    if '_abc_impl' not in vars(cls) or not isinstance(cls, abc.ABCMeta):
        return []
    registry, *_ = abc._get_dump(cls)  # type: ignore[attr-defined]
    classes = [item for item in (reference() for reference in registry) if item is not None]
    return sorted(classes, key=lambda item: (str(item.__module__), item.__qualname__))


def source(cls: type) -> str:
    """Return what a class without methods is, for people: its text is not found."""
    own = vars(cls)
    values = {name: member._value_ for name, member in own.get('_member_map_', {}).items()} or own
    lines = [
        f'{name} = {value!r}'
        for name, value in values.items()
        if not name.startswith('_') and plain_text(value)
    ]
    bases = ', '.join(base.__name__ for base in cls.__bases__ if base is not object)
    return '\n    '.join(
        [f'class {cls.__name__}{f"({bases})" if bases else ""}:', *(lines or ['...'])]
    )
