#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>

/// A TCP port of this host that nobody listens on, another one at each call. It is below those that the system gives to
/// outgoing connections.
inline int free_port() {
  static int next = static_cast<int>(getpid() % 1'000) * 17;
  for (;;) {
    int const port = 15'000 + next++ % 17'000;
    int const socket = ::socket(AF_INET, SOCK_STREAM, 0);
    int const on = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    bool const is_free = ::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::close(socket);
    if (is_free) return port;
  }
}
