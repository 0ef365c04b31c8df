#include "tsext/sort_key.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tsext {
namespace {

ByteView View(const std::string &text) {
  return {reinterpret_cast<const std::byte *>(text.data()), static_cast<uint32_t>(text.size())};
}

std::string Text(const SortKey &key) {
  return {reinterpret_cast<const char *>(key.view().data), key.view().size};
}

std::string KeyOf(const std::vector<std::string> &values) {
  SortKey key;
  for (const std::string &value : values) key.AppendBytes(View(value));
  return Text(key);
}

TEST(SortKey, IntegersAreInOrder) {
  const std::vector<int64_t> values = {INT64_MIN, INT64_MIN + 1, -256,          -1,       0,
                                       1,         255,           INT64_MAX - 1, INT64_MAX};
  std::string last;
  for (const int64_t value : values) {
    SortKey key;
    key.AppendOrdered(OrderedInteger(value));
    EXPECT_LT(last, Text(key)) << value;
    last = Text(key);
  }
}

TEST(SortKey, FloatsAreInPostgresOrder) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> values = {-infinity, -1e300, -1.5,  -5e-324,  0.0,
                                      5e-324,    1.5,    1e300, infinity, std::nan("")};
  for (size_t i = 1; i < values.size(); i++)
    EXPECT_LT(OrderedDouble(values[i - 1]), OrderedDouble(values[i])) << values[i];
  EXPECT_EQ(OrderedDouble(-0.0), OrderedDouble(0.0));
  EXPECT_EQ(OrderedDouble(-std::nan("")), OrderedDouble(std::nan("1")));
}

TEST(SortKey, BytesKeepTheirOrderAcrossColumns) {
  using std::string_literals::operator""s;
  const std::vector<std::vector<std::string>> values = {
      {"", "z"},  {"\0"s, "a"}, {"\0\0"s, "a"},   {"\0\1"s, "a"}, {"\1", ""},
      {"a", "a"}, {"a", "b"},   {"a\0"s, ""},     {"a\0b"s, ""},  {"a\1", ""},
      {"aa", ""}, {"b", ""},    {"\xff\xff", "a"}};
  for (size_t i = 1; i < values.size(); i++) EXPECT_LT(KeyOf(values[i - 1]), KeyOf(values[i])) << i;
}

TEST(SortKey, NullIsLast) {
  SortKey null;
  null.AppendNull();
  EXPECT_LT(KeyOf({"\xff\xff\xff"}), Text(null));
  SortKey number;
  number.AppendOrdered(OrderedInteger(INT64_MAX));
  EXPECT_LT(Text(number), Text(null));
}

TEST(SortKey, LongValuesAreCut) {
  const std::string longer(1000, 'x');
  EXPECT_EQ(KeyOf({longer}).size(), kSortKeyLimit);
  EXPECT_EQ(KeyOf({longer}), KeyOf({longer + "y"}));
  EXPECT_EQ(KeyOf({std::string(1000, '\0')}).size(), kSortKeyLimit);
}

TEST(SortKey, MayContain) {
  const std::string lo = KeyOf({"b", "m"}), hi = KeyOf({"d", "m"});
  const auto may = [&](const std::string &wanted) {
    return SortKeyMayContain(View(lo), View(hi), View(wanted));
  };
  EXPECT_FALSE(may(KeyOf({"a"})));
  EXPECT_TRUE(may(KeyOf({"b"})));  // a prefix: rows with b and n may follow
  EXPECT_FALSE(may(KeyOf({"b", "a"})));
  EXPECT_TRUE(may(KeyOf({"c", "z"})));
  EXPECT_TRUE(may(KeyOf({"d"})));
  EXPECT_FALSE(may(KeyOf({"d", "z"})));
  EXPECT_FALSE(may(KeyOf({"e"})));
  const std::string cut_hi = KeyOf({std::string(300, 'x')});
  EXPECT_TRUE(SortKeyMayContain(View(lo), View(cut_hi), View(KeyOf({std::string(400, 'x')}))));
}

}  // namespace
}  // namespace tsext
