#include "tsext/series_table.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace tsext {
namespace {

ByteView View(const std::string &text) {
  return {reinterpret_cast<const std::byte *>(text.data()), static_cast<uint32_t>(text.size())};
}

std::string KeyText(const SeriesKey &key) {
  return {reinterpret_cast<const char *>(key.view().data), key.view().size};
}

TEST(SeriesKey, TellsValuesApart) {
  SeriesKey key(std::pmr::get_default_resource());
  std::set<std::string> seen;
  const auto finish = [&] {
    EXPECT_TRUE(seen.insert(KeyText(key)).second);
    key.Clear();
  };
  finish();  // no column at all
  key.AddNull();
  finish();
  key.AddBytes({});
  finish();
  key.AddInteger(0);
  finish();
  key.AddInteger(INT64_MIN);
  finish();
  key.AddBytes(View("a"));
  key.AddBytes(View("bc"));
  finish();
  key.AddBytes(View("ab"));
  key.AddBytes(View("c"));
  finish();
  key.AddBytes(View("abc"));
  key.AddNull();
  finish();
  key.AddNull();
  key.AddBytes(View("abc"));
  finish();
}

TEST(BestRow, ComparesKindsThenRanks) {
  BestRow best;
  EXPECT_FALSE(best.IsAsGoodAs(INT64_MIN));
  best.kind = BestRow::Kind::kNullLast;
  EXPECT_FALSE(best.IsAsGoodAs(INT64_MIN));
  best.kind = BestRow::Kind::kTimed;
  best.rank = 7;
  EXPECT_TRUE(best.IsAsGoodAs(7));
  EXPECT_FALSE(best.IsAsGoodAs(8));
  best.kind = BestRow::Kind::kNullFirst;
  EXPECT_TRUE(best.IsAsGoodAs(INT64_MAX));
  best.kind = BestRow::Kind::kUnwanted;
  EXPECT_TRUE(best.IsAsGoodAs(INT64_MAX));
}

TEST(SeriesTable, NumbersSeriesAsTheyCome) {
  SeriesTable table(std::pmr::get_default_resource());
  EXPECT_EQ(table.Lookup(View("a")), SeriesTable::kUnknown);
  for (int round = 0; round < 2; round++)
    for (uint32_t i = 0; i < 5000; i++) ASSERT_EQ(table.Find(View("host_" + std::to_string(i))), i);
  EXPECT_EQ(table.size(), 5000U);
  EXPECT_EQ(table.Lookup(View("host_4999")), 4999U);
  EXPECT_EQ(table.Lookup(View("host_5000")), SeriesTable::kUnknown);
  EXPECT_EQ(table.Find(View("")), 5000U);
  EXPECT_EQ(table.Lookup(View("")), 5000U);
}

TEST(SeriesTable, KeepsWhatWasFound) {
  SeriesTable table(std::pmr::get_default_resource());
  for (uint32_t i = 0; i < 1000; i++) table.best(table.Find(View(std::to_string(i)))).row = i;
  const size_t before = table.memory_bytes();
  ASSERT_TRUE(table.Halve());
  EXPECT_LT(table.memory_bytes(), before);
  EXPECT_GT(table.size(), 300U);
  EXPECT_LT(table.size(), 700U);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < 1000; i++) {
    const uint32_t number = table.Lookup(View(std::to_string(i)));
    EXPECT_EQ(number, table.Find(View(std::to_string(i))));
    if (number == SeriesTable::kOtherPass) continue;
    EXPECT_EQ(table.best(number).row, i);
    kept++;
  }
  EXPECT_EQ(kept, table.size());
}

/// Each series is met in exactly one pass, however often passes are halved.
TEST(SeriesTable, PassesCoverAllSeriesOnce) {
  SeriesTable table(std::pmr::get_default_resource());
  for (int repeat = 0; repeat < 2; repeat++) {
    std::map<uint32_t, int> met;
    int passes = 0;
    do {
      passes++;
      for (uint32_t i = 0; i < 3000; i++) {
        const std::string key = std::to_string(i);
        table.Find(View(key));
        while (table.size() > 100) ASSERT_TRUE(table.Halve());
      }
      for (uint32_t i = 0; i < 3000; i++)
        if (table.Lookup(View(std::to_string(i))) < table.size()) met[i]++;
    } while (table.NextPass());
    EXPECT_GE(passes, 30);
    EXPECT_EQ(met.size(), 3000U);
    for (const auto &[series, times] : met) EXPECT_EQ(times, 1) << series;
    table.Restart();
  }
}

TEST(SeriesTable, CannotBeHalvedForEver) {
  SeriesTable table(std::pmr::get_default_resource());
  int halvings = 0;
  while (table.Halve()) halvings++;
  EXPECT_EQ(halvings, 32);
}

}  // namespace
}  // namespace tsext
