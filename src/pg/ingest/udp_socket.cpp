#include "pg/ingest/udp_socket.hpp"

#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

namespace tsext::pg {

namespace {

constexpr uint32_t kSkip = UINT32_MAX;
constexpr size_t kDatagramBytes = 65536;
constexpr unsigned kDatagramsACall = 64;
constexpr size_t kControlBytes = 64;

struct Scratch {
  mmsghdr messages[kDatagramsACall];
  iovec vectors[kDatagramsACall];
  sockaddr_in6 peers[kDatagramsACall];
  alignas(cmsghdr) char controls[kDatagramsACall][kControlBytes];
  char data[kDatagramsACall][kDatagramBytes];
};

constexpr size_t RecordBytes(size_t size) {
  return (sizeof(Datagram) + size + 7) & ~size_t{7};
}

}  // namespace

size_t UdpSocket::ScratchBytes() noexcept {
  return sizeof(Scratch);
}

void UdpSocket::Init(char *ring, size_t ring_bytes, char *scratch) noexcept {
  ring_ = ring;
  ring_bytes_ = ring_bytes & ~size_t{7};
  scratch_ = scratch;
}

void UdpSocket::Attach(int descriptor) noexcept {
  descriptor_ = descriptor;
  overflow_ = 0;
}

bool UdpSocket::is_full() const noexcept {
  // A record may have to leave the ring's end unused.
  return ring_bytes_ - pending_bytes() < 2 * RecordBytes(kDatagramBytes);
}

void UdpSocket::Put(const char *data, size_t size, const sockaddr_in6 &peer,
                    int64_t now_us) noexcept {
  const size_t needed = RecordBytes(size);
  uint64_t head = head_;
  const size_t left = ring_bytes_ - head % ring_bytes_;
  if (left < needed) {
    if (left >= sizeof(Datagram))
      reinterpret_cast<Datagram *>(ring_ + head % ring_bytes_)->size = kSkip;
    head += left;
  }
  auto *datagram = reinterpret_cast<Datagram *>(ring_ + head % ring_bytes_);
  datagram->size = static_cast<uint32_t>(size);
  datagram->received_us = now_us;
  datagram->peer = peer;
  memcpy(datagram + 1, data, size);
  datagram->lines = 1;
  for (const char *at = data, *end = data + size;
       (at = static_cast<const char *>(memchr(at, '\n', static_cast<size_t>(end - at)))) != nullptr;
       at++)
    datagram->lines++;
  lines_in_ = lines_in_ + datagram->lines;
  std::atomic_signal_fence(std::memory_order_release);
  head_ = head + needed;
}

void UdpSocket::Drain() noexcept {
  if (descriptor_ < 0 || is_draining_ != 0) return;
  is_draining_ = 1;
  std::atomic_signal_fence(std::memory_order_acq_rel);
  const int saved = errno;
  auto *scratch = reinterpret_cast<Scratch *>(scratch_);
  while (!is_full()) {
    const size_t room = (ring_bytes_ - pending_bytes()) / RecordBytes(kDatagramBytes) - 1;
    const auto wanted = static_cast<unsigned>(std::min<size_t>(room, kDatagramsACall));
    for (unsigned i = 0; i < wanted; i++) {
      scratch->vectors[i] = {scratch->data[i], kDatagramBytes};
      msghdr &header = scratch->messages[i].msg_hdr;
      header.msg_name = &scratch->peers[i];
      header.msg_namelen = sizeof scratch->peers[i];
      header.msg_iov = &scratch->vectors[i];
      header.msg_iovlen = 1;
      header.msg_control = scratch->controls[i];
      header.msg_controllen = kControlBytes;
      header.msg_flags = 0;
    }
    const int count = recvmmsg(descriptor_, scratch->messages, wanted, MSG_DONTWAIT, nullptr);
    if (count < 0 && (errno == EINTR || errno == ECONNREFUSED)) continue;
    if (count <= 0) break;
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const int64_t now_us = int64_t{now.tv_sec} * 1000000 + now.tv_nsec / 1000;
    for (int i = 0; i < count; i++) {
      msghdr &header = scratch->messages[i].msg_hdr;
      const size_t size = scratch->messages[i].msg_len;
      datagrams++;
      bytes += size;
      if ((header.msg_flags & MSG_TRUNC) != 0) truncated++;
      for (cmsghdr *control = CMSG_FIRSTHDR(&header); control != nullptr;
           control = CMSG_NXTHDR(&header, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SO_RXQ_OVFL) continue;
        uint32_t overflow;
        memcpy(&overflow, CMSG_DATA(control), sizeof overflow);
        dropped += overflow - overflow_;
        overflow_ = overflow;
      }
      Put(scratch->data[i], size, scratch->peers[i], now_us);
    }
    if (static_cast<unsigned>(count) < wanted) break;
  }
  errno = saved;
  std::atomic_signal_fence(std::memory_order_acq_rel);
  is_draining_ = 0;
}

const Datagram *UdpSocket::Next(uint64_t *position) const noexcept {
  const uint64_t head = head_;
  std::atomic_signal_fence(std::memory_order_acquire);
  for (;;) {
    if (*position == head) return nullptr;
    const size_t left = ring_bytes_ - *position % ring_bytes_;
    const auto *datagram = reinterpret_cast<const Datagram *>(ring_ + *position % ring_bytes_);
    if (left >= sizeof(Datagram) && datagram->size != kSkip) {
      *position += RecordBytes(datagram->size);
      return datagram;
    }
    *position += left;
  }
}

void UdpSocket::Release(uint64_t position, uint64_t lines) noexcept {
  tail_ = position;
  lines_out_ = lines_out_ + lines;
}

}  // namespace tsext::pg
