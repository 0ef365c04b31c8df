#include "tsext/slice.hpp"

#include <algorithm>

#include "core/vector/test_vectors.hpp"

namespace tsext {
namespace {

using test::CompareReals;
using test::Draw;
using test::MakeSelection;
using test::MakeVector;
using test::RealAt;
using test::Thinning;

constexpr uint32_t kAll = kSummarySum | kSummaryMin | kSummaryMax;

class SliceTest : public test::LevelsTest {
 protected:
  /// Rows of the slice that count.
  static std::vector<uint32_t> Rows(const Vector *vector, const Slice &slice) {
    std::vector<uint32_t> rows;
    for (uint32_t row = slice.begin; row < slice.end; row++) {
      if (slice.selection != nullptr && !slice.selection->IsSelected(row)) continue;
      if (vector == nullptr || !vector->IsNull(row)) rows.push_back(row);
    }
    return rows;
  }

  /// Calls check(vector, slice) for many slices of vectors of a type.
  template <typename Check>
  void ForEachSlice(PhysicalType type, const Check &check) {
    for (const Draw draw : test::kDraws) {
      for (const Thinning nulls : test::kThinnings) {
        for (const Thinning deselected : test::kThinnings) {
          for (const uint32_t count : test::kCounts) {
            const auto vector = MakeVector(type, count, draw, nulls, random_);
            const Selection selection = MakeSelection(count, deselected, random_);
            for (int round = 0; round < 5; round++) {
              Slice slice;
              slice.begin = round == 0 ? 0 : test::Below(random_, count);
              slice.end =
                  round == 0 ? count
                  : round == 1
                      ? std::min(count, slice.begin + static_cast<uint32_t>(random_() % 20))
                      : slice.begin + static_cast<uint32_t>(random_() % (count - slice.begin + 1));
              if (deselected != Thinning::kNone || round % 2 == 0) slice.selection = &selection;
              SCOPED_TRACE(testing::Message()
                           << "draw " << int(draw) << " nulls " << int(nulls) << " deselected "
                           << int(deselected) << " rows " << slice.begin << " to " << slice.end);
              check(*vector, slice);
              if (HasFatalFailure()) return;
            }
          }
        }
      }
    }
  }
};

TEST_P(SliceTest, CountsAndFindsTheEnds) {
  ForEachSlice(PhysicalType::kInt64, [](const Vector &vector, const Slice &slice) {
    const std::vector<uint32_t> rows = Rows(nullptr, slice);
    const std::vector<uint32_t> values = Rows(&vector, slice);
    ASSERT_EQ(CountRows(slice), rows.size());
    ASSERT_EQ(CountValues(vector, slice), values.size());
    ASSERT_EQ(FirstRow(nullptr, slice), rows.empty() ? -1 : static_cast<int>(rows.front()));
    ASSERT_EQ(LastRow(nullptr, slice), rows.empty() ? -1 : static_cast<int>(rows.back()));
    ASSERT_EQ(FirstRow(&vector, slice), values.empty() ? -1 : static_cast<int>(values.front()));
    ASSERT_EQ(LastRow(&vector, slice), values.empty() ? -1 : static_cast<int>(values.back()));
  });
}

TEST_P(SliceTest, SummarizesIntegers) {
  ForEachSlice(PhysicalType::kInt64, [](const Vector &vector, const Slice &slice) {
    IntegerSummary expected;
    for (const uint32_t row : Rows(&vector, slice)) {
      const int64_t value = vector.integers[row];
      expected.min = expected.count == 0 ? value : std::min(expected.min, value);
      expected.max = expected.count == 0 ? value : std::max(expected.max, value);
      expected.sum += value;
      expected.count++;
    }
    for (uint32_t parts = 0; parts <= kAll; parts++) {
      const IntegerSummary found = SummarizeIntegers(vector, slice, parts);
      ASSERT_EQ(found.count, expected.count);
      // Without a value all is 0, wanted or not.
      const uint32_t checked = expected.count == 0 ? kAll : parts;
      EXPECT_TRUE((checked & kSummaryMin) == 0 || found.min == expected.min) << found.min;
      EXPECT_TRUE((checked & kSummaryMax) == 0 || found.max == expected.max) << found.max;
      EXPECT_TRUE((checked & kSummarySum) == 0 || found.sum == expected.sum) << expected.count;
      ASSERT_FALSE(HasFailure());
    }
  });
}

/// The sum of the same values in another order: equal but for rounding.
void ExpectSum(double found, double expected, double magnitude, size_t count) {
  if (std::isnan(expected) || std::isinf(expected)) {
    ASSERT_EQ(CompareReals(found, expected), 0) << found << " " << expected;
    return;
  }
  const double allowed = magnitude * static_cast<double>(count) * 2.3e-16;
  // The magnitude may overflow where the sum does not.
  ASSERT_TRUE(!std::isfinite(allowed) || std::abs(found - expected) <= allowed)
      << found << " " << expected;
}

TEST_P(SliceTest, SummarizesReals) {
  for (const PhysicalType type : {PhysicalType::kFloat64, PhysicalType::kFloat32}) {
    ForEachSlice(type, [](const Vector &vector, const Slice &slice) {
      const std::vector<uint32_t> rows = Rows(&vector, slice);
      RealSummary expected;
      double magnitude = 0;
      bool overflows = false;
      for (const uint32_t row : rows) {
        const double value = RealAt(vector, row);
        if (expected.count == 0) expected.min = expected.max = expected.sum = value;
        if (CompareReals(value, expected.min) < 0) expected.min = value;
        if (CompareReals(value, expected.max) > 0) expected.max = value;
        if (expected.count > 0) expected.sum += value;
        magnitude += std::abs(value);
        overflows = overflows || std::abs(value) > 1e300;
        expected.count++;
      }
      for (uint32_t parts = 0; parts <= kAll; parts++) {
        const RealSummary found = SummarizeReals(vector, slice, parts);
        ASSERT_EQ(found.count, expected.count);
        if (expected.count == 0) {
          ASSERT_EQ(found.min, 0);
          ASSERT_EQ(found.max, 0);
          ASSERT_EQ(found.sum, 0);
          continue;
        }
        ASSERT_TRUE((parts & kSummaryMin) == 0 || CompareReals(found.min, expected.min) == 0);
        ASSERT_TRUE((parts & kSummaryMax) == 0 || CompareReals(found.max, expected.max) == 0);
        // Near the largest double the order decides whether a sum overflows.
        if ((parts & kSummarySum) != 0 && (!overflows || std::isnan(magnitude))) {
          ASSERT_NO_FATAL_FAILURE(ExpectSum(found.sum, expected.sum, magnitude, rows.size()));
        }
      }
    });
  }
}

TEST_P(SliceTest, SumsNegativeZerosToNegativeZero) {
  auto vector = MakeVector(PhysicalType::kFloat64, 100, Draw::kFew, Thinning::kHalf, random_);
  std::fill_n(vector->doubles, kVectorSize, -0.0);
  for (const uint32_t end : {100U, 3U, 64U}) {
    for (const bool any_null : {false, true}) {
      vector->any_null = any_null;
      const RealSummary summary = SummarizeReals(*vector, {0, end, nullptr}, kSummarySum);
      EXPECT_EQ(summary.sum, 0);
      EXPECT_EQ(std::signbit(summary.sum), summary.count > 0);
    }
  }
}

TEST_P(SliceTest, SumsSquaredDistances) {
  for (const PhysicalType type : {PhysicalType::kFloat64, PhysicalType::kFloat32}) {
    for (const double center : {0.0, 0.3, -1e6}) {
      ForEachSlice(type, [&](const Vector &vector, const Slice &slice) {
        const std::vector<uint32_t> rows = Rows(&vector, slice);
        double expected = 0;
        for (const uint32_t row : rows) {
          const double distance = RealAt(vector, row) - center;
          expected += distance * distance;
        }
        const double found = SumSquaredDistances(vector, slice, center);
        ASSERT_NO_FATAL_FAILURE(ExpectSum(found, expected, expected, rows.size()));
      });
    }
  }
  auto vector = MakeVector(PhysicalType::kInt32, 10, Draw::kFew, Thinning::kNone, random_);
  for (int64_t i = 0; i < 10; i++) vector->integers[i] = i;
  EXPECT_EQ(SumSquaredDistances(*vector, {0, 10, nullptr}, 4.5), 82.5);
}

template <typename T>
void ExpectRuns(const std::vector<T> &keys, uint32_t rows, bool ascending) {
  std::vector<uint16_t> expected;
  for (uint32_t row = 0; row < rows; row++) {
    if (row == 0 || (ascending ? keys[row] < keys[row - 1] : keys[row] != keys[row - 1]))
      expected.push_back(static_cast<uint16_t>(row));
  }
  std::vector<uint16_t> begins(kVectorSize + 1, 0xFFFF);
  uint32_t count;
  if constexpr (sizeof(T) == 8) {
    count = ascending ? FindAscendingRuns(keys.data(), rows, begins.data())
                      : FindRuns(keys.data(), rows, begins.data());
  } else {
    count = FindRuns(keys.data(), rows, begins.data());
  }
  ASSERT_EQ(count, expected.size());
  expected.push_back(static_cast<uint16_t>(rows));
  begins.resize(count + 1);
  ASSERT_EQ(begins, expected);
}

TEST_P(SliceTest, FindsRuns) {
  for (uint32_t rows : test::kCounts) {
    for (const uint64_t one_in : {1, 2, 10, 100, 1000, 100000}) {
      // Exactly as long as it must be: a sanitizer sees reads past the end.
      std::vector<int64_t> integers(rows);
      std::vector<uint32_t> codes(rows);
      for (uint32_t row = 0; row < rows; row++) {
        const bool jump = row == 0 || random_() % one_in == 0;
        integers[row] = jump ? test::RandomInteger(Draw::kMixed, random_) : integers[row - 1];
        codes[row] = jump ? static_cast<uint32_t>(random_() >> (random_() % 64)) : codes[row - 1];
      }
      ASSERT_NO_FATAL_FAILURE(ExpectRuns(integers, rows, false));
      ASSERT_NO_FATAL_FAILURE(ExpectRuns(integers, rows, true));
      ASSERT_NO_FATAL_FAILURE(ExpectRuns(codes, rows, false));
      for (uint32_t row = 1; row < rows; row++)
        integers[row] =
            random_() % one_in == 0
                ? test::RandomInteger(Draw::kFew, random_)
                : static_cast<int64_t>(static_cast<uint64_t>(integers[row - 1]) + random_() % 3);
      ASSERT_NO_FATAL_FAILURE(ExpectRuns(integers, rows, true));
    }
  }
  uint16_t begins[1] = {7};
  EXPECT_EQ(FindRuns(static_cast<const uint32_t *>(nullptr), 0, begins), 0U);
  EXPECT_EQ(begins[0], 0);
}

TEST_P(SliceTest, MergesRuns) {
  for (int round = 0; round < 500; round++) {
    const uint32_t rows = 1 + test::Below(random_, kVectorSize);
    std::vector<uint16_t> lists[2];
    std::vector<uint16_t> expected;
    const uint64_t one_in[] = {1 + random_() % 20, 1 + random_() % 200};
    for (uint32_t row = 0; row < rows; row++) {
      bool any = false;
      for (int i = 0; i < 2; i++) {
        if (row != 0 && random_() % one_in[i] != 0) continue;
        lists[i].push_back(static_cast<uint16_t>(row));
        any = true;
      }
      if (any) expected.push_back(static_cast<uint16_t>(row));
    }
    const auto a_count = static_cast<uint32_t>(lists[0].size());
    const auto b_count = static_cast<uint32_t>(lists[1].size());
    for (std::vector<uint16_t> *list : {&lists[0], &lists[1], &expected})
      list->push_back(static_cast<uint16_t>(rows));
    std::vector<uint16_t> out(kVectorSize + 1);
    const uint32_t count =
        MergeRuns(lists[0].data(), a_count, lists[1].data(), b_count, out.data());
    out.resize(count + 1);
    ASSERT_EQ(out, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, SliceTest,
                         testing::Values(SimdLevel::kV1, SimdLevel::kV3, SimdLevel::kV4),
                         test::LevelName);

}  // namespace
}  // namespace tsext
