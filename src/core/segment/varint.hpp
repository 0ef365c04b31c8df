#pragma once

// Variable-length integers of the head: seven bits a byte, lowest first, the high bit set on all
// but the last byte; signed ones fold the sign into the lowest bit.

#include <cstdint>

#include "tsext/bytes.hpp"

namespace tsext {

using Unsigned128 = unsigned __int128;
using Signed128 = __int128;

inline void AppendVarint(ByteBuffer &out, Unsigned128 value) {
  while (value >= 0x80) {
    out.push_back(static_cast<std::byte>(static_cast<uint8_t>(value) | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<std::byte>(value));
}

inline void AppendSignedVarint(ByteBuffer &out, Signed128 value) {
  const Unsigned128 bits = static_cast<Unsigned128>(value) << 1;
  AppendVarint(out, value < 0 ? ~bits : bits);
}

/// Reads at most 128 bits; false when the bytes end or more bits follow.
[[nodiscard]] inline bool ReadVarint(ByteReader &reader, Unsigned128 &value) noexcept {
  Unsigned128 result = 0;
  for (unsigned shift = 0; shift < 128; shift += 7) {
    uint8_t byte = 0;
    if (!reader.Read(byte)) return false;
    const Unsigned128 bits = byte & 0x7F;
    if (shift == 126 && bits > 3) return false;
    result |= bits << shift;
    if ((byte & 0x80) == 0) {
      value = result;
      return true;
    }
  }
  return false;
}

[[nodiscard]] inline bool ReadSignedVarint(ByteReader &reader, Signed128 &value) noexcept {
  Unsigned128 bits = 0;
  if (!ReadVarint(reader, bits)) return false;
  const Unsigned128 magnitude = bits >> 1;
  value = static_cast<Signed128>((bits & 1) != 0 ? ~magnitude : magnitude);
  return true;
}

/// A signed varint that must fit 64 bits.
[[nodiscard]] inline bool ReadSignedVarint64(ByteReader &reader, int64_t &value) noexcept {
  Signed128 wide = 0;
  if (!ReadSignedVarint(reader, wide) || wide < INT64_MIN || wide > INT64_MAX) return false;
  value = static_cast<int64_t>(wide);
  return true;
}

/// A varint of at most `limit`.
[[nodiscard]] inline bool ReadVarint32(ByteReader &reader, uint32_t limit,
                                       uint32_t &value) noexcept {
  Unsigned128 wide = 0;
  if (!ReadVarint(reader, wide) || wide > limit) return false;
  value = static_cast<uint32_t>(wide);
  return true;
}

}  // namespace tsext
