"""Walk that computes identities: of objects by content, of code by what it does.

A :class:`~.walker.Walker` goes through a value, or a function, and everything of the user's that it
reaches. What it finds becomes

- *bytes* for values: canonical, so that the order of dictionaries and sets, references shared or
  not, ``PYTHONHASHSEED`` and addresses don't matter;
- *parts* for code: one digest for each function, class, module and global, under a readable name.
  Bytes refer to parts by name, so that recursion ends, and so that a difference between two
  identities can be told by name.

It remembers what it read, so that :meth:`~.walker.Walker.unchanged` can tell cheaply whether
walking again would give the same.
"""
