"""Make JSON schemas of structs: of what is asked, and of what is answered."""

from __future__ import annotations

import functools
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from ..view.structs import constraints, is_struct, members, summary

JsonSchema = dict[str, Any]
"""A JSON schema, which is as free as JSON."""

REFERENCE = '#/components/schemas/'
_PLAIN: dict[object, JsonSchema] = {
    str: {'type': 'string'},
    bool: {'type': 'boolean'},
    int: {'type': 'integer'},
    float: {'type': 'number'},
    NoneType: {'type': 'null'},
    Any: {},
}


@functools.cache
def request_schema(struct: type) -> JsonSchema:
    """Return the schema of a request, which has no other members."""
    return _Maker(is_closed=True).struct(struct)


def answer_schema(annotation: Any, named: dict[str, JsonSchema]) -> JsonSchema:
    """Return the schema of an answer, in which structs stand by name.

    Parameters
    ----------
    annotation : type
    named : dict
        Schemas by name; those of the structs are added.
    """
    return _Maker(named).of(annotation)


class _Maker:
    """Makes schemas, with structs in full or, where they are named, by reference."""

    def __init__(self, named: dict[str, JsonSchema] | None = None, is_closed: bool = False) -> None:
        self._named = named
        self._is_closed = is_closed

    def of(self, annotation: Any) -> JsonSchema:
        """Return the schema of an annotation."""
        inner, more = constraints(annotation)
        # In this order they are checked: lengths before what is in a list.
        schema = self._of(inner)
        kind = {'type': schema['type']} if 'type' in schema else {}
        return {**kind, **more, **schema}

    def _of(self, annotation: Any) -> JsonSchema:
        if is_struct(annotation):
            return self._reference(annotation)
        if isinstance(annotation, type) and annotation in _PLAIN:
            return dict(_PLAIN[annotation])
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Literal:
            return {'type': 'string', 'enum': list(arguments)}
        if origin is list:
            return {'type': 'array', 'items': self.of(arguments[0])}
        if origin is dict:
            return self._mapping(*arguments)
        if origin in (Union, UnionType):
            return self._union(arguments)
        raise TypeError(f'{annotation!r} has no JSON schema.')

    def _mapping(self, key: Any, value: Any) -> JsonSchema:
        schema: JsonSchema = {'type': 'object', 'additionalProperties': self.of(value)}
        if get_origin(key) is Literal:
            schema['propertyNames'] = {'enum': list(get_args(key))}
        return schema

    def _union(self, parts: tuple[Any, ...]) -> JsonSchema:
        named = [part for part in parts if get_origin(part) is Literal]
        literals = [value for part in named for value in get_args(part)]
        schemas = [self.of(part) for part in parts if part not in named]
        if literals:
            schemas.insert(0, {'type': 'string', 'enum': literals})
        if all(set(schema) == {'type'} for schema in schemas):
            return {'type': [schema['type'] for schema in schemas]}
        return schemas[0] if len(schemas) == 1 else {'anyOf': schemas}

    def _reference(self, struct: type) -> JsonSchema:
        if self._named is None:
            return self.struct(struct)
        if struct.__name__ not in self._named:
            self._named[struct.__name__] = {}
            self._named[struct.__name__] = self.struct(struct)
        return {'$ref': f'{REFERENCE}{struct.__name__}'}

    def struct(self, struct: type) -> JsonSchema:
        """Return the schema of a struct in full."""
        properties = {}
        for member in members(struct):
            schema = self.of(member.type)
            if member.documentation:
                schema = {'description': member.documentation, **_without(schema, 'description')}
            properties[member.name] = schema
        return {
            'type': 'object',
            'description': summary(struct),
            'properties': properties,
            'required': [member.name for member in members(struct) if member.required],
            **({'additionalProperties': False} if self._is_closed else {}),
        }


def _without(schema: JsonSchema, key: str) -> JsonSchema:
    return {name: value for name, value in schema.items() if name != key}
