"""Classes of a notebook: in a worker they are what they are in the notebook, and they come back
as the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
HEAD = 'import abc, collections, contextlib, dataclasses, enum, functools, typing\n'
# A check gives what can be compared by its representation; `values` make the way to the worker and
# back.
CONSTRUCTS = {
    'enum': """
        class Color(enum.Enum):
            RED = 1
            BLUE = 2
        def check(): return Color.RED is Color(1), Color['BLUE'], list(Color), Color.RED in {Color.RED}, isinstance(Color.RED, Color)
        values = [Color, Color.RED, {Color.BLUE: 1}, [Color.RED, Color.RED]]
    """,
    'enum with __init__': """
        class Planet(enum.Enum):
            EARTH = (5.976e24, 6.37814e6)
            MARS = (6.421e23, 3.3972e6)
            def __init__(self, mass, radius):
                self.mass, self.radius = mass, radius
            @property
            def gravity(self): return self.mass / self.radius**2
        def check(): return Planet.EARTH.gravity, Planet.MARS.mass, Planet((6.421e23, 3.3972e6)), Planet.EARTH.value
        values = [Planet.EARTH, Planet]
    """,
    'enum with __new__': """
        class Coordinate(bytes, enum.Enum):
            def __new__(cls, value, label, unit):
                obj = bytes.__new__(cls, [value])
                obj._value_, obj.label, obj.unit = value, label, unit
                return obj
            PX = (0, 'P.X', 'km')
            PY = (1, 'P.Y', 'km')
        def check(): return Coordinate.PY.name, bytes(Coordinate.PY), Coordinate.PX.label, Coordinate(1) is Coordinate.PY
        values = [Coordinate.PX]
    """,
    'enum numbered by itself': """
        class Auto(enum.Enum):
            def __new__(cls):
                obj = object.__new__(cls)
                obj._value_ = len(cls.__members__) + 1
                return obj
            ONE = ()
            TWO = ()
        def check(): return Auto.TWO.value, Auto(1), len(Auto)
        values = [Auto.TWO]
    """,
    'enum with aliases': """
        class Level(enum.IntEnum):
            LOW = 1
            MIN = 1
            HIGH = 2
        def check(): return Level['MIN'] is Level.LOW, list(Level.__members__), list(Level), Level.HIGH + 1, Level.MIN
        values = [Level.MIN, Level.HIGH]
    """,
    'enum of a dataclass': """
        @dataclasses.dataclass
        class Size:
            size: str
            legs: int = 4
        class Animal(Size, enum.Enum):
            BEETLE = 'small', 6
            DOG = 'medium'
        def check(): return Animal.BEETLE.size, Animal.BEETLE.legs, Animal.DOG.legs, Animal.DOG, isinstance(Animal.DOG, Size)
        values = [Animal.DOG, Animal, Size]
    """,
    'enum of a frozen dataclass with slots': """
        @dataclasses.dataclass(frozen=True)
        class Body:
            mass: float
        class Star(Body, enum.Enum):
            SUN = 1.0
        def check(): return Star.SUN.mass, Star.SUN
        values = [Star.SUN]
    """,
    'enum with auto and strings': """
        class Word(enum.StrEnum):
            A = enum.auto()
            B = enum.auto()
        class Upper(enum.Enum):
            def _generate_next_value_(name, start, count, last): return name.upper()
            one = enum.auto()
        def check(): return str(Word.A), f'{Word.B}', Word('b'), Upper.one.value, Word.A == 'a'
        values = [Word.A, Upper.one]
    """,
    'flags': """
        class Perm(enum.Flag):
            R = 4
            W = 2
            RW = 6
        class IntPerm(enum.IntFlag):
            R = 4
            W = 2
        def check():
            both = Perm.R | Perm.W
            return both is Perm.RW, ~Perm.R, Perm(0), Perm.R in both, [p for p in both], IntPerm.R | 8, IntPerm(6), bool(Perm.R & Perm.W)
        values = [Perm.R | Perm.W, Perm.R, IntPerm.R | IntPerm.W, Perm(0)]
    """,
    'flags with a boundary': """
        class Keep(enum.Flag, boundary=enum.KEEP):
            R = 4
        class Strict(enum.Flag, boundary=enum.STRICT):
            A = 1
        def check():
            try: Strict(8)
            except ValueError: strict = True
            return Keep(13).value, strict, Keep(13)
        values = [Keep(13), Strict.A]
    """,
    'flags that are used before': """
        class Perm(enum.Flag):
            R = 4
            W = 2
            X = 1
        PERMS = Perm.R | Perm.X
        def use(perm=PERMS): return perm
        def check(): return use(), PERMS, use() is (Perm.R | Perm.X)
        values = [PERMS]
    """,
    'enum that finds what is missing': """
        class Missing(enum.Enum):
            A = 'a'
            @classmethod
            def _missing_(cls, value): return cls.A
        def check(): return Missing('zzz')
    """,
    'enum with members that are functions': """
        class Verb(enum.Enum):
            RUN = enum.member(lambda x: x + 1)
            def call(self, x): return self.value(x)
            @enum.nonmember
            def helper(): return 3
        def check(): return Verb.RUN.call(1), Verb.helper()
        values = [Verb.RUN]
    """,
    'enum with methods and a base': """
        class Described(enum.Enum):
            def describe(self): return self.name, self.value
        class Sub(Described):
            X = 1
            Y = [1, 2]
            Z = {'a': 1}
            _ignore_ = ['q']
        def check(): return Sub.X.describe(), Sub.Y.describe(), Sub([1, 2]), Sub.Z
        values = [Sub.Y]
    """,
    'enum of numbers': """
        class Scale(float, enum.Enum):
            HALF = 0.5
        class Pair(tuple, enum.Enum):
            A = (1, 2)
        def check(): return Scale.HALF * 2, Pair.A[1], Scale(0.5), Pair.A
        values = [Scale.HALF, Pair.A]
    """,
    'enum with a dictionary of its members': """
        class Way(enum.Enum):
            LEFT = 'l'
            RIGHT = 'r'
            @property
            def other(self): return OTHER[self]
        OTHER = {Way.LEFT: Way.RIGHT, Way.RIGHT: Way.LEFT}
        Way.default = Way.LEFT
        def check(way=Way.RIGHT): return Way.LEFT.other, way.other.other, Way.default
        values = [OTHER]
    """,
    'dataclass': """
        @dataclasses.dataclass(order=True)
        class Point:
            x: int = 0
            y: list = dataclasses.field(default_factory=list, compare=False)
            def norm(self): return abs(self.x)
        def check():
            return Point(3) == Point(3), Point(-3).norm(), Point(1) < Point(2), [f.name for f in dataclasses.fields(Point)], dataclasses.replace(Point(1), x=2)
        values = [Point(3, [1]), Point]
    """,
    'dataclass with slots': """
        @dataclasses.dataclass(slots=True, frozen=True, weakref_slot=True)
        class Point:
            x: int = 0
            y: float = 1.0
            def double(self): return dataclasses.replace(self, x=2 * self.x)
        @dataclasses.dataclass(slots=True)
        class Named:
            name: str = 'n'
            def __post_init__(self): self.name += '!'
        def check(): return Point(3).double(), Point.__slots__, hash(Point(1)) == hash(Point(1)), Named('a'), hasattr(Point(1), '__dict__')
        values = [Point(3), Named('a')]
    """,
    'dataclass with annotations that are text': """
        @dataclasses.dataclass
        class Conf:
            path: 'typing.Optional[int]' = None
            other: 'Conf | None' = None
            sizes: 'typing.ClassVar[dict[str, int]]' = {}
        def function(x: 'Conf') -> 'collections.OrderedDict': ...
        def check(): return typing.get_type_hints(Conf), typing.get_type_hints(function), [f.type for f in dataclasses.fields(Conf)]
        values = [Conf(1, Conf(2))]
    """,
    'dataclass with init variables': """
        @dataclasses.dataclass
        class Scaled:
            x: float
            factor: dataclasses.InitVar[float] = 2
            total: typing.ClassVar[int] = 5
            _: dataclasses.KW_ONLY
            name: str = dataclasses.field(default='n', metadata={'unit': 'm'})
            def __post_init__(self, factor): self.x *= factor
        def check(): return Scaled(2), Scaled.total, dataclasses.fields(Scaled)[1].metadata['unit'], Scaled.__match_args__
        def derive():
            @dataclasses.dataclass
            class More(Scaled):
                z: int = 3
            return More(1, 2), [f.default is dataclasses.MISSING for f in dataclasses.fields(More)]
        checked = check
        def check(): return checked(), derive()
        values = [Scaled(2)]
    """,
    'named tuple': """
        class Pair(typing.NamedTuple):
            a: int
            b: int = 5
            def total(self): return self.a + self.b
        Old = collections.namedtuple('Old', 'x y', defaults=(2,))
        def check(): return Pair(1), Pair(1).total(), Pair(1)._replace(b=2), Pair._fields, Old(1), Old(1)._asdict(), Pair._field_defaults
        values = [Pair(1), Old(1), [Pair(2)]]
    """,
    'typed dictionary': """
        class Movie(typing.TypedDict, total=False):
            name: typing.Required[str]
            year: int
        def check(): return Movie(name='a'), Movie.__required_keys__, Movie.__total__, Movie.__annotations__
        values = [Movie]
    """,
    'protocol': """
        @typing.runtime_checkable
        class Closes(typing.Protocol):
            def close(self) -> None: ...
        class Thing:
            def close(self): return 1
        class Declared(Closes):
            def close(self): return 2
        def check():
            try: Closes()
            except TypeError: made = False
            return isinstance(Thing(), Closes), isinstance(1, Closes), made, Declared().close(), issubclass(Thing, Closes)
        values = [Thing, Closes, Declared]
    """,
    'generic class': """
        T = typing.TypeVar('T', bound=int)
        K = typing.TypeVar('K')
        class Box(typing.Generic[T]):
            def __init__(self, item: T): self.item = item
        class Ints(Box[int]): ...
        class Map(dict[K, T], typing.Generic[K, T]): ...
        def check():
            return Box(1).item, Ints.__orig_bases__, Box.__parameters__, Box[bool].__args__, issubclass(Ints, Box), Map[str, int].__args__, Map(a=1)
        values = [Box, Ints]
    """,
    'generic functions and parameters': """
        P = typing.ParamSpec('P')
        Ts = typing.TypeVarTuple('Ts')
        class Call(typing.Generic[P]): ...
        class Row(typing.Generic[*Ts]): ...
        UserId = typing.NewType('UserId', int)
        def check(): return Call.__parameters__, Row[int, str].__args__, UserId(3), UserId.__name__
        values = [Call, Row]
    """,
    'abstract base class': """
        class Shape(abc.ABC):
            @property
            @abc.abstractmethod
            def area(self): ...
            @classmethod
            def make(cls): return cls()
        class Square(Shape):
            area = 4
        @Shape.register
        class Other: ...
        def check():
            try: Shape()
            except TypeError as exc: why = str(exc)
            return why, Square.make().area, isinstance(Square(), Shape), issubclass(Other, Shape), isinstance(1, Shape), Shape.__abstractmethods__
        values = [Square, Other, Shape]
    """,
    'abstract collections': """
        class Items(collections.abc.Sequence):
            def __init__(self, *items): self.items = items
            def __len__(self): return len(self.items)
            def __getitem__(self, i): return self.items[i]
        class Space(collections.abc.MutableMapping):
            def __init__(self): self.data = {}
            def __getitem__(self, key): return self.data[key]
            def __setitem__(self, key, value): self.data[key] = value
            def __delitem__(self, key): del self.data[key]
            def __iter__(self): return iter(self.data)
            def __len__(self): return len(self.data)
        def check():
            space = Space()
            space['a'] = 1
            match Items(1, 2):
                case [a, b]: matched = a, b
            match space:
                case {'a': x}: matched += (x,)
            return matched, 2 in Items(1, 2), dict(space), list(reversed(Items(1, 2))), isinstance(Items(), collections.abc.Sequence)
        values = [Items]
    """,
    'hook for subclasses with a keyword': """
        class Plugin:
            def __init_subclass__(cls, *, kind, **keywords):
                super().__init_subclass__(**keywords)
                cls.kind = kind
        class A(Plugin, kind='a'): ...
        def check():
            class B(Plugin, kind='b'): ...
            return A.kind, B.kind
        values = [A, A()]
    """,
    'hook for subclasses that keeps a list': """
        class Registry:
            known = []
            classes = {}
            def __init_subclass__(cls):
                Registry.known.append(cls.__name__)
                Registry.classes[cls.__name__] = cls
        class R1(Registry): ...
        class R2(R1): ...
        def check(): return Registry.known, sorted(Registry.classes), Registry.classes['R2'] is R2, issubclass(R2, R1)
        values = [R2]
    """,
    'descriptors': """
        class Positive:
            owners = []
            def __set_name__(self, owner, name):
                self.name = '_' + name
                Positive.owners.append(owner.__name__)
            def __get__(self, obj, owner=None): return self if obj is None else getattr(obj, self.name)
            def __set__(self, obj, value):
                if value <= 0: raise ValueError(self.name)
                setattr(obj, self.name, value)
        class Box:
            size = Positive()
            def __init__(self, size): self.size = size
        def check():
            try: Box(-1)
            except ValueError as exc: why = str(exc)
            return Box(3).size, why, Positive.owners, Box.size.name
        values = [Box]
    """,
    'metaclass with keywords': """
        class Meta(type):
            made = []
            @classmethod
            def __prepare__(meta, name, bases, **keywords): return {'prepared': True}
            def __new__(meta, name, bases, namespace, *, tag):
                cls = super().__new__(meta, name, bases, namespace)
                cls.tag = tag
                return cls
            def __init__(cls, name, bases, namespace, *, tag):
                super().__init__(name, bases, namespace)
                Meta.made.append(name)
            def __call__(cls, *args): return super().__call__(*args)
            def __iter__(cls): return iter([cls.tag])
            def __len__(cls): return 7
        class Tagged(metaclass=Meta, tag='t'):
            def __init__(self, x=1): self.x = x
        class Sub(Tagged, tag='s'): ...
        def check(): return Tagged.tag, list(Sub), Meta.made, type(Sub) is Meta, len(Tagged), Sub(2).x, Tagged.prepared
        values = [Sub, Tagged]
    """,
    'metaclass of a registry': """
        class Meta(type):
            registry = {}
            def __init__(cls, name, bases, namespace):
                super().__init__(name, bases, namespace)
                if name in Meta.registry: raise TypeError(f'{name} is there already')
                Meta.registry[name] = cls
            def __setattr__(cls, name, value): raise AttributeError('frozen')
            def __eq__(cls, other): return cls is other
            __hash__ = type.__hash__
        class One(metaclass=Meta): ...
        class Two(One):
            x = 1
        def check(): return sorted(Meta.registry), Meta.registry['Two'] is Two, Two().x
        values = [Two]
    """,
    'nested classes': """
        class Outer:
            class Inner:
                class Deep:
                    def who(self): return type(self).__qualname__
                def __repr__(self): return 'inner'
            class Kind(enum.Enum):
                A = 1
            inner = Inner()
        def check(): return Outer.Inner.Deep().who(), Outer.Kind.A, Outer.inner, Outer.Kind.__qualname__, Outer.Inner.__qualname__
        values = [Outer.Inner, Outer.Kind.A, Outer.Inner.Deep, Outer.inner]
    """,
    'classes of functions': """
        def factory(n):
            class Made:
                size = n
                def get(self): return self.size + n
            return Made
        A, B = factory(1), factory(2)
        C = factory(1)
        def check():
            return A().get(), B().get(), A is B, A is C, len({A, B, C}), A.__qualname__, isinstance(C(), A)
        values = [A, B, C, A()]
    """,
    'slots': """
        class Slotted:
            __slots__ = ('a', '__private', '__dict__')
            def __init__(self): self.a, self.__private = 1, 2
            def get(self): return self.a, self.__private
        class Text:
            __slots__ = 'one'
        class Documented:
            __slots__ = {'x': 'The x.'}
        class Derived(Slotted):
            __slots__ = ('b',)
        def check():
            text = Text()
            text.one = 5
            try: text.two = 1
            except AttributeError: strict = True
            return Slotted().get(), text.one, strict, Documented.__slots__, Derived().get(), Slotted.__slots__
        values = [Slotted, Derived, Documented]
    """,
    'super and __class__': """
        class Base:
            def __init__(self, x): self.x = x
            def me(self): return 'base', __class__.__name__
            @classmethod
            def make(cls, x): return cls(x)
            @staticmethod
            def helper(): return 1
        class Left(Base):
            def me(self): return 'left', *super().me()
        class Right(Base):
            def me(self): return 'right', *super().me()
        class Both(Left, Right):
            def __init__(self, x):
                super().__init__(x)
                self.y = [super(Both, self).helper() for _ in range(2)]
            @classmethod
            def make(cls, x): return super().make(x + 1)
        def check(): return Both(1).me(), Both.make(1).x, Both(1).y, [c.__name__ for c in Both.__mro__]
        values = [Both, Both(1)]
    """,
    'properties': """
        class Temperature:
            def __init__(self): self._t = 1
            @property
            def t(self):
                "The temperature."
                return self._t
            @t.setter
            def t(self, value): self._t = value
            @t.deleter
            def t(self): self._t = None
            @functools.cached_property
            def slow(self): return self._t + 1
            @functools.lru_cache
            def cached(self): return 4
            part = functools.partialmethod(lambda self, a, b: (a, b), 1)
            @functools.singledispatchmethod
            def show(self, x): return 'any'
            @show.register
            def _(self, x: int): return 'int'
        def check():
            t = Temperature()
            t.t = 5
            before = t.t, t.slow, t.cached(), t.part(2), t.show(1), t.show('a'), Temperature.t.__doc__
            del t.t
            return before, t.t
        values = [Temperature]
    """,
    'classes derived from those of Python': """
        class MyError(ValueError):
            def __init__(self, code, *args):
                super().__init__(*args)
                self.code = code
            def __reduce__(self): return type(self), (self.code, *self.args)
        class MyInt(int):
            def __add__(self, other): return MyInt(int(self) + other)
        class MyDict(dict):
            def __missing__(self, key): return key
        class MyList(list):
            total = property(sum)
        class MyStr(str): ...
        class MyTuple(tuple):
            __slots__ = ()
        def check():
            try: raise MyError(3, 'a')
            except ValueError as exc: caught = exc.code, exc.args
            return caught, type(MyInt(1) + 1).__name__, MyDict()['x'], MyList([1, 2]).total, MyStr('a').upper(), MyTuple((1,))[0]
        values = [MyInt(3), MyDict(a=1), MyList([1]), MyError, MyStr('a'), MyTuple((1, 2))]
    """,
    'exceptions': """
        class AppError(Exception): ...
        class NotThere(AppError, LookupError): ...
        def check():
            try: raise NotThere('x')
            except AppError as exc: caught = repr(exc)
            return caught, issubclass(NotThere, KeyError.__mro__[1])
        values = [NotThere, AppError]
    """,
    'operators': """
        @functools.total_ordering
        class V:
            def __init__(self, x): self.x = x
            def __eq__(self, other): return self.x == other.x
            def __lt__(self, other): return self.x < other.x
            def __hash__(self): return hash(self.x)
            def __getattr__(self, name):
                if name.startswith('_'): raise AttributeError(name)
                return name
            def __call__(self): return self.x
            def __enter__(self): return self
            def __exit__(self, *args): return True
            def __class_getitem__(cls, item): return cls.__name__, item
            def __iter__(self): yield self.x
            def __bool__(self): return False
            def __matmul__(self, other): return 'matmul'
            def __format__(self, spec): return f'<{spec}>'
        def check():
            with V(1) as v: raise ValueError
            return V(1) <= V(2), V(1).anything, V(3)(), V['a'], list(V(5)), bool(V(1)), V(1) @ 1, f'{V(1):x}', len({V(1), V(1)}), v.x
        values = [V(1)]
    """,
    'class without a hash': """
        class Unhashable:
            def __eq__(self, other): return True
        def check():
            try: hash(Unhashable())
            except TypeError: return Unhashable.__hash__
        values = [Unhashable(), Unhashable]
    """,
    'coroutines and generators': """
        import asyncio
        class Source:
            async def get(self): return 5
            def items(self): yield from (1, 2)
            async def __aiter__(self):
                yield 1
            @contextlib.contextmanager
            def open(self): yield 'opened'
        def check():
            with Source().open() as opened: ...
            return asyncio.run(Source().get()), list(Source().items()), opened
        values = [Source]
    """,
    'classes that refer to each other': """
        class Tree:
            def __init__(self, *leaves): self.leaves = leaves
            def first(self): return Leaf(self)
        class Leaf:
            kind = Tree
            def __init__(self, tree): self.tree = tree
        Tree.leaf = Leaf
        def check(): return Tree().first().kind is Tree, Tree.leaf is Leaf, type(Tree().first().tree).__name__
        values = [Tree(), Leaf, Tree]
    """,
    'classes that are changed afterwards': """
        class Patched:
            def f(self): return 1
        Patched.g = lambda self: self.f() + 1
        Patched.table = {'a': [1]}
        Patched.me = Patched()
        def wrap(cls):
            cls.wrapped = True
            original = cls.f
            def f(self): return original(self) + 10
            cls.f = f
            return cls
        wrap(Patched)
        def check(): return Patched().g(), Patched.table, Patched.wrapped, type(Patched.me) is Patched
        values = [Patched]
    """,
    'classes made by calls': """
        Made = type('Made', (dict,), {'x': 1, '__module__': '__main__'})
        Fields = dataclasses.make_dataclass('Fields', [('a', int), ('b', str, 'z')])
        Names = enum.Enum('Names', 'A B C')
        import types
        New = types.new_class('New', (), {}, lambda namespace: namespace.update(y=2))
        def check(): return Made.x, Made(a=1), Fields(1), Names.B, [n.name for n in Names], New.y
        values = [Made(a=1), Fields(1), Names.B, New]
    """,
    'a class decorator that replaces it': """
        def singleton(cls):
            class Only(cls):
                instance = None
                def __new__(inner, *args):
                    if inner.instance is None: inner.instance = super().__new__(inner)
                    return inner.instance
            Only.__name__, Only.__qualname__ = cls.__name__, cls.__qualname__
            return Only
        @singleton
        class Config:
            def __init__(self, x=1): self.x = x
        made = Config(4)
        def check(): return made is Config(), Config() is Config(2), Config.__name__, Config().x
        values = [Config]
    """,
    'class attributes of all kinds': """
        import decimal, fractions, datetime, re, pathlib, uuid, array
        import numpy as np
        class Holder:
            numbers = np.arange(3.0)
            when = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
            price = decimal.Decimal('1.5')
            third = fractions.Fraction(1, 3)
            pattern = re.compile('a+')
            path = pathlib.Path('/a')
            key = uuid.UUID(int=5)
            bytes = array.array('d', [1.0])
            function = staticmethod(len)
            builtin = print
            cls = int
            nothing = None
            chain = collections.ChainMap({'a': 1})
        def check():
            h = Holder
            first = h.numbers.sum(), h.when, h.price, h.third, h.pattern.pattern, h.path
            return first, h.key, h.bytes, h.function('ab'), h.builtin is print, h.cls(3), h.chain['a']
        values = [Holder]
    """,
    'mutable attributes': """
        class Counter:
            count = 0
            seen = {}
            def __init__(self, name):
                Counter.count += 1
                Counter.seen[name] = Counter.count
        def check(): return Counter.count, dict(Counter.seen)
        values = [Counter]
    """,
    'weak references': """
        import weakref
        class Node:
            nodes = weakref.WeakSet()
            def __init__(self): Node.nodes.add(self)
        kept = Node()
        def check(): return len(Node.nodes), kept in Node.nodes
        values = [Node]
    """,
    'attrs': """
        import attr, attrs
        @attrs.define
        class Point:
            x: int = 0
            y: list = attrs.field(factory=list, validator=attrs.validators.instance_of(list))
            def double(self): return attrs.evolve(self, x=2 * self.x)
        @attr.s(frozen=True, eq=True, hash=True)
        class Old:
            a = attr.ib(default=1, converter=int)
        @attrs.define
        class Sub(Point):
            z: float = 0.5
            def __attrs_post_init__(self): super().__init__(self.x); self.z += 1
        def check():
            try: Point(1, 2)
            except TypeError: checked = True
            return Point(1).double(), Old('3'), checked, [f.name for f in attrs.fields(Point)], Sub(2), Point.__slots__, len({Old(1), Old(1)})
        values = [Point(1), Old(2), Sub(1)]
    """,
    'traitlets': """
        import traitlets
        class Conf(traitlets.HasTraits):
            n = traitlets.Int(5)
            names = traitlets.List(traitlets.Unicode())
            seen = 0
            @traitlets.observe('n')
            def _changed(self, change): self.seen += change.new
            @traitlets.default('names')
            def _names(self): return ['a']
        def check():
            conf = Conf(n=3)
            conf.n = 4
            return conf.n, conf.seen, conf.names, sorted(Conf.class_trait_names())
        values = [Conf]
    """,
    'pydantic': """
        import pydantic
        class Model(pydantic.BaseModel):
            x: int
            y: list[str] = []
            _hidden: int = pydantic.PrivateAttr(default=3)
            @pydantic.field_validator('x')
            @classmethod
            def positive(cls, value):
                assert value > 0
                return value
            @pydantic.computed_field
            @property
            def double(self) -> int: return 2 * self.x
        class Inner(pydantic.BaseModel):
            model: Model
            kind: typing.Literal['a', 'b'] = 'a'
        def check():
            try: Model(x=-1)
            except ValueError: checked = True
            return Model(x='3'), checked, Inner(model={'x': 1}), Model(x=1).model_dump(), Model(x=1)._hidden, Model(x=1) == Model(x=1)
        values = [Model(x=1), Inner(model=Model(x=2)), Model]
    """,
    'structures of C': """
        import ctypes
        class Pair(ctypes.Structure):
            _fields_ = [('a', ctypes.c_int), ('b', ctypes.c_double)]
            def total(self): return self.a + self.b
        class Nested(ctypes.Structure):
            _pack_ = 1
            _fields_ = [('c', ctypes.c_char), ('pair', Pair)]
        def check(): return Pair(1, 2).total(), ctypes.sizeof(Nested), Nested(b'a', Pair(3, 4)).pair.a
        values = [Pair]
    """,
    'arrays of the user': """
        import numpy as np
        class Tagged(np.ndarray):
            def __new__(cls, data, tag=None):
                obj = np.asarray(data).view(cls)
                obj.tag = tag
                return obj
            def __array_finalize__(self, obj): self.tag = getattr(obj, 'tag', None)
        def check(): return Tagged([1, 2], 't')[1:].tag, type(Tagged([1]) + 1).__name__
        values = [Tagged]
    """,
    'classes of threads, logs and parsers': """
        import threading, logging, argparse, json, unittest
        class Job(threading.Thread):
            def run(self): self.result = 5
        class Lines(logging.Handler):
            def __init__(self): super().__init__(); self.lines = []
            def emit(self, record): self.lines.append(record.getMessage())
        class Encoder(json.JSONEncoder):
            def default(self, obj): return sorted(obj)
        def check():
            job = Job()
            job.start()
            job.join()
            lines = Lines()
            lines.emit(logging.makeLogRecord({'msg': 'hello'}))
            return job.result, lines.lines, json.dumps({2, 1}, cls=Encoder)
        values = [Job, Lines, Encoder]
    """,
    'abc enum': r"""
        class Meta(abc.ABCMeta, enum.EnumMeta): ...
        class Named(abc.ABC):
            @abc.abstractmethod
            def who(self): ...
        class E(Named, enum.Enum, metaclass=Meta):
            A = 1
            def who(self): return self.name
        def check(): return E.A.who(), isinstance(E.A, Named), list(E)
        values=[E.A, E]
    """,
    'enum meta': r"""
        class Meta(enum.EnumMeta):
            def __getitem__(cls, name): return super().__getitem__(name.upper())
            def __contains__(cls, item): return True
        class E(enum.Enum, metaclass=Meta):
            A = 1
            _order_ = 'A B'
            B = 2
        def check(): return E['a'], 7 in E, E.B.name
        values=[E.A]
    """,
    'enum dataclass field': r"""
        class K(enum.IntFlag):
            A = enum.auto(); B = enum.auto(); C = enum.auto()
            AB = A | B
        @dataclasses.dataclass(frozen=True)
        class D:
            kind: K = K.A | K.C
            other: 'D' = None
            def __post_init__(self): object.__setattr__(self, 'cached', hash(self.kind))
            size: int = dataclasses.field(init=False, default=4)
        class E2(D):
            pass
        @dataclasses.dataclass
        class F(D.__mro__[1] if False else object):
            ds: typing.List[D] = dataclasses.field(default_factory=lambda: [D()])
        def check(): return D(), D().kind is (K.A | K.C), K.AB, F(), E2(), K(7), [*K]
        values=[D(K.AB, D()), F(), K.AB, K.A|K.C]
    """,
    'singleton meta': r"""
        class S(type):
            instances = {}
            def __call__(cls, *a):
                if cls not in S.instances: S.instances[cls] = super().__call__(*a)
                return S.instances[cls]
            def __getattr__(cls, n):
                if n.startswith('__'): raise AttributeError(n)
                return n
            def __instancecheck__(cls, o): return True
            def __subclasscheck__(cls, c): return False
        class A(metaclass=S):
            def __init__(self, x=1): self.x = x
        first = A(5)
        def check(): return A(7).x, A(7) is first, A.whatever, isinstance(3, A)
        values=[A]
    """,
    'subclass hooks and mro entries': r"""
        class Proxy:
            def __mro_entries__(self, bases): return (Real,)
        class Real:
            def hi(self): return 'hi'
        class Sub(Proxy()):
            def hi(self): return super().hi() + '!'
        class Sized2(abc.ABC):
            @classmethod
            def __subclasshook__(cls, c): return hasattr(c, '__len__')
        class IntList(typing.List[int]): ...
        class Deep(typing.Dict[str, typing.List['Deep']]): ...
        def check(): return Sub().hi(), Sub.__orig_bases__[0].__class__.__name__, isinstance([], Sized2), IntList([1]), Deep(a=[]), issubclass(Sub, Real)
        values=[Sub, IntList([1]), Deep(a=[])]
    """,
    'collections': r"""
        class U(collections.UserDict):
            def __missing__(self, k): return 5
        class UL(collections.UserList): ...
        class OD(collections.OrderedDict): ...
        class C(collections.Counter): ...
        class DD(collections.defaultdict):
            def __init__(self, *a): super().__init__(lambda: 3, *a)
            def __reduce__(self): return DD, (dict(self),)
        class Q(collections.deque): ...
        dd = collections.defaultdict(lambda: 7, a=1)
        def check(): return U(a=1)['b'], UL([1]), OD(a=1), C('aab'), DD()['x'], Q([1, 2], 1), dd['zz']
        values=[U(a=1), UL([1]), OD(a=1, b=2), C('aab'), DD({'a': 1}), Q([1], 3)]
    """,
    'stdlib subclasses': r"""
        import ast, decimal, datetime, random, io, string, html.parser, configparser, pathlib, fractions, types, queue
        class V(ast.NodeVisitor):
            def __init__(self): self.n = 0
            def visit_Name(self, node): self.n += 1
        class De(decimal.Decimal):
            def double(self): return self * 2
        class TZ(datetime.tzinfo):
            def utcoffset(self, d): return datetime.timedelta(hours=1)
            def dst(self, d): return None
            def tzname(self, d): return 'X'
        class Da(datetime.date):
            def nxt(self): return self + datetime.timedelta(1)
        class Rn(random.Random):
            def twice(self): return self.random(), self.random()
        class SIO(io.StringIO):
            def shout(self): return self.getvalue().upper()
        class P(html.parser.HTMLParser):
            def handle_starttag(self, tag, attrs): self.tag = tag
        class Pa(pathlib.PurePosixPath):
            def loud(self): return str(self).upper()
        class Fr(fractions.Fraction): ...
        class NS(types.SimpleNamespace):
            def total(self): return self.a
        class Dt(datetime.datetime): ...
        def check():
            v = V(); v.visit(ast.parse('a + b'))
            p = P(); p.feed('<b>')
            first = v.n, De('1.5').double(), datetime.datetime(2020,1,1,tzinfo=TZ()).isoformat(), Da(2020,1,1).nxt()
            return first, Rn(3).twice(), SIO('a').shout(), p.tag, Pa('/a').loud(), Fr(1, 2), NS(a=1).total(), Dt(2020, 1, 1)
        values=[De('1.5'), Da(2020, 1, 1), Pa('/a/b'), Fr(1,3), NS(a=1), Dt(2020,1,1)]
    """,
    'decorators': r"""
        def counted(func):
            @functools.wraps(func)
            def wrapper(*a, **k):
                wrapper.calls += 1
                return func(*a, **k)
            wrapper.calls = 0
            return wrapper
        class Timer(contextlib.ContextDecorator):
            def __enter__(self): self.on = True; return self
            def __exit__(self, *e): self.on = False
        class Deco:
            def __init__(self, f): functools.update_wrapper(self, f); self.f = f
            def __call__(self, *a): return ('deco', self.f(*a))
            def __get__(self, o, t=None): return functools.partial(self, o)
        class K:
            @counted
            def f(self): return 1
            @Deco
            def g(self): return 2
            @Timer()
            def h(self): return 3
            @staticmethod
            @counted
            def s(): return 4
            @classmethod
            @counted
            def c(cls): return cls.__name__
            @property
            @functools.lru_cache(maxsize=None)
            def p(self): return 5
        import operator
        K.key = operator.attrgetter('x'); K.item = operator.itemgetter(0); K.meth = operator.methodcaller('upper')
        @functools.singledispatch
        def show(x): return 'obj'
        @show.register
        def _(x: K): return 'K'
        @show.register(int)
        def _(x): return 'int'
        def check():
            k = K()
            return k.f(), k.f.calls, k.g(), k.h(), k.s(), k.c(), k.p, K.meth('a'), show(k), show(2), show('')
        values=[K]
    """,
    'recursion of local classes': r"""
        def make():
            class Node:
                def __init__(self, *kids): self.kids = kids
                def grow(self): return Node(self)
                def kind(self): return type(self) is Node, __class__ is Node
                all = lambda self: [k for k in (Node,)]
            class Leaf(Node):
                def kind(self): return [super().kind() for _ in [1]] if False else super().kind()
            Node.leaf = Leaf
            return Node, Leaf
        Node, Leaf = make()
        tree = Node(Leaf())
        def check(): return tree.grow().kind(), Leaf().kind(), Node.leaf is Leaf, type(tree.kids[0]) is Leaf, tree.all()[0] is Node
        values=[tree, Leaf]
    """,
    'long inheritance': r"""
        class B0:
            def f(self): return 0
        for i in range(1, 40):
            exec(f'class B{i}(B{i-1}):\n  def f(self): return super().f() + 1')
        def check(): return B39().f(), len(B39.__mro__)
        values=[B39, B20]
    """,
    'special methods': r"""
        class Q:
            x = 1
            def __getattribute__(self, n): return object.__getattribute__(self, n) if n.startswith('_') or n == 'x' else n
            def __dir__(self): return ['z']
            def __sizeof__(self): return 77
            def __init_subclass__(cls, **k): cls.k = k
            def __set_name__(self, owner, name): owner.named = name
            def __del__(self): pass
            def __copy__(self): return 'copied'
            def __instancecheck__(self, o): return True
            __match_args__ = ('x',)
            __hash__ = None
        class W(Q, a=1, b=2):
            q = Q()
        import copy
        def check():
            match W():
                case W(1): r = 'm'
            return W().anything, dir(W()), W.k, W.named, copy.copy(W()), r, W.__hash__
        values=[W, Q]
    """,
    'typing forms': r"""
        Alias = typing.Union[int, 'Thing']
        class Thing:
            a: typing.Annotated[int, 'm'] = 1
            b: typing.Literal['x'] = 'x'
            c: 'list[Alias]' = ()
            d: typing.Callable[[int], str] = str
            e: typing.ClassVar['typing.Dict[str, Thing]'] = {}
            def m(self, x: 'Thing', *y: int) -> typing.Optional['Thing']: ...
        @typing.overload
        def fn(x: int) -> int: ...
        @typing.overload
        def fn(x: str) -> str: ...
        def fn(x): return x
        @typing.final
        class Fin: ...
        Bounded = typing.TypeVar('Bounded', int, str)
        def ident(x: Bounded) -> Bounded: return x
        hints = typing.get_type_hints
        known = hints(Thing)  # what was evaluated is remembered by typing
        def check():
            return hints(Thing, include_extras=True), hints(Thing.m), hints(fn), Fin.__final__, hints(ident), Alias
        values=[Thing, Fin]
    """,
    'contextvars and sentinels': r"""
        import contextvars, threading, logging, uuid
        V = contextvars.ContextVar('V', default=1)
        W = contextvars.ContextVar('W')
        W.set(5)
        def check(): return V.get(), W.get(), V.name
    """,
    'hooks in meta bases': r"""
        class Reg(type):
            def __init_subclass__(meta, **k): meta.made = True
            def __set_name__(cls, owner, name): owner.names = getattr(owner, 'names', []) + [name]
        class M2(Reg): ...
        class X(metaclass=M2): ...
        class Y:
            inner = X
            class Z(metaclass=M2): ...
        def check(): return M2.made, Y.names, type(X).__name__
        values=[Y, X, M2]
    """,
    'objects that a class holds of itself': """
        class Pool:
            def __new__(cls, size):
                obj = super().__new__(cls)
                obj.size = size
                return obj
            def __getnewargs__(self): return (self.size,)
            def __getstate__(self): return {'x': 1}
            def __setstate__(self, state): self.restored = state['x']
            def __eq__(self, other): return LIMIT == other.limit() and self.size == other.size
            def limit(self): return LIMIT, SHARED.size
            def __hash__(self): return hash(self.size)
        SHARED = Pool(3)
        LIMIT = (5, 3)
        Pool.default = Pool(7)
        Pool.table = {Pool.default: 'seven'}
        def check(): return Pool.default.size, SHARED.limit(), len(Pool.table), type(SHARED) is Pool
        values = [Pool]
    """,
    'closures that share variables': """
        def outer():
            n = 0
            class Count:
                def add(self):
                    nonlocal n
                    n += 1
            def get(): return n
            return Count, get
        Count, get = outer()
        def check():
            fresh = Count()
            return get(), fresh is not None, Count.add.__code__.co_freevars
        values = [Count]
    """,
}


def _text(body: str) -> str:
    return HEAD + textwrap.dedent(body)


@pytest.fixture(scope='module')
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp('constructs')
    (folder / 'table.json').write_text(
        json.dumps({name: _text(body) for name, body in CONSTRUCTS.items()})
    )
    command = [
        sys.executable,
        ROOT / 'tests' / 'transport' / 'notebook.py',
        folder / 'table.json',
        folder,
    ]
    environ = os.environ | {'PYTHONPATH': str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environ)
    assert done.returncode == 0, done.stderr
    result: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize('name', CONSTRUCTS)
def test_class_is_the_same_in_a_worker(programs: dict[str, Any], name: str) -> None:
    lines = programs[name]
    for module in ('attrs', 'traitlets', 'pydantic'):
        if name == module and any(f"No module named '{module}'" in line for line in lines):
            pytest.skip(f'{module} is not installed')
    assert not lines, '\n'.join(lines)
