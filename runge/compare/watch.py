"""The report of runs while they are trained, on a local address, from their files."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from werkzeug.exceptions import HTTPException, NotFound, ServiceUnavailable
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.utils import send_file
from werkzeug.wrappers import Request, Response

from runge.compare.comparison import Comparison
from runge.runs.files import printable

HOST = "127.0.0.1"
_SHARE = 0.1  # of a core at most, so that the training has the rest


if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing for each request."""


class Watch:
    """The pages of a comparison that is made again while its runs are trained.

    `/` is the report; `/now` is its new state, without the scripts; `/files/i/name` are the files of the i-th run that
    the report links to. Only requests to this machine by its own name are answered, so that no other web page can read
    them.

    Args:
        compare: returns the comparison of the runs as they are now.

    Raises:
        ValueError: there are no runs yet, or they do not have the metric.
    """

    def __init__(self, compare: Callable[[], Comparison]) -> None:
        self._compare, self._lock = compare, threading.Lock()
        self._numbers, self._files = dict[str, int](), dict[str, Path]()
        self._update()

    def _update(self) -> None:
        began = time.monotonic()
        try:
            self._comparison = self._compare()
            self._now = self._comparison.page(self._address, libraries=False)
        finally:
            ended = time.monotonic()
            self._next = ended + max(1.0, (ended - began) / _SHARE)

    def _address(self, run: str, file: Path) -> str:
        number = self._numbers.setdefault(run, len(self._numbers))  # it stays while the ranks change
        name = f"files/{number}/{file.name}"
        self._files[name] = file
        return quote(name)

    def application(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request, as WSGI defines it."""
        request = Request(environ)
        request.trusted_hosts = [HOST, "localhost"]
        try:
            request.host  # noqa: B018 - raises for another name
            response = self._answer(request)
        except HTTPException as error:
            response = error.get_response(environ)
        except (ValueError, OSError) as error:  # the runs are gone, or cannot be read now
            response = ServiceUnavailable(printable(str(error))).get_response(environ)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        with self._lock:
            if request.path == "/":
                return Response(self._comparison.page(self._address, live=True), mimetype="text/html")
            if request.path == "/now":
                if time.monotonic() >= self._next:
                    self._update()
                response = Response(self._now, mimetype="text/html", headers={"Cache-Control": "no-cache"})
                response.add_etag()
                return response.make_conditional(request)
        file = self._files.get(request.path.removeprefix("/"))
        if file is None:
            raise NotFound
        if file.is_dir():
            return Response(f"{file.resolve()}\n", mimetype="text/plain")
        kind = "text/plain" if file.suffix in (".yaml", ".log") else None
        return send_file(file, request.environ, mimetype=kind, max_age=0)


def serve(compare: Callable[[], Comparison], port: int) -> None:
    """Serve the report until Ctrl-C, on `port`, or on a free one if it is 0.

    Raises:
        ValueError: there are no runs yet, or they do not have the metric.
        SystemExit: the port is in use.
    """
    watch = Watch(compare)
    server = make_server(HOST, port, watch.application, threaded=True, request_handler=_Quiet)
    print(
        f"report: http://{HOST}:{server.server_port}/  (press Ctrl-C to stop the server; the runs continue)", flush=True
    )
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
