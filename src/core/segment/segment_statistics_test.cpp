// The footer and the zone maps against plain loops.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "tsext/segment.hpp"

#include "core/segment/column_statistics.hpp"
#include "core/segment/test_columns.hpp"

namespace tsext {
namespace {

using test::MakeColumn;
using test::NullPattern;
using test::OwnedColumn;
using test::Shape;

/// Parsed head of one segment of `columns`, whose first column is the time.
std::unique_ptr<SegmentHead> HeadOf(std::vector<OwnedColumn> &columns, int16_t time_attribute = 1) {
  ByteBuffer segment;
  const Status written = test::Write(columns, Level::kHot, time_attribute, segment);
  EXPECT_TRUE(written.ok()) << written.message();
  auto head = std::make_unique<SegmentHead>(std::pmr::get_default_resource());
  const Status parsed = test::ParseHead(segment, *head);
  EXPECT_TRUE(parsed.ok()) << parsed.message();
  return head;
}

double RealOf(const OwnedColumn &column, uint32_t row) {
  return column.type == PhysicalType::kFloat64 ? column.doubles[row]
                                               : static_cast<double>(column.floats[row]);
}

bool SameReal(double left, double right) {
  return left == right || (std::isnan(left) && std::isnan(right));
}

/// Least and greatest of rows [begin, end) by PostgreSQL's order; nullopt when all are NULL.
template <typename T, typename Get>
std::optional<std::pair<T, T>> RangeOf(const OwnedColumn &column, uint32_t begin, uint32_t end,
                                       const Get &get) {
  std::optional<std::pair<T, T>> range;
  const auto less = [](T left, T right) {
    if constexpr (std::is_same_v<T, double>) return FloatLess(left, right);
    return left < right;
  };
  for (uint32_t row = begin; row < end; row++) {
    if (column.IsNull(row)) continue;
    const T value = get(row);
    if (!range) range = {value, value};
    if (less(value, range->first)) range->first = value;
    if (less(range->second, value)) range->second = value;
  }
  return range;
}

void ExpectInteger(const SegmentHead &head, uint32_t c, const OwnedColumn &column) {
  const auto get = [&](uint32_t row) { return column.integers[row]; };
  const ColumnFooter &footer = head.columns()[c];
  const auto range = RangeOf<int64_t>(column, 0, column.count(), get);
  ASSERT_EQ(footer.min.valid, range.has_value());
  ASSERT_EQ(footer.max.valid, range.has_value());
  ASSERT_EQ(footer.has_sum, range.has_value());
  if (!range) return;
  EXPECT_EQ(footer.min.integer, range->first);
  EXPECT_EQ(footer.max.integer, range->second);
  __int128 sum = 0;
  for (uint32_t row = 0; row < column.count(); row++)
    if (!column.IsNull(row)) sum += column.integers[row];
  EXPECT_TRUE(footer.integer_sum == sum);
  for (uint32_t v = 0; v < head.vector_count(); v++) {
    const uint32_t begin = v * kVectorSize;
    const auto zone = RangeOf<int64_t>(column, begin, begin + head.VectorRows(v), get);
    const VectorFooter found = head.Vector(c, v);
    ASSERT_EQ(found.has_range, zone.has_value());
    if (!zone) continue;
    EXPECT_EQ(found.min_integer, zone->first);
    EXPECT_EQ(found.max_integer, zone->second);
  }
}

void ExpectReal(const SegmentHead &head, uint32_t c, const OwnedColumn &column) {
  const auto get = [&](uint32_t row) { return RealOf(column, row); };
  const ColumnFooter &footer = head.columns()[c];
  const auto range = RangeOf<double>(column, 0, column.count(), get);
  ASSERT_EQ(footer.min.valid, range.has_value());
  ASSERT_EQ(footer.has_sum, range.has_value());
  bool has_nan = false;
  double sum = 0;
  for (uint32_t row = 0; row < column.count(); row++) {
    if (column.IsNull(row)) continue;
    has_nan = has_nan || std::isnan(get(row));
    sum += get(row);
  }
  EXPECT_EQ(footer.has_nan, has_nan);
  if (!range) return;
  EXPECT_TRUE(SameReal(footer.min.real, range->first)) << footer.min.real << " " << range->first;
  EXPECT_TRUE(SameReal(footer.max.real, range->second));
  EXPECT_TRUE(SameReal(footer.real_sum, sum));
  for (uint32_t v = 0; v < head.vector_count(); v++) {
    const uint32_t begin = v * kVectorSize;
    const auto zone = RangeOf<double>(column, begin, begin + head.VectorRows(v), get);
    const VectorFooter found = head.Vector(c, v);
    ASSERT_EQ(found.has_range, zone.has_value());
    if (!zone) continue;
    EXPECT_TRUE(SameReal(found.min_real, zone->first));
    EXPECT_TRUE(SameReal(found.max_real, zone->second));
  }
}

void ExpectText(const ColumnFooter &footer, const OwnedColumn &column) {
  std::set<std::string> values;
  for (uint32_t row = 0; row < column.count(); row++)
    if (!column.IsNull(row)) values.insert(column.strings[row]);
  ASSERT_EQ(footer.min.valid, !values.empty() && column.type == PhysicalType::kText);
  ASSERT_EQ(footer.max.valid, footer.min.valid);
  const double distinct = static_cast<double>(values.size());
  EXPECT_NEAR(footer.distinct_estimate, distinct, 1 + 0.02 * distinct);
  if (!footer.min.valid) return;
  // std::string compares like memcmp.
  const auto expect = [](const Statistic &found, const std::string &value) {
    EXPECT_EQ(std::string(found.bytes), value.substr(0, Statistic::kStatisticBytes));
    EXPECT_EQ(found.truncated, value.size() > Statistic::kStatisticBytes);
  };
  expect(footer.min, *values.begin());
  expect(footer.max, *values.rbegin());
}

/// First and last value by time of rows that are not NULL, in a plain loop.
void ExpectFirstLast(const ColumnFooter &footer, const OwnedColumn &column,
                     const OwnedColumn &time) {
  std::optional<uint32_t> first, last;
  for (uint32_t row = 0; row < column.count(); row++) {
    if (column.IsNull(row) || time.IsNull(row)) continue;
    if (!first || time.integers[row] < time.integers[*first]) first = row;
    if (!last || time.integers[row] >= time.integers[*last]) last = row;
  }
  ASSERT_EQ(footer.first.valid, first.has_value());
  ASSERT_EQ(footer.last.valid, last.has_value());
  if (!first) return;
  EXPECT_EQ(footer.first_time, time.integers[*first]);
  EXPECT_EQ(footer.last_time, time.integers[*last]);
  if (IsInteger(column.type)) {
    EXPECT_EQ(footer.first.integer, column.integers[*first]);
    EXPECT_EQ(footer.last.integer, column.integers[*last]);
  } else {
    EXPECT_TRUE(SameReal(footer.first.real, RealOf(column, *first)));
    EXPECT_TRUE(SameReal(footer.last.real, RealOf(column, *last)));
  }
}

TEST(SegmentStatistics, EveryTypeShapeAndNullPattern) {
  for (uint32_t count : {1u, 1024u, 1025u, 5000u, kMaxSegmentRows}) {
    for (Shape shape : test::kShapes) {
      for (NullPattern pattern : test::kNullPatterns) {
        SCOPED_TRACE(testing::Message()
                     << count << " rows, shape " << int(shape) << ", nulls " << int(pattern));
        std::vector<OwnedColumn> columns;
        // Times with ties and not in order.
        columns.push_back(
            MakeColumn(PhysicalType::kInt64, count, Shape::kFewDistinct, NullPattern::kNone));
        for (int type = 1; type <= 12; type++)
          columns.push_back(MakeColumn(static_cast<PhysicalType>(type), count, shape, pattern));
        const auto head = HeadOf(columns);
        ASSERT_EQ(head->columns().size(), columns.size());
        for (uint32_t c = 0; c < columns.size(); c++) {
          const OwnedColumn &column = columns[c];
          const ColumnFooter &footer = head->columns()[c];
          EXPECT_EQ(footer.null_count, std::count(column.nulls.begin(), column.nulls.end(), true));
          if (IsInteger(column.type)) ExpectInteger(*head, c, column);
          if (IsFloat(column.type)) ExpectReal(*head, c, column);
          if (IsBytes(column.type)) {
            ExpectText(footer, column);
            EXPECT_FALSE(footer.first.valid || footer.has_sum || head->Vector(c, 0).has_range);
          } else {
            ExpectFirstLast(footer, column, columns[0]);
          }
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(SegmentStatistics, NullTimesAndNoTime) {
  std::vector<OwnedColumn> columns;
  columns.push_back(MakeColumn(PhysicalType::kInt64, 3000, Shape::kHard, NullPattern::kFew));
  columns.push_back(
      MakeColumn(PhysicalType::kFloat64, 3000, Shape::kDistinct, NullPattern::kAlternating));
  columns.push_back(MakeColumn(PhysicalType::kInt32, 3000, Shape::kDistinct, NullPattern::kNone));
  const auto head = HeadOf(columns);
  ExpectFirstLast(head->columns()[0], columns[0], columns[0]);
  ExpectFirstLast(head->columns()[1], columns[1], columns[0]);
  // A row without a time is nobody's first or last.
  const auto without = HeadOf(columns, 0);
  for (const ColumnFooter &footer : without->columns())
    EXPECT_FALSE(footer.first.valid || footer.last.valid);
}

TEST(SegmentStatistics, DistinctNumbersAreEstimated) {
  for (uint32_t distinct : {1u, 2u, 100u, 5000u, 61440u}) {
    OwnedColumn integers, reals;
    integers.type = PhysicalType::kInt64;
    reals.type = PhysicalType::kFloat64;
    for (uint32_t row = 0; row < kMaxSegmentRows; row++) {
      integers.integers.push_back(int64_t{row % distinct} * 1000000);
      reals.doubles.push_back((row % distinct) / 10.0);
    }
    std::vector<OwnedColumn> columns = {integers, reals};
    const auto head = HeadOf(columns);
    for (const ColumnFooter &footer : head->columns())
      EXPECT_NEAR(footer.distinct_estimate, distinct, 0.03 * distinct);
  }
}

TEST(SegmentStatistics, SumsBeyond64Bits) {
  for (int64_t value : {INT64_MAX, INT64_MIN}) {
    OwnedColumn column;
    column.integers.assign(kMaxSegmentRows, value);
    std::vector<OwnedColumn> columns = {column};
    EXPECT_TRUE(HeadOf(columns)->columns()[0].integer_sum ==
                static_cast<__int128>(value) * kMaxSegmentRows);
  }
}

}  // namespace
}  // namespace tsext
