"""The latent space on a page: the same session as in the window, for every visitor one of their own.

Everything is computed and drawn here; the browser shows pictures and sends wishes. No request leaves the machine.

::

    running.py      serve, until Ctrl-C; start_in_background, for notebooks
    beginning.py    which models and files visitors begin with
    server.py       the front: one socket, all routes; guards.py: who may ask; assets.py: scripts and styles
    shared.py       what visitors share
    visitor.py      one visitor: sessions, messages; jobs.py, downloads.py: slow work for one
    screen.py       while the page is open: trame's server, the plotter
    link.py         the websocket; actions.py: what buttons may ask; checks.py: of which kind values must be
    stream.py       pictures, as they are wished for
    mirror.py       a session as the page's state, and in words
    page.py         the page; static/: its template, style and script
"""

from __future__ import annotations

from viewer.web.running import Running, serve, start_in_background

__all__ = ["Running", "serve", "start_in_background"]
