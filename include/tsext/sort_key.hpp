#pragma once

// Sort keys of the segment directory: bytes whose memcmp order is the order in which a segment's
// rows are sorted by their segment-by values.
//
// One value after the other:
//
//   u8 0x01  an integer or a float follows: u64, big-endian, order-preserving (OrderedInteger,
//            OrderedDouble)
//   u8 0x02  bytes follow: 0x00 becomes 0x00 0xFF; terminated by 0x00 0x00
//   u8 0xFF  NULL: after every value
//
// A key is cut at kSortKeyLimit bytes. A cut key_lo is still <= every key of its segment; a cut
// key_hi is a prefix only: all keys that start with it count as <= it (see SortKeyMayContain).

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tsext/bytes.hpp"
#include "tsext/types.hpp"

namespace tsext {

inline constexpr size_t kSortKeyLimit = 200;

/// Unsigned numbers in the order of the signed ones.
constexpr uint64_t OrderedInteger(int64_t value) noexcept {
  return static_cast<uint64_t>(value) ^ (uint64_t{1} << 63);
}

/// Unsigned numbers in PostgreSQL's order of floats: -0 = 0, all NaN equal and greatest.
inline uint64_t OrderedDouble(double value) noexcept {
  if (value != value) return ~uint64_t{0};
  if (value == 0) value = 0;  // -0
  const auto bits = std::bit_cast<uint64_t>(value);
  return (bits >> 63) != 0 ? ~bits : bits | (uint64_t{1} << 63);
}

/// A key under construction, of fixed size: fit for a stack frame that a longjmp may leave.
class SortKey {
 public:
  void AppendNull() noexcept { Put(std::byte{0xFF}); }
  /// value: from OrderedInteger or OrderedDouble.
  void AppendOrdered(uint64_t value) noexcept {
    Put(std::byte{0x01});
    for (int shift = 56; shift >= 0; shift -= 8) Put(static_cast<std::byte>(value >> shift));
  }
  void AppendBytes(ByteView value) noexcept {
    Put(std::byte{0x02});
    // What lies beyond the limit cannot change the key.
    const auto end = static_cast<uint32_t>(std::min<size_t>(value.size, kSortKeyLimit));
    for (uint32_t i = 0; i < end; i++) {
      Put(value.data[i]);
      if (value.data[i] == std::byte{0}) Put(std::byte{0xFF});
    }
    Put(std::byte{0});
    Put(std::byte{0});
  }
  ByteView view() const noexcept { return {bytes_, size_}; }

 private:
  void Put(std::byte value) noexcept {
    if (size_ < kSortKeyLimit) bytes_[size_++] = value;
  }

  std::byte bytes_[kSortKeyLimit];
  uint32_t size_ = 0;
};

/// Bytewise order, a prefix first.
inline int CompareSortKeys(ByteView a, ByteView b) noexcept {
  const uint32_t common = std::min(a.size, b.size);
  const int order = common == 0 ? 0 : std::memcmp(a.data, b.data, common);
  if (order != 0) return order;
  return a.size < b.size ? -1 : static_cast<int>(a.size > b.size);
}

/// False when no row of a segment with keys [lo, hi] can have a key that equals `wanted` or starts
/// with it (the values of the first segment-by columns alone are a prefix).
inline bool SortKeyMayContain(ByteView lo, ByteView hi, ByteView wanted) noexcept {
  const ByteView lo_prefix{lo.data, std::min(lo.size, wanted.size)};
  if (CompareSortKeys(wanted, lo_prefix) < 0) return false;
  const ByteView wanted_prefix{wanted.data, std::min(wanted.size, hi.size)};
  return CompareSortKeys(wanted_prefix, hi) <= 0;
}

}  // namespace tsext
