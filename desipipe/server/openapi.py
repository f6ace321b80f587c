"""The OpenAPI description, made from the table of routes."""

from __future__ import annotations

import functools

from ..view.schema import Failure
from .cell_routes import TEXTS
from .routes import EVENTS, ORDERS, QUERIES, Route
from .schemas import JsonSchema, answer_schema, request_schema

_ERRORS = {
    '400': 'It cannot be meant',
    '403': 'Not allowed, or outside of the folders that this server shows',
    '404': 'There is no such queue, or no such task',
    '405': 'Another method is needed',
    '409': 'Another manager is at work',
    '410': 'The queue was deleted or cleared',
    '422': 'The queue is damaged, or of another version',
    '503': 'Too busy, or the filesystem does not answer',
    '507': 'The disk is full',
}


_SECURITY = {
    'token': {
        'type': 'apiKey',
        'in': 'header',
        'name': 'Authorization',
        'description': 'token …',
    }
}


@functools.cache
def _schema(path: str) -> JsonSchema:
    route = next(route for route in (*QUERIES, *TEXTS, *ORDERS, EVENTS) if route.path == path)
    return {**request_schema(route.request), **route.rules}


def schema_of(route: Route) -> JsonSchema:
    """Return the JSON schema of what a route is asked."""
    return _schema(route.path)


def describe(root: str, version: str) -> JsonSchema:
    """Describe all routes.

    Parameters
    ----------
    root : str
        The address of the interface on this server.
    version : str
        Of desipipe.
    """
    named: dict[str, JsonSchema] = {}
    error = answer_schema(Failure, named)
    paths = {
        f'/{route.path}': {'post' if _is_posted(route) else 'get': _operation(route, error, named)}
        for route in (*QUERIES, *TEXTS, *ORDERS, EVENTS)
    }
    return {
        'openapi': '3.1.0',
        'info': {
            'title': 'desipipe',
            'version': version,
            'description': 'Queues of desipipe, for JupyterLab',
        },
        'servers': [{'url': root}],
        'security': [{'token': []}],
        'components': {'schemas': named, 'securitySchemes': _SECURITY},
        'paths': paths,
    }


def _is_posted(route: Route) -> bool:
    return route.write or route in TEXTS


def _operation(route: Route, error: JsonSchema, named: dict[str, JsonSchema]) -> JsonSchema:
    content = 'text/event-stream' if route is EVENTS else 'application/json'
    done = {
        'description': 'Done' if route.write else 'Found',
        'content': {content: {'schema': answer_schema(route.result, named)}},
    }
    errors = {
        status: {'description': description, 'content': {'application/json': {'schema': error}}}
        for status, description in _ERRORS.items()
    }
    return {
        'operationId': route.path.replace('/', '_'),
        'summary': route.words,
        'responses': {'200': done, **errors},
        **(_body(route) if _is_posted(route) else _parameters(route)),
    }


def _body(route: Route) -> JsonSchema:
    content = {'application/json': {'schema': schema_of(route)}}
    return {'requestBody': {'required': True, 'content': content}}


def _parameters(route: Route) -> JsonSchema:
    parameters = []
    for name, schema in route.members.items():
        parameter = {
            'name': name,
            'in': 'query',
            'required': name in route.required,
            'schema': schema,
        }
        if schema['type'] == 'array':
            parameter['explode'] = True
        parameters.append(parameter)
    return {'parameters': parameters}
