#include "tsext/histogram.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace tsext {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kMaxDouble = std::numeric_limits<double>::max();

}  // namespace

TEST(HistogramBounds, RefusesWhatHasNoBuckets) {
  EXPECT_TRUE(CheckHistogramBounds({0, 1, 1}).ok());
  EXPECT_TRUE(CheckHistogramBounds({-kMaxDouble, kMaxDouble, kMaxHistogramBuckets}).ok());
  for (const HistogramBounds &bounds : {HistogramBounds{0, 1, 0},
                                        {0, 1, -1},
                                        {1, 1, 1},
                                        {2, 1, 1},
                                        {0.0, -0.0, 1},
                                        {kNaN, 1, 1},
                                        {0, kNaN, 1},
                                        {-kInfinity, 1, 1},
                                        {0, kInfinity, 1}})
    EXPECT_EQ(CheckHistogramBounds(bounds).code(), StatusCode::kInvalid);
  EXPECT_EQ(CheckHistogramBounds({0, 1, kMaxHistogramBuckets + 1}).code(), StatusCode::kTooLarge);
}

TEST(HistogramEntry, CountsBelowInsideAndAbove) {
  const HistogramBounds bounds{0, 10, 5};
  EXPECT_EQ(HistogramEntry(-kInfinity, bounds), 0U);
  EXPECT_EQ(HistogramEntry(-5e-324, bounds), 0U);
  EXPECT_EQ(HistogramEntry(-0.0, bounds), 1U);
  EXPECT_EQ(HistogramEntry(1.999, bounds), 1U);
  EXPECT_EQ(HistogramEntry(2, bounds), 2U);
  EXPECT_EQ(HistogramEntry(9.999, bounds), 5U);
  EXPECT_EQ(HistogramEntry(10, bounds), 6U);
  EXPECT_EQ(HistogramEntry(kInfinity, bounds), 6U);
  EXPECT_EQ(HistogramEntry(kNaN, bounds), 6U);
}

TEST(HistogramEntry, StaysInsideAtTheLimitsOfDouble) {
  const HistogramBounds widest{-kMaxDouble, kMaxDouble, 4};
  EXPECT_EQ(HistogramEntry(-kMaxDouble, widest), 1U);
  EXPECT_EQ(HistogramEntry(-1e300, widest), 2U);
  EXPECT_EQ(HistogramEntry(0, widest), 3U);
  EXPECT_EQ(HistogramEntry(std::nextafter(kMaxDouble, 0), widest), 4U);
  EXPECT_EQ(HistogramEntry(kMaxDouble, widest), 5U);
  const HistogramBounds many{0, 0.3, kMaxHistogramBuckets};
  EXPECT_EQ(HistogramEntry(std::nextafter(0.3, 0), many), 1'000'000U);
  const HistogramBounds narrowest{0, 5e-324, 3};
  EXPECT_EQ(HistogramEntry(0, narrowest), 1U);
  EXPECT_EQ(HistogramEntry(5e-324, narrowest), 4U);
}

TEST(MergeHistogram, AddsAndTellsOverflow) {
  std::vector<int64_t> into{1, 2, 3};
  ASSERT_TRUE(MergeHistogram(into, std::vector<int64_t>{10, 0, 1}).ok());
  EXPECT_EQ(into, (std::vector<int64_t>{11, 2, 4}));
  std::vector<int64_t> full{0, std::numeric_limits<int64_t>::max(), 0};
  EXPECT_EQ(MergeHistogram(full, std::vector<int64_t>{0, 1, 0}).code(), StatusCode::kTooLarge);
}

TEST(NarrowHistogram, TellsWhatDoesNotFit) {
  constexpr int64_t kGreatest = std::numeric_limits<int32_t>::max();
  std::vector<int32_t> out(3);
  ASSERT_TRUE(NarrowHistogram(std::vector<int64_t>{0, 7, kGreatest}, out).ok());
  EXPECT_EQ(out, (std::vector<int32_t>{0, 7, std::numeric_limits<int32_t>::max()}));
  EXPECT_EQ(NarrowHistogram(std::vector<int64_t>{0, 0, kGreatest + 1}, out).code(),
            StatusCode::kTooLarge);
}

TEST(Histogram, RoundTrip) {
  for (const int32_t buckets : {1, 2, 1023, kMaxHistogramBuckets}) {
    const HistogramBounds bounds{-0.5, 1e300, buckets};
    std::vector<int64_t> counts(HistogramEntries(bounds));
    std::iota(counts.begin(), counts.end(), 0);
    std::vector<std::byte> bytes(HistogramSize(bounds));
    WriteHistogram(bounds, counts, bytes);
    HistogramBounds bounds_read{};
    ASSERT_TRUE(ReadHistogramBounds(bytes, bounds_read).ok());
    EXPECT_EQ(bounds_read, bounds);
    std::vector<int64_t> counts_read(counts.size(), -1);
    ASSERT_TRUE(ReadHistogramCounts(bytes, counts_read).ok());
    EXPECT_EQ(counts_read, counts);
  }
}

TEST(Histogram, RefusesDamagedBytes) {
  const HistogramBounds bounds{0, 1, 2};
  std::vector<std::byte> bytes(HistogramSize(bounds));
  WriteHistogram(bounds, std::vector<int64_t>{1, 2, 3, 4}, bytes);
  HistogramBounds read{};
  for (size_t size = 0; size < bytes.size(); size++)
    EXPECT_EQ(ReadHistogramBounds({bytes.data(), size}, read).code(), StatusCode::kCorrupt);
  auto longer = bytes;
  longer.push_back({});
  EXPECT_EQ(ReadHistogramBounds(longer, read).code(), StatusCode::kCorrupt);
  auto other_count = bytes;
  other_count[16] = std::byte{3};
  EXPECT_EQ(ReadHistogramBounds(other_count, read).code(), StatusCode::kCorrupt);
  auto negative = bytes;
  negative.back() = std::byte{0xff};
  std::vector<int64_t> counts(4);
  ASSERT_TRUE(ReadHistogramBounds(negative, read).ok());
  EXPECT_EQ(ReadHistogramCounts(negative, counts).code(), StatusCode::kCorrupt);
}

}  // namespace tsext
