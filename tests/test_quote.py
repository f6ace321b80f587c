"""Words of commands are quoted as the shell needs it."""

from __future__ import annotations

import shlex

from hypothesis import example, given
from hypothesis import strategies as st

from desipipe.utils import quote


@given(st.text(alphabet=st.sampled_from('aZ09_-é $\'"\n')))
@example('squares')
@example('')
@example('two words')
def test_quote_is_the_standard_one(text: str) -> None:
    assert quote(text) == shlex.quote(text)
