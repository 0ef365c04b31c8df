#include "tsext/range_memo.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace tsext {
namespace {

constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();

TEST(RangeMemo, KnowsNothingAtFirst) {
  RangeMemo memo(std::pmr::get_default_resource());
  EXPECT_EQ(memo.Find(0), nullptr);
}

TEST(RangeMemo, GrowsARangeUpwards) {
  RangeMemo memo(std::pmr::get_default_resource());
  memo.Add(10, 1, false, kLeast);
  const RangeMemo::Range range = memo.Add(20, 1, false, kLeast);
  EXPECT_EQ(range.from, 10);
  EXPECT_EQ(range.to, 20);
  ASSERT_NE(memo.Find(15), nullptr);
  EXPECT_EQ(memo.Find(15)->word, 1);
  EXPECT_EQ(memo.Find(21), nullptr);
  EXPECT_EQ(memo.Find(9), nullptr);
}

TEST(RangeMemo, KeepsRangesApartAcrossBorders) {
  RangeMemo memo(std::pmr::get_default_resource());
  memo.Add(10, 1, false, kLeast);
  memo.Add(20, 1, false, 15);  // nothing is known between 10 and 15
  EXPECT_EQ(memo.Find(12), nullptr);
  memo.Add(30, 1, true, kLeast);  // NULL is another value
  EXPECT_EQ(memo.Find(25), nullptr);
  EXPECT_EQ(memo.size(), 3U);
}

TEST(RangeMemo, JoinsWhatItCovers) {
  RangeMemo memo(std::pmr::get_default_resource());
  for (int64_t value = 0; value < 100; value += 10) memo.Add(value, value / 50, false, kLeast);
  EXPECT_EQ(memo.size(), 2U);
  const RangeMemo::Range range = memo.Join({35, 45, 0, false});
  EXPECT_EQ(range.from, 0);
  EXPECT_EQ(range.to, 45);
  EXPECT_EQ(memo.size(), 2U);
  EXPECT_EQ(memo.Find(50)->word, 1);
  memo.Join({200, 300, 7, false});
  EXPECT_EQ(memo.Find(250)->word, 7);
}

TEST(RangeMemo, NeverAnswersWrongly) {
  std::mt19937_64 random(5);
  RangeMemo memo(std::pmr::get_default_resource());
  const auto function = [](int64_t value) { return (value < 0 ? value - 99 : value) / 100; };
  for (int i = 0; i < 20000; i++) {
    const auto value = static_cast<int64_t>(random() % 10000) - 5000;
    if (const RangeMemo::Range *known = memo.Find(value)) {
      ASSERT_EQ(known->word, function(value));
      continue;
    }
    memo.Add(value, function(value), false, kLeast);
    ASSERT_EQ(memo.Find(value)->word, function(value));
  }
  EXPECT_LT(memo.size(), 5000U);
}

}  // namespace
}  // namespace tsext
