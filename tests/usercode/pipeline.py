"""A script whose tasks use everything that identities are made of.

Prints the identities; with a file name, writes payloads to it.
"""

import dataclasses
import enum
import functools
import json
import pathlib
import sys

import helpers
import numpy as np
from helpers import smooth as smoother

NAMES = {'delta', 'alpha', 'omega', 'gamma', 'kappa', 'sigma'}
OPTIONS = {'tracers': frozenset(['LRG', 'ELG', 'QSO', 'BGS']), 'z': (0.4, 0.8)}
EDGES = np.linspace(0.0, 1.0, 7)


class Kind(enum.Enum):
    AUTO = 'auto'
    CROSS = 'cross'

    def label(self):
        return self.value.upper()


@dataclasses.dataclass
class Model:
    slope: float = 1.5
    kind: Kind = Kind.AUTO
    names: list = dataclasses.field(default_factory=list)

    def evaluate(self, x):
        return helpers.smooth(x) * self.slope + len(self.names)


class Better(Model):
    def evaluate(self, x):
        return super().evaluate(x) + 1


def twice(func):
    @functools.wraps(func)
    def wrapper(*args):
        return 2 * func(*args)

    return wrapper


@twice
def area(x, y=3):
    return x * y


def power(n):
    return lambda x: x**n


cube, square = power(3), power(2)
model = Better(names=['a'])


def even(n):
    return True if n == 0 else odd(n - 1)


def odd(n):
    return False if n == 0 else even(n - 1)


def fraction(seed=42, size=10000):
    from units import half

    class Local:
        edges = EDGES

    total = sum(len(name) for name in NAMES) + len(OPTIONS['tracers']) + np.sum(Local.edges)
    return (
        total
        + model.evaluate(seed)
        + area(size)
        + cube(2)
        + square(2)
        + half(3)
        + smoother(1)
        + even(4)
        + len(Kind.CROSS.label())
    )


ARGUMENTS = {
    'nested': [1, 2.5, {'b': {'y', 'x', 'z'}, 'a': None}],
    'array': np.arange(5.0),
    'model': Model(names=['q']),
    'kind': Kind.CROSS,
    'path': pathlib.PurePosixPath('/data/a.fits'),
    'function': area,
    'lambda': square,
    'mixed': {Kind.AUTO, Kind.CROSS, frozenset({'a', 'b'})},
    'keys': {Kind.AUTO: 1, ('a', 2): 2, 'z': 3},
}


def identities():
    from desipipe.serialize import describe, encode, task_identity

    code = describe(fraction)
    identity = {'code': code.digest.hex(), 'parts': code.parts, 'packages': code.packages}
    identity['arguments'] = {name: encode(value, name).hex() for name, value in ARGUMENTS.items()}
    identity['task'] = task_identity(
        code.digest, [(name, encode(value)) for name, value in ARGUMENTS.items()]
    ).hex()
    return identity


if __name__ == '__main__':
    from desipipe.serialize import describe, dumps

    if len(sys.argv) > 1:
        pathlib.Path(sys.argv[1]).write_bytes(b''.join(describe(fraction).payload.parts))
        pathlib.Path(sys.argv[1] + '.model').write_bytes(b''.join(dumps(model).parts))
    print(json.dumps({**identities(), 'result': float(fraction(1, 2))}))
