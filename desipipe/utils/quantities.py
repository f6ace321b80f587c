"""Write counts, sizes and durations for people."""

from __future__ import annotations


def format_count(n: int) -> str:
    """A number of things: ``'1,204'``.

    Parameters
    ----------
    n : int
        Their number.

    Returns
    -------
    count : str
    """
    return f'{n:,d}'


def plural(n: int, word: str = 'task') -> str:
    """So many of something: ``'1 task'``, ``'2,000 tasks'``.

    Parameters
    ----------
    n : int
        Their number.
    word : str, default='task'
        Of what.

    Returns
    -------
    words : str
    """
    return f'{n:,d} {word}{"" if n == 1 else "s"}'


def plural_about(value: float, word: str) -> str:
    """Format a rounded number of things: ``'1 CPU'``, ``'1.9 CPUs'``.

    Parameters
    ----------
    value : float
        Their number.
    word : str
        Their noun in the singular.

    Returns
    -------
    words : str
    """
    text = f'{value:,.1f}'.removesuffix('.0')
    return f'{text} {word}{"" if text == "1" else "s"}'


def format_significant(value: float, digits: int = 3) -> str:
    """Format the first digits of a number: ``'0.125'``, ``'1,230'``.

    Parameters
    ----------
    value : float
        The number.
    digits : int, default=3
        Number of digits.

    Returns
    -------
    number : str
    """
    text = f'{float(f"{value:.{digits}g}"):,.12f}'
    return text.rstrip('0').removesuffix('.')


def format_bytes(n: float) -> str:
    """A size, in powers of 1000: ``'512 B'``, ``'1.5 kB'``, ``'20.0 MB'``.

    Parameters
    ----------
    n : int, float
        Number of bytes.

    Returns
    -------
    size : str
    """
    if abs(n) < 1000:
        return f'{n:.0f} B'
    for unit in ('kB', 'MB', 'GB', 'TB'):
        n /= 1000
        if abs(n) < 999.95:  # what would be printed as 1000.0 is 1.0 of the next unit
            return f'{n:.1f} {unit}'
    return f'{n / 1000:,.1f} PB'


def format_duration(seconds: float) -> str:
    """Format a time span briefly: ``'0:08'``, ``'1:02:03'``, ``'2 d 3 h'``.

    Parameters
    ----------
    seconds : int, float
        Time span in seconds. A negative one, which comes from clocks that were set back, is shown
        as zero.

    Returns
    -------
    duration : str
        Minutes and seconds, with hours if there are any; from one day on, days and hours. ``'?'``
        if infinite or not a number.
    """
    if not abs(seconds) < float('inf'):
        return '?'
    minutes, second = divmod(max(int(seconds + 0.5), 0), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f'{days:,d} d {hour:d} h'
    if hours:
        return f'{hours:d}:{minute:02d}:{second:02d}'
    return f'{minute:d}:{second:02d}'
