"""Deadlines of a connection: uvicorn itself waits for ever for the rest of a request's head that has begun."""

import asyncio
import socket


def patient(seconds: float, unread: float) -> type[asyncio.Protocol]:
    """Uvicorn's protocol on h11, which bounds a head's size and refuses malformed lengths, with so many seconds for each head.

    They run from the connection, and later from the first byte after an answer; between those uvicorn's keep-alive ends an idle one.
    ``unread``: seconds within which a client must have taken what the system's buffers do not hold of an answer; closing a connection
    would wait for that for ever.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Patient(H11Protocol):
        deadline: asyncio.TimerHandle | None = None
        patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # asyncio does this only for sockets made with proto=IPPROTO_TCP, which socket.create_server's are not: an answer's head and
            # body are two writes, and the second would wait 40 ms for the client's delayed acknowledgement of the first
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport.set_write_buffer_limits(high=0)  # writing pauses with the first byte that is left here, and resumes after the last
            self.deadline = self.loop.call_later(seconds, transport.abort)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            at_work = self.cycle is not None and not self.cycle.response_complete
            if at_work and self.deadline:
                self.deadline.cancel()
                self.deadline = None
            elif not at_work and not self.deadline:
                self.deadline = self.loop.call_later(seconds, self.transport.abort)

        def pause_writing(self) -> None:
            super().pause_writing()
            self.patience = self.loop.call_later(unread, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self.patience:
                self.patience.cancel()
                self.patience = None

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in (self.deadline, self.patience):
                if timer:
                    timer.cancel()
            super().connection_lost(exc)

    return Patient
