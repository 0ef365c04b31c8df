// Segments as written before: readers must go on reading them, writers go on writing them.
//
// TSEXT_UPDATE_GOLDEN=1 build/core/core_test --gtest_filter='Golden*' writes the files anew: only
// for a format that no release has written yet.

#include <gtest/gtest.h>
#include <zstd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "tsext/segment.hpp"

#include "core/segment/test_columns.hpp"

namespace tsext {
namespace {

using test::MakeColumn;
using test::OwnedColumn;
using test::Shape;

/// zstd frames differ between versions of zstd; only this one is compared byte by byte.
constexpr unsigned kGoldenZstd = 10504;

struct Golden {
  const char *name;
  Level level;
  Shape shape;
  uint32_t rows;
};

constexpr Golden kGoldens[] = {
    {"hot-constant", Level::kHot, Shape::kConstant, 40},
    {"hot-few-distinct", Level::kHot, Shape::kFewDistinct, 40},
    {"hot-distinct", Level::kHot, Shape::kDistinct, 40},
    {"hot-hard", Level::kHot, Shape::kHard, 40},
    {"hot-two-vectors", Level::kHot, Shape::kFewDistinct, 1100},
    {"cold-constant", Level::kCold, Shape::kConstant, 40},
    {"cold-few-distinct", Level::kCold, Shape::kFewDistinct, 40},
    {"cold-distinct", Level::kCold, Shape::kDistinct, 40},
    {"cold-hard", Level::kCold, Shape::kHard, 40},
    {"cold-two-vectors", Level::kCold, Shape::kFewDistinct, 1100},
};

std::vector<OwnedColumn> ColumnsOf(const Golden &golden) {
  std::vector<OwnedColumn> columns;
  for (int type = 1; type <= 12; type++)
    for (test::NullPattern pattern :
         {test::NullPattern::kNone, test::NullPattern::kFew, test::NullPattern::kMost})
      columns.push_back(
          MakeColumn(static_cast<PhysicalType>(type), golden.rows, golden.shape, pattern));
  return columns;
}

std::string PathOf(const Golden &golden) {
  return std::string("test/golden/segment-1.0/") + golden.name + ".tsxs";
}

void ExpectReadable(const std::vector<std::byte> &segment,
                    const std::vector<OwnedColumn> &columns) {
  std::pmr::memory_resource *memory = std::pmr::get_default_resource();
  SegmentHead head(memory);
  const Status parsed = test::ParseHead(segment, head);
  ASSERT_TRUE(parsed.ok()) << parsed.message();
  ASSERT_EQ(head.columns().size(), columns.size());
  BlockReader reader(memory);
  auto vector = std::make_unique<Vector>(memory);
  for (uint32_t c = 0; c < columns.size(); c++) {
    const Status opened = reader.Open(head, c, test::BlockOf(segment, head.columns()[c]));
    ASSERT_TRUE(opened.ok()) << opened.message();
    for (uint32_t v = 0; v < head.vector_count(); v++) {
      ASSERT_TRUE(reader.Read(v, *vector).ok());
      for (uint32_t row = 0; row < vector->count; row++)
        ASSERT_TRUE(columns[c].Matches(v * kVectorSize + row, *vector, row)) << c << " " << row;
    }
  }
}

TEST(GoldenSegment, ReadsAndWritesTheSameBytes) {
  for (const Golden &golden : kGoldens) {
    SCOPED_TRACE(golden.name);
    std::vector<OwnedColumn> columns = ColumnsOf(golden);
    ByteBuffer segment;
    ASSERT_TRUE(test::Write(columns, golden.level, 4, segment).ok());
    if (std::getenv("TSEXT_UPDATE_GOLDEN") != nullptr) {
      std::ofstream file(PathOf(golden), std::ios::binary);
      file.write(reinterpret_cast<const char *>(segment.data()),
                 static_cast<std::streamsize>(segment.size()));
      ASSERT_TRUE(file.good()) << PathOf(golden);
    }
    std::ifstream file(PathOf(golden), std::ios::binary);
    ASSERT_TRUE(file.good()) << "run from the repository's root: " << PathOf(golden);
    const std::vector<char> chars{std::istreambuf_iterator<char>(file), {}};
    const auto bytes = std::as_bytes(std::span(chars));
    const std::vector<std::byte> stored(bytes.begin(), bytes.end());
    ExpectReadable(stored, columns);
    if (HasFatalFailure()) return;
    if (ZSTD_versionNumber() == kGoldenZstd) {
      EXPECT_TRUE(std::equal(stored.begin(), stored.end(), segment.begin(), segment.end()));
    }
  }
}

}  // namespace
}  // namespace tsext
