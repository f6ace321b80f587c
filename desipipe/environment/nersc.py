"""The environments of NERSC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from .base import BaseEnvironment

__all__ = ['BaseNERSCEnvironment', 'CosmodesiNERSCEnvironment']


class BaseNERSCEnvironment(BaseEnvironment):
    """NERSC's: ``DESICFS`` is the collaboration's folder."""

    name = 'nersc-base'
    _defaults: ClassVar[Mapping[str, Any]] = {'DESICFS': '/global/cfs/cdirs/desi'}


class CosmodesiNERSCEnvironment(BaseNERSCEnvironment):
    """The sourced cosmodesi environment at NERSC, with the variables of 'nersc-base'."""

    name = 'nersc-cosmodesi'
    _command = 'source /global/common/software/desi/users/adematti/cosmodesi_environment.sh main'
