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

/// The instruction takes three cycles but may begin in each: three stretches are worked on at once.
constexpr size_t kStretch = 1024;
using StretchTable = std::array<std::array<uint32_t, 256>, sizeof(uint32_t)>;

/// table[k][b]: the register after kStretch zero bytes when its byte k was b and the others 0.
constexpr StretchTable MakeStretchTable() {
  std::array<uint32_t, 32> of_bit{};
  for (unsigned bit = 0; bit < 32; bit++) {
    uint32_t crc = uint32_t{1} << bit;
    for (size_t i = 0; i < kStretch; i++) crc = (crc >> 8) ^ kTables[0][crc & 0xFF];
    of_bit[bit] = crc;
  }
  StretchTable table{};
  for (unsigned byte = 0; byte < table.size(); byte++) {
    for (uint32_t value = 0; value < 256; value++) {
      for (unsigned bit = 0; bit < 8; bit++)
        if ((value >> bit & 1) != 0) table[byte][value] ^= of_bit[byte * 8 + bit];
    }
  }
  return table;
}

constexpr StretchTable kStretchTable = MakeStretchTable();

/// The register after kStretch zero bytes more.
uint32_t PassStretch(uint32_t crc) noexcept {
  return kStretchTable[0][crc & 0xFF] ^ kStretchTable[1][(crc >> 8) & 0xFF] ^
         kStretchTable[2][(crc >> 16) & 0xFF] ^ kStretchTable[3][crc >> 24];
}

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
  const auto word_at = [](const std::byte *from) {
    uint64_t word;
    __builtin_memcpy(&word, from, sizeof word);
    return word;
  };
  for (; left >= 3 * kStretch; left -= 3 * kStretch, at += 3 * kStretch) {
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t i = 0; i < kStretch; i += 8) {
      state = _mm_crc32_u64(state, word_at(at + i));
      second = _mm_crc32_u64(second, word_at(at + kStretch + i));
      third = _mm_crc32_u64(third, word_at(at + 2 * kStretch + i));
    }
    // What a register holds before a stretch passes through it like zeros do.
    state = PassStretch(static_cast<uint32_t>(state)) ^ second;
    state = PassStretch(static_cast<uint32_t>(state)) ^ third;
  }
  for (; left >= 8; left -= 8, at += 8) state = _mm_crc32_u64(state, word_at(at));
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
