#include "tsext/crc32c.hpp"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "core/segment/crc32c_detail.hpp"

namespace tsext {
namespace {

ByteSpan BytesOf(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// The definition, bit by bit.
uint32_t Plain(ByteSpan bytes, uint32_t crc) {
  crc = ~crc;
  for (std::byte byte : bytes) {
    crc ^= static_cast<uint32_t>(byte);
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0);
  }
  return ~crc;
}

// Vectors of RFC 3720, appendix B.4, and the check value of the Castagnoli polynomial.
TEST(Crc32c, KnownVectors) {
  std::vector<std::byte> ascending(32), descending(32);
  for (size_t i = 0; i < 32; i++) {
    ascending[i] = static_cast<std::byte>(i);
    descending[i] = static_cast<std::byte>(31 - i);
  }
  for (auto *crc32c : {&Crc32cByTable, &Crc32cByInstruction}) {
    if (crc32c == &Crc32cByInstruction && !HasCrc32cInstruction()) continue;
    EXPECT_EQ(crc32c(BytesOf("123456789"), 0), 0xE3069283u);
    EXPECT_EQ(crc32c(std::vector<std::byte>(32), 0), 0x8A9136AAu);
    EXPECT_EQ(crc32c(std::vector<std::byte>(32, std::byte{0xFF}), 0), 0x62A8AB43u);
    EXPECT_EQ(crc32c(ascending, 0), 0x46DD794Eu);
    EXPECT_EQ(crc32c(descending, 0), 0x113FDB5Cu);
    EXPECT_EQ(crc32c({}, 0), 0u);
  }
  EXPECT_EQ(Crc32c(BytesOf("123456789")), 0xE3069283u);
}

TEST(Crc32c, EveryLengthOffsetAndSplit) {
  std::vector<std::byte> bytes(300);
  uint32_t state = 1;
  for (std::byte &byte : bytes)
    byte = static_cast<std::byte>((state = state * 1664525 + 1013904223) >> 24);
  for (size_t offset = 0; offset < 9; offset++) {
    for (size_t length = 0; length < 70; length++) {
      const ByteSpan part = ByteSpan(bytes).subspan(offset, length);
      const uint32_t expected = Plain(part, 0);
      EXPECT_EQ(Crc32cByTable(part, 0), expected);
      EXPECT_EQ(Crc32c(part), expected);
      EXPECT_EQ(Crc32c(part.subspan(length / 3), Crc32c(part.first(length / 3))), expected);
    }
  }
}

// Long ones are worked on in three stretches at once.
TEST(Crc32c, LongInputs) {
  std::vector<std::byte> bytes(20000);
  uint32_t state = 7;
  for (std::byte &byte : bytes)
    byte = static_cast<std::byte>((state = state * 1664525 + 1013904223) >> 24);
  for (const size_t length : {1023, 3071, 3072, 3073, 3080, 6143, 6144, 9999, 19999}) {
    const ByteSpan part = ByteSpan(bytes).subspan(1, length);
    const uint32_t expected = Plain(part, 0);
    EXPECT_EQ(Crc32cByTable(part, 0), expected) << length;
    EXPECT_EQ(Crc32c(part), expected) << length;
    EXPECT_EQ(Crc32c(part.subspan(length / 2), Crc32c(part.first(length / 2))), expected) << length;
  }
}

}  // namespace
}  // namespace tsext
