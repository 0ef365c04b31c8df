// Damaged segments: a reader finds the damage or returns what was written, never something else.

#include <gtest/gtest.h>

#include "tsext/crc32c.hpp"
#include "tsext/segment.hpp"

#include "core/segment/segment_format.hpp"
#include "core/segment/test_columns.hpp"

namespace tsext {
namespace {

using test::MakeColumn;
using test::NullPattern;
using test::OwnedColumn;
using test::Shape;

/// One column of every type, shape and two null patterns: every codec is in it.
std::vector<OwnedColumn> SmallColumns(Shape shape) {
  std::vector<OwnedColumn> columns;
  for (int type = 1; type <= 12; type++) {
    columns.push_back(MakeColumn(static_cast<PhysicalType>(type), 40, shape, NullPattern::kNone));
    columns.push_back(MakeColumn(static_cast<PhysicalType>(type), 40, shape, NullPattern::kFew));
    columns.push_back(MakeColumn(static_cast<PhysicalType>(type), 40, shape, NullPattern::kMost));
  }
  return columns;
}

enum class Outcome { kRight, kRefused, kWrong };

/// Reads the whole segment. Refused: any status but ok, which must be kCorrupt or kUnsupported.
Outcome ReadAll(ByteSpan segment, const std::vector<OwnedColumn> &columns, Vector &vector) {
  std::pmr::memory_resource *memory = std::pmr::get_default_resource();
  const auto refused = [](const Status &status) {
    return status.code() == StatusCode::kCorrupt || status.code() == StatusCode::kUnsupported
               ? Outcome::kRefused
               : Outcome::kWrong;
  };
  SegmentHead head(memory);
  if (const Status status = test::ParseHead(segment, head); !status.ok()) return refused(status);
  if (head.columns().size() != columns.size() || head.row_count() != columns[0].count())
    return Outcome::kWrong;
  BlockReader reader(memory);
  Outcome outcome = Outcome::kRight;
  for (uint32_t c = 0; c < columns.size(); c++) {
    const Status opened = reader.Open(head, c, test::BlockOf(segment, head.columns()[c]));
    if (!opened.ok()) {
      outcome = Outcome::kRefused;
      if (refused(opened) == Outcome::kWrong) return Outcome::kWrong;
      continue;
    }
    uint32_t at = 0;
    for (uint32_t v = 0; v < head.vector_count(); v++) {
      if (!reader.Read(v, vector).ok()) return Outcome::kWrong;
      for (uint32_t row = 0; row < vector.count; row++, at++)
        if (!columns[c].Matches(at, vector, row)) return Outcome::kWrong;
    }
  }
  return outcome;
}

class Damage : public testing::TestWithParam<std::tuple<Level, Shape>> {
 protected:
  void SetUp() override {
    columns_ = SmallColumns(std::get<1>(GetParam()));
    ASSERT_TRUE(test::Write(columns_, std::get<0>(GetParam()), 7, segment_).ok());
    ASSERT_EQ(ReadAll(segment_, columns_, *vector_), Outcome::kRight);
  }
  std::vector<OwnedColumn> columns_;
  ByteBuffer segment_;
  std::unique_ptr<Vector> vector_ = std::make_unique<Vector>(std::pmr::get_default_resource());
};

TEST_P(Damage, EveryFlippedByteIsFound) {
  SegmentHead head(std::pmr::get_default_resource());
  ASSERT_TRUE(test::ParseHead(segment_, head).ok());
  // Bytes that mean something: the head and the blocks, not the padding between them.
  std::vector<bool> matters(segment_.size());
  uint64_t head_size = 0;
  ASSERT_TRUE(SegmentHead::HeadSize(ByteSpan(segment_).first(32), head_size).ok());
  std::fill_n(matters.begin(), head_size, true);
  for (const ColumnFooter &footer : head.columns())
    std::fill_n(matters.begin() + static_cast<ptrdiff_t>(footer.offset), footer.length, true);

  for (size_t at = 0; at < segment_.size(); at++) {
    for (unsigned mask : {0x01u, 0x80u, 0xFFu}) {
      const std::byte good = segment_[at];
      segment_[at] ^= static_cast<std::byte>(mask);
      const Outcome outcome = ReadAll(segment_, columns_, *vector_);
      segment_[at] = good;
      ASSERT_EQ(outcome, matters[at] ? Outcome::kRefused : Outcome::kRight)
          << "byte " << at << " of " << segment_.size() << ", mask " << mask;
    }
  }
}

TEST_P(Damage, EveryTruncationIsFound) {
  for (size_t size = 0; size < segment_.size(); size++)
    ASSERT_EQ(ReadAll(ByteSpan(segment_).first(size), columns_, *vector_), Outcome::kRefused)
        << size;
}

/// With the checksum put right the damage may go unnoticed, but must not read outside the block.
TEST_P(Damage, FlippedBytesUnderARightChecksumAreSafe) {
  std::pmr::memory_resource *memory = std::pmr::get_default_resource();
  SegmentHead head(memory);
  ASSERT_TRUE(test::ParseHead(segment_, head).ok());
  BlockReader reader(memory);
  uint32_t refused = 0;
  for (uint32_t c = 0; c < head.columns().size(); c++) {
    const ByteSpan good = test::BlockOf(segment_, head.columns()[c]);
    // An own allocation of exactly the block's size, so that a sanitizer sees reads past its end.
    std::vector<std::byte> block(good.begin(), good.end());
    for (size_t at = 0; at < block.size(); at++) {
      for (unsigned mask : {0x01u, 0x80u, 0xFFu}) {
        block[at] ^= static_cast<std::byte>(mask);
        const_cast<ColumnFooter &>(head.columns()[c]).checksum = Crc32c(block);
        const Status opened = reader.Open(head, c, block);
        const Status read = opened.ok() ? reader.Read(0, *vector_) : opened;
        EXPECT_NE(read.code(), StatusCode::kInvalid);
        refused += read.ok() ? 0 : 1;
        block[at] = good[at];
      }
    }
  }
  EXPECT_GT(refused, 0u);
}

std::string DamageName(const testing::TestParamInfo<Damage::ParamType> &info) {
  return std::string(std::get<0>(info.param) == Level::kHot ? "Hot" : "Cold") + "Shape" +
         std::to_string(static_cast<int>(std::get<1>(info.param)));
}

INSTANTIATE_TEST_SUITE_P(Small, Damage,
                         testing::Combine(testing::Values(Level::kHot, Level::kCold),
                                          testing::ValuesIn(test::kShapes)),
                         DamageName);

/// Puts the prefix's own checksum right after a change.
void Reseal(ByteBuffer &segment) {
  SegmentPrefix prefix;
  std::memcpy(&prefix, segment.data(), sizeof prefix);
  prefix.prefix_checksum =
      Crc32c(ByteSpan(segment).first(offsetof(SegmentPrefix, prefix_checksum)));
  std::memcpy(segment.data(), &prefix, sizeof prefix);
}

TEST(SegmentVersions, NewerOnesAreUnsupported) {
  std::vector<OwnedColumn> columns = SmallColumns(Shape::kDistinct);
  ByteBuffer segment;
  ASSERT_TRUE(test::Write(columns, Level::kHot, 0, segment).ok());
  const auto code = [&](size_t at, uint8_t value) {
    ByteBuffer changed = segment;
    changed[at] = std::byte{value};
    Reseal(changed);
    SegmentHead head(std::pmr::get_default_resource());
    return test::ParseHead(changed, head).code();
  };
  EXPECT_EQ(code(offsetof(SegmentPrefix, major), kFormatMajor), StatusCode::kOk);
  EXPECT_EQ(code(offsetof(SegmentPrefix, minor), kFormatMinor + 1), StatusCode::kOk);
  EXPECT_EQ(code(offsetof(SegmentPrefix, major), kFormatMajor + 1), StatusCode::kUnsupported);
  EXPECT_EQ(code(offsetof(SegmentPrefix, level), 3), StatusCode::kUnsupported);
  EXPECT_EQ(code(offsetof(SegmentPrefix, flags), 0x80), StatusCode::kUnsupported);
  EXPECT_EQ(code(offsetof(SegmentPrefix, magic), 0), StatusCode::kCorrupt);
}

TEST(SegmentVersions, UnknownCodecIsUnsupported) {
  std::vector<OwnedColumn> columns = SmallColumns(Shape::kDistinct);
  ByteBuffer segment;
  ASSERT_TRUE(test::Write(columns, Level::kHot, 0, segment).ok());
  SegmentHead head(std::pmr::get_default_resource());
  ASSERT_TRUE(test::ParseHead(segment, head).ok());
  BlockReader reader(std::pmr::get_default_resource());
  for (uint32_t c = 0; c < head.columns().size(); c++) {
    const ByteSpan good = test::BlockOf(segment, head.columns()[c]);
    std::vector<std::byte> block(good.begin(), good.end());
    block[0] = std::byte{9};
    const_cast<ColumnFooter &>(head.columns()[c]).checksum = Crc32c(block);
    EXPECT_EQ(reader.Open(head, c, block).code(), StatusCode::kUnsupported);
  }
}

}  // namespace
}  // namespace tsext
