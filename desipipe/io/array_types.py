"""Files of arrays and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

from .file_types import BaseFile, StreamFile


class NpyFile(StreamFile):
    """An array. Never pickled objects: a file from someone else must not run code."""

    name = 'npy'
    suffixes = ('.npy',)

    def read(self, file: BinaryIO) -> Any:
        """See :class:`StreamFile`."""
        import numpy as np

        return np.load(file, allow_pickle=False)

    def write(self, file: BinaryIO, data: Any) -> None:
        """See :class:`StreamFile`."""
        import numpy as np

        np.save(file, data, allow_pickle=False)


class NpzFile(StreamFile):
    """A dictionary of arrays, without pickled objects."""

    name = 'npz'
    suffixes = ('.npz',)

    def read(self, file: BinaryIO) -> dict[str, Any]:
        """See :class:`StreamFile`."""
        import numpy as np

        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)

    def write(self, file: BinaryIO, data: Mapping[str, Any]) -> None:
        """See :class:`StreamFile`."""
        import zipfile

        import numpy as np

        if not isinstance(data, Mapping):
            raise TypeError(
                f'An npz file holds a dictionary of arrays, not {type(data).__name__}; for one '
                'array the suffix is .npy.'
            )
        # Not `np.savez`, whose own arguments are names that no array could have.
        with zipfile.ZipFile(file, 'w') as archive:
            for name, array in data.items():
                with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
                    np.save(member, array, allow_pickle=False)


class FitsFile(BaseFile):
    """FITS, by `astropy`: tables and images."""

    name = 'fits'
    suffixes = ('.fits', '.fit', '.fits.gz')

    def load(self, hdu: int | str | None = None, **kwargs: Any) -> Any:
        """Content of the file.

        Parameters
        ----------
        hdu : int, str, default=None
            Number or name; by default the first one that holds something.
        **kwargs
            Passed to :func:`astropy.io.fits.open`.

        Returns
        -------
        data : astropy.table.Table, array
        """
        fits, table = self._library('astropy.io.fits'), self._library('astropy.table')
        with fits.open(self.path, memmap=False, **kwargs) as file:
            chosen = (
                file[hdu]
                if hdu is not None
                else next((one for one in file if one.data is not None), file[0])
            )
            if isinstance(chosen, fits.BinTableHDU | fits.TableHDU):
                return table.Table.read(chosen)
            return chosen.data

    def save(self, data: Any, **kwargs: Any) -> None:
        """Write the file.

        Parameters
        ----------
        data : Table, dict of columns, structured array, array, HDUList
        **kwargs
            Passed to ``writeto`` of :mod:`astropy.io.fits`.
        """
        fits, table = self._library('astropy.io.fits'), self._library('astropy.table')
        if hasattr(data, 'writeto'):
            hdus = data
        elif isinstance(data, Mapping | table.Table) or getattr(
            getattr(data, 'dtype', None), 'names', None
        ):
            hdus = fits.HDUList([fits.PrimaryHDU(), fits.table_to_hdu(table.Table(data))])
        else:
            import numpy as np

            hdus = fits.PrimaryHDU(np.asarray(data))
        hdus.writeto(self.path, **kwargs)


class HDF5File(BaseFile):
    """HDF5, by `h5py`: dictionaries (groups) of arrays, numbers and texts (data sets)."""

    name = 'hdf5'
    suffixes = ('.h5', '.hdf5', '.hdf')

    def load(self, name: str = '/', **kwargs: Any) -> Any:
        """Content of the file.

        Parameters
        ----------
        name : str, default='/'
            Of a group or data set.
        **kwargs
            Passed to :class:`h5py.File`.

        Returns
        -------
        data : dict, array, number, str
        """
        h5py = self._library('h5py')

        def content(item: Any) -> Any:
            if isinstance(item, h5py.Group):
                return {key: content(value) for key, value in item.items()}
            value = item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]
            return value.item() if item.shape == () and hasattr(value, 'item') else value

        with h5py.File(self.path, 'r', **kwargs) as file:
            return content(file[name])

    def save(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Write the file.

        Parameters
        ----------
        data : dict
        **kwargs
            Passed to ``create_dataset``, for arrays: ``compression='gzip'``.
        """
        h5py = self._library('h5py')
        if not isinstance(data, Mapping):
            raise TypeError(
                'An HDF5 file holds a dictionary (of arrays, numbers, texts, dictionaries), not '
                f'{type(data).__name__}'
            )

        def write(group: Any, values: Mapping[str, Any]) -> None:
            for key, value in values.items():
                if isinstance(value, Mapping):
                    write(group.create_group(key), value)
                else:
                    import numpy as np

                    array = np.asarray(value)
                    text = array.dtype.kind == 'U'
                    options = kwargs if array.shape else {}
                    group.create_dataset(
                        key,
                        data=array.astype(object) if text else array,
                        dtype=h5py.string_dtype() if text else None,
                        **options,
                    )

        with h5py.File(self.path, 'w') as file:
            write(file, data)
