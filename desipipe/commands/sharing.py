"""Verbs about the users of a queue: trust, share, unshare."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex

from .common import Verbs, add_queue, open_one, plural, queue_name
from .face import hint

_MEMBERS = 8  # to name


def register(verbs: Verbs) -> None:
    """Declare these verbs."""
    for declare in (_declare_trust, _declare_share, _declare_unshare):
        declare(verbs)


def _declare_trust(verbs: Verbs) -> None:
    parser = verbs.add(
        'trust',
        trust,
        'trust the queues of other users',
        'What is in a queue is code: to work on it, or to read its results, is to run it as you. '
        'Looking at a queue needs no trust. Written into your '
        'configuration; without names, who is trusted is listed.',
        'desipipe trust alice',
        'desipipe trust --remove alice',
    )
    parser.add_argument('users', nargs='*', metavar='USER', help='name or number of a user')
    parser.add_argument(
        '--remove', nargs='+', default=[], metavar='USER', help='stop trusting these users'
    )
    parser.add_argument('--list', action='store_true', help='list who is trusted')


def trust(args: argparse.Namespace) -> None:
    """Run ``desipipe trust``."""
    from ..config import Config
    from ..errors import ConfigError

    config = Config()
    if os.environ.get('DESIPIPE_TRUST') and (args.users or args.remove):
        raise ConfigError(
            'DESIPIPE_TRUST is set, and wins over the configuration. Nothing was changed. '
            'Type:\nunset DESIPIPE_TRUST'
        )
    if args.list and (args.users or args.remove):
        raise ConfigError(
            'Users were named together with --list. Nothing was changed. List who is '
            'trusted:\ndesipipe trust --list'
        )
    before = [str(user) for user in config['trusted_users']]
    for user in args.users:
        _check_user(user)
    gone = [_trusted_name(user, before) for user in args.remove]
    after = list(dict.fromkeys([user for user in before if user not in gone] + args.users))
    if after != before:
        config['trusted_users'] = after
        config.save()
    if args.users:
        print(
            f'Commands, tasks and results in queues of {", ".join(args.users)} may run as you from '
            'now on.'
        )
        hint(f'To take that back: desipipe trust --remove {" ".join(args.users)}')
    print(f'Trusted: {", ".join(after) or "only yourself"} ({config.filename})')


def _check_user(user: str) -> None:
    import pwd

    from ..errors import ConfigError

    try:
        if not user.isdecimal():  # numbers of users of other machines have no name here
            pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(
            f'There is no user {user!r} on this machine. Nothing was changed. Find the name:\nid '
            '-un'
        ) from None


def _trusted_name(user: str, trusted: list[str]) -> str:
    """Return how a trusted user is written in the configuration."""
    import pwd

    from ..errors import ConfigError

    names = {user}
    with contextlib.suppress(KeyError):
        account = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
        names |= {account.pw_name, str(account.pw_uid)}
    for name in trusted:
        if name in names:
            return name
    raise ConfigError(
        f'User {user!r} is not trusted. Nothing was changed. List who is:\ndesipipe trust --list'
    )


def _declare_share(verbs: Verbs) -> None:
    parser = verbs.add(
        'share',
        share,
        'share a queue with a group',
        'Its members look at it, add tasks to it and run their own. What others have added they '
        'run if they trust them.',
        'desipipe share -q my_queue --group desi',
    )
    add_queue(parser)
    parser.add_argument(
        '--group', required=True, metavar='GROUP', help='name or number of one of your groups'
    )


def share(args: argparse.Namespace) -> None:
    """Run ``desipipe share``."""
    from ..queue.sharing import find_group, members_of, unreachable

    queue = open_one(args, use=True)
    queue.share(args.group)
    gid = find_group(args.group)
    members = members_of(gid)
    who = (
        (
            f' ({plural(len(members), "member")}: '
            f'{", ".join(members[:_MEMBERS])}{", …" if len(members) > _MEMBERS else ""})'
        )
        if members
        else ''
    )
    print(f'{queue_name(queue)}: shared by group {queue.group}{who}')
    print(
        'Members run their own tasks. To run those of another member, and for them to run yours: '
        'desipipe trust USER'
    )
    if closed := unreachable(queue.folder, gid):
        hint(
            f'Group {queue.group} cannot reach the queue through {closed}. Let its members pass: '
            f'chmod o+x {shlex.quote(closed)}'
        )


def _declare_unshare(verbs: Verbs) -> None:
    parser = verbs.add(
        'unshare',
        unshare,
        'stop sharing a queue with its group',
        'Others cannot look at it then. What members have added stays, as files of theirs.',
        'desipipe unshare -q my_queue',
    )
    add_queue(parser)


def unshare(args: argparse.Namespace) -> None:
    """Run ``desipipe unshare``."""
    queue = open_one(args, use=True)
    others = queue.unshare()
    print(f'{queue_name(queue)}: not shared')
    if others:
        hint(
            f'It holds files of {", ".join(others)}. To use what they hold, trust these users: '
            f'desipipe trust {" ".join(others)}'
        )
