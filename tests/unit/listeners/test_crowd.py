"""Many sockets behind one epoll."""

import asyncio
import socket

from bootd.listeners.sockets import Crowd


def a_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.bind(("127.0.0.1", 0))
    return sock


async def test_whoever_can_be_read_is_called() -> None:
    crowd, called = Crowd(), asyncio.Event()
    with a_socket() as idle, a_socket() as ready:
        crowd.add(idle, lambda: 1 / 0)  # type: ignore[func-returns-value,arg-type,return-value]
        crowd.add(ready, lambda: (ready.recv(9), called.set())[1])
        idle.sendto(b"x", ready.getsockname())
        async with asyncio.timeout(20):
            await called.wait()
        crowd.remove(idle)
        crowd.remove(ready)
    crowd.close()


async def test_a_socket_closed_by_another_ones_callback_is_not_called() -> None:
    crowd, calls, done = Crowd(), [], asyncio.Event()
    both = [a_socket(), a_socket()]

    def close_all(name: int) -> None:
        calls.append(name)
        for sock in both:
            crowd.remove(sock)
            sock.close()
        done.set()

    crowd.add(both[0], lambda: close_all(0))
    crowd.add(both[1], lambda: close_all(1))
    with a_socket() as sender:
        for sock in both:
            sender.sendto(b"x", sock.getsockname())
    async with asyncio.timeout(20):
        await done.wait()
    await asyncio.sleep(0)
    assert len(calls) == 1
    crowd.close()
