#include "tsext/group_table.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <map>
#include <random>
#include <string>

namespace tsext {
namespace {

TEST(GroupTable, NumbersKeysInOrderOfAppearance) {
  GroupTable table(2, std::pmr::get_default_resource());
  const std::array<int64_t, 2> a{1, 2};
  const std::array<int64_t, 2> b{2, 1};
  EXPECT_EQ(table.Find(a.data()), 0U);
  EXPECT_EQ(table.Find(b.data()), 1U);
  EXPECT_EQ(table.Find(a.data()), 0U);
  EXPECT_EQ(table.size(), 2U);
  EXPECT_EQ(table.Key(1)[0], 2);
  EXPECT_EQ(table.Key(1)[1], 1);
}

TEST(GroupTable, HasOneKeyWithoutWords) {
  GroupTable table(0, std::pmr::get_default_resource());
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(table.Find(nullptr), 0U);
  EXPECT_EQ(table.Find(nullptr), 0U);
  EXPECT_EQ(table.size(), 1U);
}

TEST(GroupTable, AgreesWithAMap) {
  std::mt19937_64 random(7);
  GroupTable table(3, std::pmr::get_default_resource());
  std::map<std::array<int64_t, 3>, uint32_t> expected;
  for (int i = 0; i < 50000; i++) {
    const std::array<int64_t, 3> key{static_cast<int64_t>(random() % 40) << 40,
                                     static_cast<int64_t>(random() % 30),
                                     -static_cast<int64_t>(random() % 20)};
    const auto number = static_cast<uint32_t>(expected.size());
    const uint32_t wanted = expected.try_emplace(key, number).first->second;
    ASSERT_EQ(table.Find(key.data()), wanted);
  }
  EXPECT_EQ(table.size(), expected.size());
  for (const auto &[key, number] : expected)
    EXPECT_EQ(std::memcmp(table.Key(number), key.data(), sizeof key), 0);
}

TEST(GroupTable, StartsAgainAfterClear) {
  GroupTable table(1, std::pmr::get_default_resource());
  for (int64_t key = 0; key < 1000; key++) table.Find(&key);
  table.Clear();
  EXPECT_EQ(table.size(), 0U);
  const int64_t key = 999;
  EXPECT_EQ(table.Find(&key), 0U);
  const int64_t other = 0;
  EXPECT_EQ(table.Find(&other), 1U);
}

TEST(BytesTable, NumbersDistinctStringsAndKeepsThem) {
  BytesTable table(std::pmr::get_default_resource());
  std::map<std::string, uint32_t> expected;
  for (int i = 0; i < 20000; i++) {
    // Lengths 0 .. 20, zero bytes at the end among them.
    std::string value = std::to_string(i * 7919 % 5000);
    value.append(static_cast<size_t>(i % 3), '\0');
    if (i % 500 == 0) value.clear();
    const auto number = static_cast<uint32_t>(expected.size());
    const uint32_t wanted = expected.try_emplace(value, number).first->second;
    const ByteView view{reinterpret_cast<const std::byte *>(value.data()),
                        static_cast<uint32_t>(value.size())};
    ASSERT_EQ(table.Find(view), wanted);
  }
  ASSERT_EQ(table.size(), expected.size());
  for (const auto &[value, number] : expected) {
    const ByteView kept = table.Value(number);
    EXPECT_EQ(std::string(reinterpret_cast<const char *>(kept.data), kept.size), value);
  }
}

}  // namespace
}  // namespace tsext
