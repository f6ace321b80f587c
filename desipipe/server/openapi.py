"""The OpenAPI description, made from the table of routes."""

from __future__ import annotations

import functools
from typing import Any

from .cell_routes import TEXTS
from .routes import EVENTS, LOOKS, ORDERS, Route

Dict = dict[str, Any]

_ERROR = {
    'type': 'object',
    'properties': {
        'error': {
            'type': 'string',
            'description': "Name of a class of desipipe.errors, or HTTP's words",
        },
        'message': {'type': 'string', 'description': 'What happened, what it means, what to do'},
    },
    'required': ['error', 'message'],
}
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


@functools.cache
def _schema(path: str) -> Dict:
    route = next(route for route in (*LOOKS, *TEXTS, *ORDERS, EVENTS) if route.path == path)
    return {
        'type': 'object',
        'properties': route.members,
        'required': list(route.required),
        'additionalProperties': False,
        **route.rules,
    }


def schema_of(route: Route) -> Dict:
    """The JSON schema of what a route is asked."""
    return _schema(route.path)


def describe(root: str, version: str) -> Dict:
    """The description of all routes.

    Parameters
    ----------
    root : str
        The address of the interface on this server.
    version : str
        Of desipipe.
    """
    return {
        'openapi': '3.1.0',
        'info': {
            'title': 'desipipe',
            'version': version,
            'description': 'Queues of desipipe, for JupyterLab',
        },
        'servers': [{'url': root}],
        'security': [{'token': []}],
        'components': {
            'schemas': {'Error': _ERROR},
            'securitySchemes': {
                'token': {
                    'type': 'apiKey',
                    'in': 'header',
                    'name': 'Authorization',
                    'description': 'token …',
                }
            },
        },
        'paths': {
            f'/{route.path}': {'post' if _is_posted(route) else 'get': _operation(route)}
            for route in (*LOOKS, *TEXTS, *ORDERS, EVENTS)
        },
    }


def _is_posted(route: Route) -> bool:
    return route.write or route in TEXTS


def _operation(route: Route) -> Dict:
    content = 'text/event-stream' if route is EVENTS else 'application/json'
    operation: Dict = {
        'operationId': route.path.replace('/', '_'),
        'summary': route.words,
        'responses': {
            '200': {
                'description': 'Done' if route.write else 'Found',
                'content': {content: {'schema': route.result}},
            },
            **{
                status: {
                    'description': words,
                    'content': {
                        'application/json': {'schema': {'$ref': '#/components/schemas/Error'}}
                    },
                }
                for status, words in _ERRORS.items()
            },
        },
    }
    if _is_posted(route):
        operation['requestBody'] = {
            'required': True,
            'content': {'application/json': {'schema': schema_of(route)}},
        }
    else:
        operation['parameters'] = [
            {
                'name': name,
                'in': 'query',
                'required': name in route.required,
                'schema': schema,
                **({'explode': True} if schema['type'] == 'array' else {}),
            }
            for name, schema in route.members.items()
        ]
    return operation
