"""Identity of tables: by what they hold, not by how their library keeps it.

Libraries divide tables into blocks and chunks, and remember what was computed of them. A copy
differs in that, and so does a table that someone looked at; neither is another table.
"""

from __future__ import annotations

import sys
from typing import Any

from . import arrays
from .encoder import Encoder
from .plain import digest, pack

__all__ = ['arrow', 'pandas', 'polars', 'xarray']

_DAYS = frozenset(('DatetimeIndex', 'TimedeltaIndex', 'PeriodIndex'))


# --------------------------------------------------------------------------------------------------
# pandas


def pandas(encoder: Encoder, value: Any) -> bytes:
    """Return the bytes of a pandas table, column, index or array; none for others."""
    pd = sys.modules['pandas']
    kind = encoder.value(type(value))
    if isinstance(value, pd.Index):
        return pack(b'index', kind, _index(encoder, value))
    if isinstance(value, pd.api.extensions.ExtensionArray):
        return pack(b'array', kind, _extension(encoder, value))
    if not isinstance(value, (pd.DataFrame, pd.Series)):
        return b''
    own = {name: getattr(value, name, None) for name in value._metadata if name != '_name'}
    labels = [_index(encoder, value.index)]
    if isinstance(value, pd.DataFrame):
        labels.append(_index(encoder, value.columns))
        columns = []
        for i, name in enumerate(value.columns):
            with encoder.at(('column', name)):
                columns.append(_extension(encoder, value.iloc[:, i].array))
    else:
        labels.append(encoder.value(value.name, 'name'))
        columns = [_extension(encoder, value.array)]
    settings = [encoder.value(own), encoder.value(dict(value.attrs), 'attribute attrs')]
    flags = b'%d' % value.flags.allows_duplicate_labels
    return pack(b'table', kind, flags, *settings, *labels, *columns)


def _index(encoder: Encoder, index: Any) -> bytes:
    pd = sys.modules['pandas']
    names = encoder.value(list(index.names), 'names')
    name = type(index).__name__
    if isinstance(index, pd.RangeIndex):
        return pack(b'range', names, b'%d %d %d' % (index.start, index.stop, index.step))
    if isinstance(index, pd.MultiIndex):
        levels = [_index(encoder, level) for level in index.levels]
        codes = [arrays.array(encoder, _plain(code)) for code in index.codes]
        return pack(b'multi', names, *levels, *codes)
    freq = encoder.value(index.freq, 'freq') if name in _DAYS else b''
    return pack(name.encode(), names, freq, _extension(encoder, index.array))


def _plain(values: Any) -> Any:
    import numpy as np

    return np.asarray(values)


def _extension(encoder: Encoder, column: Any) -> bytes:
    """Return the bytes of the array below a column or an index."""
    pd = sys.modules['pandas']
    kinds = pd.arrays
    if isinstance(column, pd.Categorical):
        categories = _index(encoder, column.categories)
        return pack(
            b'categories', b'%d' % column.ordered, categories, arrays.array(encoder, column.codes)
        )
    kind = str(column.dtype).encode()
    if isinstance(column, (kinds.DatetimeArray, kinds.TimedeltaArray, kinds.PeriodArray)):
        return pack(b'days', kind, arrays.array(encoder, column.asi8))
    if isinstance(column, (kinds.IntegerArray, kinds.FloatingArray, kinds.BooleanArray)):
        missing = column.isna()
        data = column.to_numpy(dtype=column.dtype.numpy_dtype, na_value=column.dtype.type(0))
        return pack(b'nullable', kind, arrays.array(encoder, data), arrays.array(encoder, missing))
    if isinstance(column, kinds.IntervalArray):
        sides = [_extension(encoder, _below(side)) for side in (column.left, column.right)]
        return pack(b'interval', kind, *sides)
    if isinstance(column, kinds.SparseArray):
        places = arrays.array(encoder, column.sp_index.indices)
        return pack(
            b'sparse', kind, b'%d' % len(column), arrays.array(encoder, column.sp_values), places
        )
    if hasattr(kinds, 'ArrowExtensionArray') and isinstance(column, kinds.ArrowExtensionArray):
        return pack(
            b'arrow', repr(column.dtype).encode(), _chunks(encoder, column.__arrow_array__())
        )
    if isinstance(column, kinds.NumpyExtensionArray):
        kind = repr(column.dtype).encode() if isinstance(column, kinds.StringArray) else b''
        return pack(b'numpy', kind, arrays.array(encoder, column.to_numpy()))
    return encoder.value(column)  # of another library: as that one carries it


def _below(values: Any) -> Any:
    return values.array if hasattr(values, 'array') else values


# --------------------------------------------------------------------------------------------------
# Apache Arrow


def arrow(encoder: Encoder, value: Any) -> bytes:
    """Return the bytes of an Arrow table, column or array; none for other objects."""
    pa = sys.modules['pyarrow']
    kind = type(value).__name__.encode()
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        heads = [encoder.value(dict(value.schema.metadata or {}))]
        columns = []
        for field, column in zip(value.schema, value.columns, strict=True):
            heads += [
                field.name.encode(),
                b'%d' % field.nullable,
                encoder.value(dict(field.metadata or {})),
            ]
            columns.append(_chunks(encoder, column))
        return pack(b'arrow table', kind, *heads, *columns)
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return pack(b'arrow array', kind, _chunks(encoder, value))
    return b''


def _chunks(encoder: Encoder, value: Any) -> bytes:
    """Return the bytes of an Arrow array.

    How it is chunked, and what lies below missing values, does not count.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(value, pa.ChunkedArray):
        value = value.combine_chunks()
        if isinstance(
            value, pa.ChunkedArray
        ):  # older versions keep what is too large for one chunk
            return pack(b'chunks', *[_chunks(encoder, chunk) for chunk in value.chunks])
    kind = str(value.type).encode()
    head = [kind, b'%d' % len(value)]
    if value.null_count:
        head.append(arrays.array(encoder, value.is_null().to_numpy(zero_copy_only=False)))
    if pa.types.is_integer(value.type) or pa.types.is_floating(value.type):
        filled = value.fill_null(0) if value.null_count else value
        return pack(b'numbers', *head, arrays.array(encoder, filled.to_numpy(zero_copy_only=False)))
    if pa.types.is_string(value.type) or pa.types.is_large_string(value.type):
        filled = (value.fill_null('') if value.null_count else value).cast(pa.large_string())
        lengths = pc.binary_length(filled).to_numpy(zero_copy_only=False)
        return pack(b'texts', *head, arrays.array(encoder, lengths), _characters(filled))
    return pack(b'items', *head, encoder.value(value.to_pylist()))


def _characters(texts: Any) -> bytes:
    """Return a digest of all characters of an array of texts, one after the other."""
    import numpy as np

    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return digest(b'')
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return digest(memoryview(data)[ends[0] : ends[-1]])


# --------------------------------------------------------------------------------------------------
# polars


def polars(encoder: Encoder, value: Any) -> bytes:
    """Return the bytes of a polars table or column; none for other objects."""
    pl = sys.modules['polars']
    kind = type(value).__name__.encode()
    if isinstance(value, pl.DataFrame):
        return pack(b'polars', kind, *[_series(encoder, column) for column in value.get_columns()])
    return pack(b'polars', kind, _series(encoder, value)) if isinstance(value, pl.Series) else b''


def _series(encoder: Encoder, value: Any) -> bytes:
    head = [value.name.encode(), repr(value.dtype).encode(), b'%d' % len(value)]
    if not value.dtype.is_numeric() or value.dtype.is_decimal():
        return pack(b'items', *head, encoder.value(value.to_list()))
    if value.null_count():
        head.append(arrays.array(encoder, value.is_null().to_numpy()))
        value = value.fill_null(0)
    return pack(b'numbers', *head, arrays.array(encoder, value.to_numpy()))


# --------------------------------------------------------------------------------------------------
# xarray


def xarray(encoder: Encoder, value: Any) -> bytes:
    """Return the bytes of an xarray data set, array or variable; none for others."""
    xr = sys.modules['xarray']
    kind = encoder.value(type(value))
    if isinstance(value, xr.Variable):
        return pack(b'variable', kind, _variable(encoder, value))
    if isinstance(value, xr.DataArray):
        name = encoder.value(value.name, 'name')
        coords = _variables(encoder, value.coords)
        return pack(
            b'array',
            kind,
            name,
            _variable(encoder, value.variable),
            _indexes(encoder, value),
            *coords,
        )
    if not isinstance(value, xr.Dataset):
        return b''
    heads = [
        encoder.value(dict(value.attrs), 'attribute attrs'),
        encoder.value(dict(value.encoding)),
    ]
    order = encoder.value([*value.data_vars])
    parts = [*_variables(encoder, value.coords), b'', *_variables(encoder, value.data_vars)]
    return pack(b'data set', kind, *heads, order, _indexes(encoder, value), *parts)


def _indexes(encoder: Encoder, value: Any) -> bytes:
    return encoder.value({name: type(index) for name, index in value.xindexes.items()})


def _variables(encoder: Encoder, holder: Any) -> list[bytes]:
    pairs = [(encoder.value(name), _variable(encoder, holder[name].variable)) for name in holder]
    return [chunk for pair in sorted(pairs) for chunk in pair]


def _variable(encoder: Encoder, variable: Any) -> bytes:
    import numpy as np

    data = variable._data  # what `.values` gives may be read from a file
    if isinstance(data, np.ndarray):
        content = encoder.value(data)
    elif isinstance(getattr(data, 'array', None), sys.modules['pandas'].Index):
        content = pack(b'index', str(data.dtype).encode(), _index(encoder, data.array))
    else:
        content = encoder.value(data)
    heads = [
        encoder.value(item)
        for item in (list(variable.dims), dict(variable.attrs), dict(variable.encoding))
    ]
    return pack(b'v', *heads, content)
