#pragma once

// Datagrams from the socket into a ring in memory. Drain() may run in a signal handler: it makes
// system calls and copies, nothing else, so that the kernel's buffer is emptied also while a batch
// is being stored. One producer (Drain), one consumer (the worker's loop).

#include <netinet/in.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tsext::pg {

/// In front of each datagram in the ring.
struct Datagram {
  uint32_t size;        // bytes behind this header; kSkip: the ring goes on at its start
  uint32_t lines;       // an upper bound
  int64_t received_us;  // since 1970
  sockaddr_in6 peer;    // or a sockaddr_in
  std::string_view text() const { return {reinterpret_cast<const char *>(this + 1), size}; }
};

class UdpSocket {
 public:
  /// `ring` and `scratch` (ScratchBytes()) are the caller's memory.
  void Init(char *ring, size_t ring_bytes, char *scratch) noexcept;
  static size_t ScratchBytes() noexcept;
  void Attach(int descriptor) noexcept;
  int descriptor() const noexcept { return descriptor_; }

  /// Reads what the kernel has, as far as there is room. Async-signal-safe; does nothing when it is
  /// running already.
  void Drain() noexcept;

  bool is_empty() const noexcept { return head_ == tail_; }
  /// Whether the next Drain() may read nothing for want of room.
  bool is_full() const noexcept;
  size_t pending_bytes() const noexcept { return head_ - tail_; }
  uint64_t pending_lines() const noexcept { return lines_in_ - lines_out_; }

  /// Walks over what is in the ring, the oldest first: starts at Begin(), nullptr at the end.
  uint64_t Begin() const noexcept { return tail_; }
  const Datagram *Next(uint64_t *position) const noexcept;
  /// Forgets everything before `position`.
  void Release(uint64_t position, uint64_t lines) noexcept;

  // Since Attach(); read while Drain() cannot run.
  uint64_t datagrams = 0, bytes = 0, truncated = 0, dropped = 0;

 private:
  void Put(const char *data, size_t size, const sockaddr_in6 &peer, int64_t now_us) noexcept;

  char *ring_ = nullptr, *scratch_ = nullptr;
  size_t ring_bytes_ = 0;
  int descriptor_ = -1;
  volatile uint64_t head_ = 0, tail_ = 0;  // bytes ever written and released
  volatile uint64_t lines_in_ = 0, lines_out_ = 0;
  uint32_t overflow_ = 0;  // the kernel's count of dropped datagrams
  volatile sig_atomic_t is_draining_ = 0;
};

}  // namespace tsext::pg
