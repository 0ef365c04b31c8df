// CRC-32C: polynomial 0x1EDC6F41, reflected (0x82F63B78), initial value and final xor all ones.

#include "tsext/crc32c.hpp"

#include <array>

#include "core/segment/crc32c_detail.hpp"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace tsext {

namespace {

constexpr uint32_t kPolynomial = 0x82F63B78u;
constexpr size_t kSlices = 8;

using SliceTables = std::array<std::array<uint32_t, 256>, kSlices>;

/// tables[k][b]: the CRC register after byte b and k zero bytes.
constexpr SliceTables MakeTables() {
  SliceTables tables{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t slice = 1; slice < kSlices; slice++) {
    for (uint32_t byte = 0; byte < 256; byte++) {
      const uint32_t crc = tables[slice - 1][byte];
      tables[slice][byte] = (crc >> 8) ^ tables[0][crc & 0xFF];
    }
  }
  return tables;
}

constexpr SliceTables kTables = MakeTables();

}  // namespace

uint32_t Crc32cByTable(ByteSpan bytes, uint32_t crc) noexcept {
  const std::byte *at = bytes.data();
  size_t left = bytes.size();
  crc = ~crc;
  for (; left >= kSlices; left -= kSlices, at += kSlices) {
    const uint64_t word = LoadUnaligned<uint64_t>(at) ^ crc;
    crc = 0;
    for (size_t i = 0; i < kSlices; i++) crc ^= kTables[kSlices - 1 - i][(word >> (8 * i)) & 0xFF];
  }
  for (; left > 0; left--, at++) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<uint32_t>(*at)) & 0xFF];
  }
  return ~crc;
}

#if defined(__x86_64__)

bool HasCrc32cInstruction() noexcept {
  return __builtin_cpu_supports("sse4.2") != 0;
}

__attribute__((target("sse4.2"))) uint32_t Crc32cByInstruction(ByteSpan bytes,
                                                               uint32_t crc) noexcept {
  const std::byte *at = bytes.data();
  size_t left = bytes.size();
  uint64_t state = static_cast<uint32_t>(~crc);
  for (; left >= 8; left -= 8, at += 8) {
    uint64_t word;
    __builtin_memcpy(&word, at, 8);
    state = _mm_crc32_u64(state, word);
  }
  uint32_t tail = static_cast<uint32_t>(state);
  for (; left > 0; left--, at++) tail = _mm_crc32_u8(tail, static_cast<unsigned char>(*at));
  return ~tail;
}

#else

bool HasCrc32cInstruction() noexcept {
  return false;
}
uint32_t Crc32cByInstruction(ByteSpan bytes, uint32_t crc) noexcept {
  return Crc32cByTable(bytes, crc);
}

#endif

uint32_t Crc32c(ByteSpan bytes, uint32_t crc) noexcept {
  return HasCrc32cInstruction() ? Crc32cByInstruction(bytes, crc) : Crc32cByTable(bytes, crc);
}

}  // namespace tsext
