#include "tsext/time_bucket.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <random>

namespace tsext {

namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kDay = 86'400'000'000;

/// Day number by the standard library's calendar, to check ours against.
int64_t Day(int year, unsigned month, unsigned day) {
  const std::chrono::sys_days epoch{std::chrono::year{2000} / 1 / 1};
  const std::chrono::sys_days that{std::chrono::year{year} / static_cast<int>(month) /
                                   static_cast<int>(day)};
  return (that - epoch).count();
}

}  // namespace

TEST(BucketPhase, LiesInTheWidth) {
  EXPECT_EQ(BucketPhase(10, 0, 0), 0);
  EXPECT_EQ(BucketPhase(10, 13, 0), 3);
  EXPECT_EQ(BucketPhase(10, -13, 0), 7);
  EXPECT_EQ(BucketPhase(10, 7, 8), 5);
  EXPECT_EQ(BucketPhase(10, 7, 3), 0);
  EXPECT_EQ(BucketPhase(10, 7, -8), 9);
  EXPECT_EQ(BucketPhase(1, kMax, kMin), 0);
}

TEST(BucketPhase, SurvivesTheLimits) {
  EXPECT_EQ(BucketPhase(kMax, kMax - 1, kMax - 1), kMax - 2);
  EXPECT_EQ(BucketPhase(kMax, kMin, 0), kMax - 1);
  EXPECT_EQ(BucketPhase(kMax, kMin, kMin), kMax - 2);
}

TEST(FixedBucket, FloorsTowardsThePast) {
  EXPECT_EQ(FixedBucket(7, 5, 0), 5);
  EXPECT_EQ(FixedBucket(5, 5, 0), 5);
  EXPECT_EQ(FixedBucket(4, 5, 0), 0);
  EXPECT_EQ(FixedBucket(0, 5, 0), 0);
  EXPECT_EQ(FixedBucket(-1, 5, 0), -5);
  EXPECT_EQ(FixedBucket(-5, 5, 0), -5);
  EXPECT_EQ(FixedBucket(-6, 5, 0), -10);
}

TEST(FixedBucket, CountsFromThePhase) {
  EXPECT_EQ(FixedBucket(7, 5, 3), 3);
  EXPECT_EQ(FixedBucket(8, 5, 3), 8);
  EXPECT_EQ(FixedBucket(2, 5, 3), -2);
  EXPECT_EQ(FixedBucket(-3, 5, 3), -7);
}

TEST(FixedBucket, TellsWhenTheStartDoesNotFit) {
  EXPECT_EQ(FixedBucket(kMin, 1, 0), kMin);
  EXPECT_EQ(FixedBucket(kMin, 2, 0), kMin);
  EXPECT_EQ(FixedBucket(kMin, 2, 1), std::nullopt);
  EXPECT_EQ(FixedBucket(kMin, 10, 0), std::nullopt);
  EXPECT_EQ(FixedBucket(kMin + 7, 10, 0), std::nullopt);
  EXPECT_EQ(FixedBucket(kMin + 8, 10, 0), kMin + 8);
  EXPECT_EQ(FixedBucket(kMax, kMax, 0), kMax);
  EXPECT_EQ(FixedBucket(kMax, kMax, 1), 1);
  EXPECT_EQ(FixedBucket(kMax, 10, 0), kMax - 7);
}

TEST(MonthBucket, EveryDayOfTwoCyclesLikeTheStandardCalendar) {
  for (int64_t day = Day(-400, 1, 1); day < Day(401, 1, 1); day++) {
    const std::chrono::year_month_day civil{std::chrono::sys_days{std::chrono::year{2000} / 1 / 1} +
                                            std::chrono::days{static_cast<int>(day)}};
    const int year = static_cast<int>(civil.year());
    const auto month = static_cast<unsigned>(civil.month());
    ASSERT_EQ(MonthBucket(day, 1, 0, 0, 1), Day(year, month, 1)) << day;
    ASSERT_EQ(MonthBucket(day, 12, 0, 0, 1), Day(year, 1, 1)) << day;
    ASSERT_EQ(MonthBucket(day, 3, 0, 0, 1), Day(year, (month - 1) / 3 * 3 + 1, 1)) << day;
  }
}

TEST(MonthBucket, MicrosecondsBelongToTheirDay) {
  const int64_t march = Day(2024, 3, 1) * kDay;
  EXPECT_EQ(MonthBucket(march, 1, 0, 0, kDay), march);
  EXPECT_EQ(MonthBucket(march - 1, 1, 0, 0, kDay), Day(2024, 2, 1) * kDay);
  EXPECT_EQ(MonthBucket(-1, 12, 0, 0, kDay), Day(1999, 1, 1) * kDay);
}

TEST(MonthBucket, KeepsTheOriginsDayAndTimeOfDay) {
  const int64_t origin = Day(2020, 5, 15) * kDay + 3600;
  const int64_t start = Day(2024, 2, 15) * kDay + 3600;
  EXPECT_EQ(MonthBucket(start, 1, origin, 0, kDay), start);
  EXPECT_EQ(MonthBucket(start - 1, 1, origin, 0, kDay), Day(2024, 1, 15) * kDay + 3600);
  EXPECT_EQ(MonthBucket(start, 3, origin, 0, kDay), start);
  EXPECT_EQ(MonthBucket(start - 1, 3, origin, 0, kDay), Day(2023, 11, 15) * kDay + 3600);
}

TEST(MonthBucket, ShortMonthsBeginOnTheirLastDay) {
  const int64_t origin = Day(2000, 1, 31);
  EXPECT_EQ(MonthBucket(Day(2024, 2, 28), 1, origin, 0, 1), Day(2024, 1, 31));
  EXPECT_EQ(MonthBucket(Day(2024, 2, 29), 1, origin, 0, 1), Day(2024, 2, 29));
  EXPECT_EQ(MonthBucket(Day(2023, 2, 28), 1, origin, 0, 1), Day(2023, 2, 28));
  EXPECT_EQ(MonthBucket(Day(2023, 3, 30), 1, origin, 0, 1), Day(2023, 2, 28));
  EXPECT_EQ(MonthBucket(Day(2023, 3, 31), 1, origin, 0, 1), Day(2023, 3, 31));
  // Moved by a month the buckets begin on the last day still, not on the 28th.
  EXPECT_EQ(MonthBucket(Day(2023, 3, 30), 2, origin, 1, 1), Day(2023, 2, 28));
  EXPECT_EQ(MonthBucket(Day(2023, 4, 30), 2, origin, 1, 1), Day(2023, 4, 30));
}

TEST(MonthBucket, TellsWhenTheStartDoesNotFit) {
  EXPECT_EQ(MonthBucket(kMin, 1, 0, 0, kDay), std::nullopt);
  EXPECT_EQ(MonthBucket(kMin, 1, 0, 0, 1), std::nullopt);
  EXPECT_EQ(MonthBucket(0, 1, kMax, 0, 1), std::nullopt);
  EXPECT_TRUE(MonthBucket(kMax, 1, 0, 0, kDay).has_value());
  EXPECT_TRUE(MonthBucket(0, std::numeric_limits<int32_t>::max(), 1, 0, 1).has_value());
  EXPECT_LE(*MonthBucket(0, std::numeric_limits<int32_t>::max(), 1, 0, 1), 0);
}

TEST(MonthBucket, BucketsFollowOneAnother) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; i++) {
    const int64_t time = static_cast<int64_t>(random()) / 64;
    const int64_t origin = static_cast<int64_t>(random()) / 64;
    const auto months = static_cast<int32_t>(1 + random() % 100);
    const int64_t start = *MonthBucket(time, months, origin, 0, kDay);
    ASSERT_LE(start, time);
    ASSERT_GT(start, time - (months + 1) * 31 * kDay);
    ASSERT_EQ(*MonthBucket(start, months, origin, 0, kDay), start);
    const int64_t before = *MonthBucket(start - 1, months, origin, 0, kDay);
    ASSERT_LT(before, start);
    ASSERT_GT(before, start - (months + 1) * 31 * kDay);
  }
}

}  // namespace tsext
