"""Access to the page of `desipipe serve`: token, cookie, policy of browsers."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from jupyter_server.auth import AllowAllAuthorizer, IdentityProvider, User
from tornado.web import RequestHandler

from ..utils import username

# Nothing of another host is loaded or sent to. What tasks displayed as HTML has styles in it, and
# stands in frames without scripts, which have this policy, too.
_POLICY = '; '.join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "frame-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)


class OneUser(IdentityProvider):  # type: ignore[misc]
    """The user who started the server, known by its token or the cookie given for it.

    Both are of this process alone, and worth nothing after its end.
    """

    async def get_user_token(self, handler: RequestHandler) -> User | None:
        """Return the user if the request has the token; compare in constant time."""
        given = self.get_token(handler) or ''
        if hmac.compare_digest(given.encode('utf-8', 'replace'), self.token.encode()):
            return self.generate_anonymous_user(handler)
        return None

    def generate_anonymous_user(self, handler: RequestHandler) -> User:
        """Return the user of this process."""
        return User(username())


class Access:
    """Token, address and settings of one server.

    Its folder has a name that cannot be guessed, and the cookie is for this folder alone: browsers
    send cookies to all ports of a host, those of other users' servers included.
    """

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self.base_url = f'/{secrets.token_urlsafe(12)}/'
        """Folder below which everything is."""

    def settings(self) -> dict[str, Any]:
        """Return what Tornado and the handlers of Jupyter Server are to go by.

        The latter refuse names of other hosts (`allow_remote_access`), writes from pages of other
        origins, and writes with the cookie alone that lack the page's own token (`_xsrf`).
        """
        # Not `Strict`: a browser that comes from another page, such as a web terminal, would not
        # send it.
        cookie = {'path': self.base_url, 'samesite': 'Lax'}
        identity = OneUser(
            token=self.token,
            cookie_name='desipipe',
            cookie_options={**cookie, 'expires_days': None},
        )
        return {
            'base_url': self.base_url,
            'identity_provider': identity,
            'authorizer': AllowAllAuthorizer(identity_provider=identity),
            'cookie_secret': secrets.token_bytes(32),
            'xsrf_cookies': True,
            'xsrf_cookie_kwargs': cookie,
            'allow_remote_access': False,
            'allow_unauthenticated_access': False,
            'allow_origin': '',
            'ws_ping_interval': 0,  # streams give signs of life themselves
            'headers': {
                'Content-Security-Policy': _POLICY,
                'Cache-Control': 'no-store',
                'Referrer-Policy': 'same-origin',
                'X-Frame-Options': 'DENY',
            },
        }
