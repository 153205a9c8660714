"""The exceptions of pyteleport.

All of them mean that nothing moved: the program goes on where the call was made.
"""

from __future__ import annotations


class TeleportError(Exception):
    """The program could not be moved, kept or resumed."""


class CaptureError(TeleportError):
    """The running program could not be captured; nothing was changed."""


class BoundaryError(CaptureError):
    """C code between two Python frames has work of its own left that cannot be moved."""


class UnmovableError(CaptureError):
    """Objects of the program cannot travel.

    Attributes:
        culprits: one ``(path, reason)`` pair of strings for each of them; a path starts at a
            variable of a frame, as in ``main() → job.conn (socket.socket)``.
    """

    def __init__(self, message: str, culprits: list[tuple[str, str]] | None = None) -> None:
        super().__init__(message)
        self.culprits = list(culprits or ())


class AwayError(TeleportError):
    """An object was used that has stayed at home, while the program is away."""


class PayloadError(TeleportError):
    """The bytes of a snapshot are damaged, cut off, or made by something else."""


class TransportError(TeleportError):
    """The peer could not be reached, does not fit, or went away before the program was there."""


class ResumeError(TeleportError):
    """The peer could not bring the program back to life."""
