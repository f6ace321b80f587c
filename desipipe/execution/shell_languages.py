"""Languages of programs within commands, and how their interpreters get them."""

from __future__ import annotations

import os
import re
from enum import Enum
from typing import NamedTuple

__all__ = ['CLEAR_NAMES', 'OPENED', 'WRAPPERS', 'Input', 'Language', 'language_of']

_VERSION = re.compile(r'[-\d.]+$')


class Input(Enum):
    """Cases in which a program is read from the standard input."""

    NEVER = 0
    WITHOUT_FILE = 1
    ALWAYS = 2


class Language(NamedTuple):
    """Rules by which an interpreter gets its program."""

    name: str
    code: str = r'(?!)'
    """Pattern of options before code, also without a blank between."""
    takes: str = r'(?!)'
    """Pattern of options that take another word."""
    files: str = r'(?!)'
    """Pattern of options that name a file of code."""
    operands: slice = slice(0, 0)
    """The arguments that are code, where no option says so."""
    modules: str = r'(?!)'
    """Pattern of options before the name of a module, which is read as code."""
    stdin: Input = Input.WITHOUT_FILE
    quotes: str = '\'"'
    comment: str = '#'
    has_names: bool = True
    """Names alone cannot do anything."""
    substitutes: bool = False
    """It has ``s/…/…/``."""
    is_shell: bool = False
    """True where it reads commands of a shell."""
    opens: bool = False
    """It runs a command where an argument is no file but ``command |``."""
    advice: str = 'Pass it as an argument of that program'


_ARGV = 'Pass it as an argument, and take it from '
_LANGUAGES = {
    'awk': Language(
        'awk', '-e|--source=?', '-[vF]|--assign|--field-separator', '-f|--file', slice(0, 1),
        stdin=Input.NEVER, quotes='"',
        advice='Pass it as a variable: awk -v {name}={{{name}}}',
    ),
    'perl': Language(
        'perl', '-[a-zA-Z0-9]*?[eE]', '-[IF]', modules='-[mM]', has_names=False,
        substitutes=True, opens=True, advice=_ARGV + '$ARGV[0]',
    ),
    'python': Language('python', '-[a-zA-Z]*?c', '-[WX]', '-m', advice=_ARGV + 'sys.argv[1]'),
    'ruby': Language(
        'ruby', '-[a-zA-Z0-9]*?e', '-[IC]', modules='-r', opens=True, has_names=False,
        advice=_ARGV + 'ARGV[0]',
    ),
    'node': Language(
        'node', '-(?:p?e|p)|--eval=?|--print=?', '-r|--require', comment='//',
        advice=_ARGV + 'process.argv[1]',
    ),
    'lua': Language('lua', '-e', '-l', comment='--', advice=_ARGV + 'arg[1]'),
    'php': Language('php', '-[rBRE]', '-d', has_names=False, advice=_ARGV + '$argv[1]'),
    'julia': Language(
        'julia', '-[eE]|--eval=?|--print=?', '-[LptC]', quotes='"', advice=_ARGV + 'ARGS[1]',
    ),
    'R': Language('R', '-e', '-[fg]', stdin=Input.ALWAYS, advice=_ARGV + 'commandArgs()'),
    'Rscript': Language('Rscript', '-e', advice=_ARGV + 'commandArgs(TRUE)'),
    'octave': Language(
        'octave', '--eval=?', '-p|--path', quotes='"', comment='%', advice=_ARGV + 'argv()',
    ),
    'matlab': Language('matlab', '-batch|-r', quotes='"', comment='%'),
    'idl': Language('idl', '-e', comment=';'),
    'sage': Language('sage', '-c', advice=_ARGV + 'sys.argv[1]'),
    'root': Language('root', '-e', operands=slice(0, None), comment='//'),
    'gnuplot': Language(
        'gnuplot', '-e', has_names=False,
        advice='Pass it as an argument, and take it from ARG1: gnuplot -c',
    ),
    'tclsh': Language('tclsh', '-c', has_names=False, advice=_ARGV + '$argv'),
    'bc': Language('bc', '-e', stdin=Input.ALWAYS, quotes='"'),
    'dc': Language('dc', '-e|--expression=?', stdin=Input.ALWAYS, quotes='', has_names=False),
    'sed': Language(
        'sed', '-[nErsz]*e|--expression=?', '-l', '-[nErsz]*f|--file', slice(0, 1),
        stdin=Input.NEVER, quotes='', comment='', has_names=False,
        substitutes=True,
        advice='Use a program that takes values as arguments, as awk -v {name}={{{name}}}',
    ),
    'jq': Language(
        'jq', takes='--indent|-L|--tab', files='-f|--from-file', operands=slice(0, 1),
        stdin=Input.NEVER, quotes='"',
        advice='Pass it as a variable: jq --arg {name} {{{name}}}',
    ),
    'sqlite3': Language(
        'sqlite3', '-cmd', '-(?:separator|nullvalue|newline|init)', operands=slice(1, None),
        stdin=Input.ALWAYS, comment='--',
    ),
    'psql': Language(
        'psql', '-[A-Za-z]*c|--command=?', '-[hpUdvFPo]', '-f', stdin=Input.ALWAYS,
        comment='--', advice='Pass it as a variable: psql -v',
    ),
    'mysql': Language('mysql', '-e|--execute=?', '-[hPuD]', stdin=Input.ALWAYS),
    'ed': Language(
        'ed', stdin=Input.ALWAYS, quotes='', comment='', has_names=False, substitutes=True,
    ),
    'm4': Language('m4', '-D', stdin=Input.ALWAYS, quotes=''),
    'gdb': Language('gdb', '-ex|-eval-command', has_names=False),
    'make': Language(
        'make', '--eval=?', '-[Cjlo]', '-f', slice(0, None), stdin=Input.NEVER, quotes='',
        comment='', is_shell=True,
    ),
    'sbatch': Language('sbatch', '--wrap=?', stdin=Input.WITHOUT_FILE, is_shell=True),
    'at': Language('at', '-t', '-[fq]', stdin=Input.ALWAYS, is_shell=True),
    'crontab': Language('crontab', '-u', stdin=Input.ALWAYS, is_shell=True),
    'env': Language('env', '-[vi]*S|--split-string=?', '-[uC]', stdin=Input.NEVER, is_shell=True),
    'ssh': Language(
        'ssh', '(?!)', '-[bcDEeFIiJLlmOopQRSWw]', operands=slice(1, None), is_shell=True,
        advice='Copy a script there, and give it arguments',
    ),
    'tmux': Language('tmux', operands=slice(1, None), stdin=Input.NEVER, is_shell=True),
    'parallel': Language('parallel', '(?!)', '-[jaIN]', operands=slice(0, 1), is_shell=True),
}  # fmt: skip
# Names that are hardly ever words of something else; others count where a command begins.
CLEAR_NAMES = frozenset(
    (
        'awk',
        'perl',
        'python',
        'ruby',
        'julia',
        'Rscript',
        'octave',
        'matlab',
        'gnuplot',
        'sed',
        'jq',
        'sqlite3',
        'psql',
        'mysql',
    )
)
WRAPPERS = frozenset(
    (
        'sudo', 'nohup', 'time', 'exec', 'command', 'builtin', 'env', 'nice', 'ionice', 'timeout',
        'setsid', 'stdbuf',
        'xargs', 'parallel', 'srun', 'mpirun', 'mpiexec', 'ssh', 'run', 'shifter', '-exec',
        '-execdir', '-ok', 'coproc',
    )
)  # fmt: skip
OPENED = Language('perl', is_shell=True, advice='Read that file by: perl ... < file')
_ALIASES = {
    'gawk': 'awk', 'mawk': 'awk', 'nawk': 'awk', 'pypy': 'python', 'ipython': 'python',
    'jython': 'python', 'nodejs': 'node', 'bun': 'node', 'deno': 'node', 'luajit': 'lua',
    'gsed': 'sed', 'ssed': 'sed', 'yq': 'jq', 'gojq': 'jq', 'jaq': 'jq', 'mariadb': 'mysql',
    'duckdb': 'sqlite3', 'sqlite': 'sqlite3', 'expect': 'tclsh', 'wish': 'tclsh', 'gdl': 'idl',
    'wolframscript': 'matlab', 'math': 'matlab', 'maxima': 'matlab', 'gp': 'bc', 'ex': 'ed',
    'red': 'ed', 'gmake': 'make', 'batch': 'at', 'sftp': 'ed', 'ftp': 'ed', 'lftp': 'ed',
    'scala': 'node', 'ghci': 'lua', 'jshell': 'node', 'sqlplus': 'psql', 'rsh': 'ssh',
    'screen': 'tmux', 'octave-cli': 'octave', 'littler': 'R', 'r': 'R', 'topcat': 'jq',
}  # fmt: skip


def language_of(word: str) -> Language | None:
    """Return the language whose interpreter a word names; None if it names none."""
    base = os.path.basename(word)
    for name in (base, _VERSION.sub('', base)):
        if language := _LANGUAGES.get(_ALIASES.get(name, name)):
            return language
    return None
