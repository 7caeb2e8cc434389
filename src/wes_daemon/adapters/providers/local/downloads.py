"""Downloads over HTTP of workflow documents and input files: the status is checked, and every wait has a bound.

The process that executes cwltool uses them instead of cwltool's own downloads, which take the text of an error page
for the file and wait for a silent server without a limit.
This module imports requests, which comes with cwltool; only the engine process may import it.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from tempfile import mkstemp
from typing import Any, TypeVar

import requests

from wes_daemon.adapters.retry_after import retry_at
from wes_daemon.adapters.system import SystemClock, sleep
from wes_daemon.domain.addresses import public_url

T = TypeVar("T")

# Answers whose body is the whole requested file.
_COMPLETE = frozenset({HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION})
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
# Besides 5xx: the server may answer the same request differently in a moment.
_TRANSIENT = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_PAUSES = (timedelta(seconds=1), timedelta(seconds=5))
_LONGEST_PAUSE = timedelta(minutes=1)
_PIECE = 1 << 16


class DownloadRefused(Exception):
    """The server refuses the address, or the address is none that can be requested."""


class DownloadFailed(Exception):
    """The server could not be reached, did not answer in time, or had an error, at each try."""


class _Failure(Exception):
    """One try failed, and the next one may succeed."""

    def __init__(self, reason: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Downloads:
    """Downloads of one run; each file is downloaded once."""

    def __init__(
        self,
        folder: Path,
        *,
        timeout: timedelta,
        note: Callable[[str], None],
        pause: Callable[[timedelta], None] = sleep,
    ) -> None:
        """Create the downloads without accessing the network.

        Args:
            folder: where downloaded files are placed.
            timeout: the longest wait for a connection, and for the next byte of an answer.
            note: records a remark about a try that failed.
            pause: waits between two tries.
        """
        self._folder = folder
        self._timeout = timeout
        self._note = note
        self._pause = pause
        self._lock = threading.Lock()
        self._files: dict[str, Path] = {}

    def text(self, session: requests.Session, url: str, headers: Mapping[str, str]) -> str:
        """Return the text at an address: in the encoding that the server declares, else in UTF-8.

        Raises:
            DownloadRefused, DownloadFailed: the message names the address without secrets, and the reason.
        """
        return self._repeated(url, lambda: _received(self._get(session, url, headers), url, _decoded))

    def file(self, session: requests.Session, url: str) -> Path:
        """Return the downloaded file, with the time of its last change at the server.

        Raises:
            DownloadRefused, DownloadFailed: the message names the address without secrets, and the reason.
            OSError: the file could not be written.
        """
        with self._lock:
            if url not in self._files:
                get = lambda: _received(self._get(session, url, {}), url, self._saved)  # noqa: E731 -- one expression
                self._files[url] = self._repeated(url, get)
            return self._files[url]

    def is_missing(self, session: requests.Session, url: str) -> bool:
        """Whether the server says that there is nothing at the address; false when it does not answer."""
        with suppress(requests.RequestException, ValueError):
            response = session.head(url, allow_redirects=True, timeout=self._timeout.total_seconds())
            return response.status_code in _GONE
        return False

    def _get(self, session: requests.Session, url: str, headers: Mapping[str, str]) -> requests.Response:
        return session.get(url, headers=dict(headers), stream=True, timeout=self._timeout.total_seconds())

    def _repeated(self, url: str, attempt: Callable[[], T]) -> T:
        for planned in _PAUSES:
            try:
                return self._translated(url, attempt)
            except _Failure as error:
                pause = min(max(planned, error.retry_after or planned), _LONGEST_PAUSE)
                self._note(f"{public_url(url)}: {error}; it is requested again in {pause.total_seconds():g} s")
                self._pause(pause)
        try:
            return self._translated(url, attempt)
        except _Failure as error:
            raise DownloadFailed(f"{_cannot_fetch(url, str(error))} ({len(_PAUSES) + 1} tries)") from error

    def _translated(self, url: str, attempt: Callable[[], T]) -> T:
        try:
            return attempt()
        except requests.exceptions.SSLError as error:
            raise DownloadRefused(_cannot_fetch(url, f"the secure connection failed: {_reason(error)}")) from error
        except requests.Timeout as error:
            raise _Failure(f"no answer came within {self._timeout.total_seconds():g} s") from error
        except requests.exceptions.ContentDecodingError as error:
            raise _Failure("the answer is damaged") from error
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            if _is_timeout(error):
                raise _Failure(f"no more data came within {self._timeout.total_seconds():g} s") from error
            raise _Failure(f"the connection failed: {_reason(error)}") from error
        except requests.TooManyRedirects as error:
            raise DownloadRefused(_cannot_fetch(url, "the server redirects without end")) from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidProxyURL, ValueError) as error:
            # Not the error's text: it can contain a password of the address.
            raise DownloadRefused(_cannot_fetch(url, f"it is no valid address ({type(error).__name__})")) from error
        except requests.RequestException as error:
            raise DownloadRefused(_cannot_fetch(url, f"the request failed ({type(error).__name__})")) from error

    def _saved(self, response: requests.Response) -> Path:
        descriptor, name = mkstemp(prefix="d-", dir=self._folder)
        path = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in response.iter_content(_PIECE):
                    file.write(piece)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        _keep_time(path, response.headers.get("Last-Modified"))
        return path


def _received(response: requests.Response, url: str, receive: Callable[[requests.Response], T]) -> T:
    with response:
        status = response.status_code
        if status in _COMPLETE:
            return receive(response)
        answered = f"the server answered {status}{_phrase(status)}"
        if status in _TRANSIENT or status >= 500:
            raise _Failure(answered, retry_after=_retry_after(response))
        raise DownloadRefused(_cannot_fetch(url, answered))


def _decoded(response: requests.Response) -> str:
    content = response.content
    # requests assumes ISO-8859-1 for text without a declared encoding; CWL documents are UTF-8.
    declared = "charset=" in response.headers.get("Content-Type", "").lower()
    with suppress(LookupError):
        return content.decode((declared and response.encoding) or "utf-8-sig", errors="replace")
    return content.decode(errors="replace")


def _cannot_fetch(url: str, reason: str) -> str:
    # Without a colon after the address, which would be read as a part of it.
    return f"cannot fetch {public_url(url)}, because {reason}"


def _phrase(status: int) -> str:
    with suppress(ValueError):
        return f" ({HTTPStatus(status).phrase})"
    return ""


def _retry_after(response: requests.Response) -> timedelta | None:
    now = SystemClock().now()
    at = retry_at(response.headers.get("Retry-After"), now)
    return None if at is None else max(at - now, timedelta(0))


def _keep_time(path: Path, last_modified: str | None) -> None:
    with suppress(TypeError, ValueError, OverflowError):
        time = parsedate_to_datetime(last_modified or "").timestamp()
        os.utime(path, (time, time))


def _is_timeout(error: BaseException) -> bool:
    return any(isinstance(each, TimeoutError) for each in _causes(error))


def _reason(error: BaseException) -> str:
    """Return what the operating system says; the texts of the libraries contain the whole address."""
    for each in _causes(error):
        if isinstance(each, OSError) and isinstance(each.strerror, str):
            return each.strerror
    return "the server ended it before the answer was complete"


def _causes(error: BaseException) -> Iterator[Any]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
