"""The service's errors, with its own codes."""

from collections.abc import Mapping


class ApiError(Exception):
    """A request that is refused."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    @property
    def body(self) -> Mapping[str, object]:
        """As it goes over the wire."""
        more = f"https://docs.sevenbridges.com/reference/api-status-codes#{self.code}"
        return {"status": self.status, "code": self.code, "message": self.message, "more_info": more}


def bad_request(message: str, code: int = 90000) -> ApiError:
    """400."""
    return ApiError(400, code, message)


def not_found(code: int, message: str) -> ApiError:
    """404 with the code of the kind of thing."""
    return ApiError(404, code, message)
