"""Files of the scripts of jobs."""

from __future__ import annotations

import hashlib
import os

from ..store.files import open_file, replace_file

__all__ = ['save_script']


def save_script(text: str, folder: str, name: str) -> str:
    """Write the script of jobs into a folder; return its path.

    Parameters
    ----------
    text : str
    folder : str
    name : str
        Of the jobs.
    """
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    # Its name holds a digest of what is in it: who finds it there, finds the same. Written
    # aside, so that nobody finds a part.
    file_name = f'{name}-{digest}.sh'
    temporary = f'{file_name}.{os.urandom(4).hex()}.tmp'
    fd = open_file(folder, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, 'w') as file:
        file.write(text)
    replace_file(folder, temporary, file_name)
    return os.path.join(folder, file_name)
