#include "core/segment/null_section.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace tsext {
namespace {

using Pattern = std::function<bool(uint32_t)>;

std::vector<uint64_t> BitmapOf(uint32_t rows, const Pattern &is_null) {
  std::vector<uint64_t> words((rows + 63) / 64);
  for (uint32_t row = 0; row < rows; row++)
    if (is_null(row)) words[row / 64] |= uint64_t{1} << (row % 64);
  return words;
}

ByteBuffer SectionOf(uint32_t rows, const Pattern &is_null) {
  ByteBuffer out;
  AppendNullSection(BitmapOf(rows, is_null).data(), rows, out);
  return out;
}

TEST(NullSection, RoundTrip) {
  const Pattern patterns[] = {
      [](uint32_t) { return false; },
      [](uint32_t) { return true; },
      [](uint32_t row) { return row % 2 == 0; },
      [](uint32_t row) { return row % 100 == 99; },
      [](uint32_t row) { return row % 100 != 99; },
      [](uint32_t row) { return row < 1000; },
      [](uint32_t row) { return row == 0; },
      [](uint32_t row) { return row * 2654435761u >> 31 != 0; },
  };
  for (uint32_t rows : {1u, 7u, 8u, 9u, 63u, 64u, 65u, 1023u, 1024u, 1025u, 3000u, 61440u}) {
    for (const Pattern &is_null : patterns) {
      const ByteBuffer bytes = SectionOf(rows, is_null);
      EXPECT_LE(bytes.size(), MaxNullSectionSize(rows));
      NullSection section;
      ASSERT_TRUE(section.Open(bytes, rows).ok());
      uint32_t rank = 0, row = 0;
      for (uint32_t v = 0; v * kVectorSize < rows; v++) {
        EXPECT_EQ(section.Rank(v), rank);
        NullWords words;
        section.Read(v, words);
        uint32_t nulls = 0;
        for (uint32_t i = 0; i < kVectorSize; i++) {
          const bool expected = row + i < rows && is_null(row + i);
          ASSERT_EQ((words[i / 64] >> (i % 64)) & 1, expected) << rows << " " << v << " " << i;
          nulls += expected;
        }
        EXPECT_EQ(section.Count(v), nulls);
        const uint32_t here = std::min(kVectorSize, rows - row);
        rank += here - nulls;
        row += here;
      }
      EXPECT_EQ(section.total(), rows - rank);
    }
  }
}

TEST(NullSection, TakesTheSmallerForm) {
  EXPECT_EQ(SectionOf(1024, [](uint32_t) { return false; }).size(), 2u);
  EXPECT_EQ(SectionOf(1024, [](uint32_t) { return true; }).size(), 2u);
  EXPECT_EQ(SectionOf(1024, [](uint32_t row) { return row < 3; }).size(), 2u + 6);
  EXPECT_EQ(SectionOf(1024, [](uint32_t row) { return row >= 3; }).size(), 2u + 6);
  EXPECT_EQ(SectionOf(1024, [](uint32_t row) { return row < 63; }).size(), 2u + 126);
  EXPECT_EQ(SectionOf(1024, [](uint32_t row) { return row < 64; }).size(), 2u + 128);
  EXPECT_EQ(SectionOf(1024, [](uint32_t row) { return row % 2 == 0; }).size(), 2u + 128);
}

TEST(NullSection, DamageIsFound) {
  const auto refused = [](ByteBuffer bytes, uint32_t rows, auto change) {
    change(bytes);
    NullSection section;
    return section.Open(bytes, rows).code() == StatusCode::kCorrupt;
  };
  const ByteBuffer list = SectionOf(1000, [](uint32_t row) { return row % 100 == 99; });
  const ByteBuffer bitmap = SectionOf(1000, [](uint32_t row) { return row % 2 == 0; });
  EXPECT_FALSE(refused(list, 1000, [](ByteBuffer &) {}));
  EXPECT_FALSE(refused(bitmap, 1000, [](ByteBuffer &) {}));
  EXPECT_TRUE(refused({}, 1000, [](ByteBuffer &) {}));
  for (const ByteBuffer &good : {list, bitmap}) {
    EXPECT_TRUE(refused(good, 1000, [](ByteBuffer &b) { b.pop_back(); }));
    EXPECT_TRUE(refused(good, 1000, [](ByteBuffer &b) { b.push_back(std::byte{0}); }));
    EXPECT_TRUE(refused(good, 1000, [](ByteBuffer &b) { b[1] = std::byte{0xFF}; }));
    EXPECT_TRUE(refused(good, 1000, [](ByteBuffer &b) { b[0] ^= std::byte{1}; }));
  }
  // A position that repeats, and one past the rows; a bit too many, and one past the rows.
  EXPECT_TRUE(refused(list, 1000, [](ByteBuffer &b) { b[2] = b[4], b[3] = b[5]; }));
  EXPECT_TRUE(refused(list, 999, [](ByteBuffer &) {}));
  EXPECT_TRUE(refused(bitmap, 1000, [](ByteBuffer &b) { b[2] ^= std::byte{2}; }));
  EXPECT_TRUE(
      refused(SectionOf(1001, [](uint32_t row) { return row % 2 == 0; }), 1001, [](ByteBuffer &b) {
        b[2] ^= std::byte{1};
        b.back() ^= std::byte{0x80};
      }));
}

}  // namespace
}  // namespace tsext
