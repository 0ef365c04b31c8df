#pragma once

// Columns that own their values, for tests and benchmarks: made, written, read back and compared.

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tsext/bytes.hpp"
#include "tsext/column.hpp"
#include "tsext/segment.hpp"
#include "tsext/vector.hpp"

namespace tsext::test {

inline ByteView ViewOf(const std::string &text) noexcept {
  return {reinterpret_cast<const std::byte *>(text.data()), static_cast<uint32_t>(text.size())};
}

inline std::string TextOf(ByteView view) {
  return {reinterpret_cast<const char *>(view.data), view.size};
}

/// A column with its values; fill the vector that its type uses, then View().
struct OwnedColumn {
  PhysicalType type = PhysicalType::kInt64;
  uint32_t width = 0;
  std::vector<int64_t> integers;
  std::vector<double> doubles;
  std::vector<float> floats;
  std::vector<std::string> strings;
  std::vector<bool> nulls;  // empty = none

  // Derived by View().
  std::vector<ByteView> views;
  std::vector<uint64_t> null_words;

  uint32_t count() const noexcept {
    return static_cast<uint32_t>(IsInteger(type)                  ? integers.size()
                                 : type == PhysicalType::kFloat64 ? doubles.size()
                                 : type == PhysicalType::kFloat32 ? floats.size()
                                                                  : strings.size());
  }
  bool IsNull(uint32_t row) const noexcept { return !nulls.empty() && nulls[row]; }

  /// The column as a writer takes it; valid until it changes.
  ColumnView View() {
    ColumnView view;
    view.type = type;
    view.width = width;
    view.count = count();
    view.integers = integers;
    view.doubles = doubles;
    view.floats = floats;
    views.clear();
    for (const std::string &text : strings) views.push_back(ViewOf(text));
    // A NULL of a bytes class has no bytes.
    for (uint32_t row = 0; row < views.size(); row++)
      if (IsNull(row)) views[row] = {};
    view.bytes = views;
    if (!nulls.empty()) {
      null_words.assign((view.count + 63) / 64, 0);
      for (uint32_t row = 0; row < view.count; row++)
        if (nulls[row]) null_words[row / 64] |= uint64_t{1} << (row % 64);
      view.nulls = null_words.data();
    }
    return view;
  }

  /// Whether slot `row` of a decoded vector (the segment's row at) is this column's value.
  bool Matches(uint32_t at, const Vector &vector, uint32_t row) const {
    if (vector.IsNull(row) != IsNull(at)) return false;
    if (IsNull(at))
      return !IsBytes(type) || (vector.bytes[row].data == nullptr && vector.bytes[row].size == 0);
    if (IsInteger(type)) return vector.integers[row] == integers[at];
    if (type == PhysicalType::kFloat64)
      return std::bit_cast<uint64_t>(vector.doubles[row]) == std::bit_cast<uint64_t>(doubles[at]);
    if (type == PhysicalType::kFloat32)
      return std::bit_cast<uint32_t>(vector.floats[row]) == std::bit_cast<uint32_t>(floats[at]);
    return TextOf(vector.bytes[row]) == strings[at];
  }
};

/// PostgreSQL's on-disk bytes of a numeric (without the varlena header) from its decimal text,
/// "NaN", "Infinity" or "-Infinity".
inline std::string NumericBytes(const std::string &text) {
  const auto word = [](unsigned value) {
    const uint16_t stored = static_cast<uint16_t>(value);
    return std::string(reinterpret_cast<const char *>(&stored), 2);
  };
  if (text == "NaN") return word(0xC000);
  if (text == "Infinity") return word(0xD000);
  if (text == "-Infinity") return word(0xF000);
  const bool is_negative = text[0] == '-';
  std::string whole = text.substr(is_negative ? 1 : 0), fraction;
  if (const size_t point = whole.find('.'); point != std::string::npos) {
    fraction = whole.substr(point + 1);
    whole.resize(point);
  }
  const unsigned scale = static_cast<unsigned>(fraction.size());
  whole.insert(0, (4 - whole.size() % 4) % 4, '0');
  fraction.append((4 - fraction.size() % 4) % 4, '0');
  int weight = static_cast<int>(whole.size() / 4) - 1;
  std::vector<int> digits;
  const std::string all = whole + fraction;
  for (size_t i = 0; i < all.size(); i += 4) digits.push_back(std::stoi(all.substr(i, 4)));
  while (!digits.empty() && digits.back() == 0) digits.pop_back();
  while (!digits.empty() && digits.front() == 0) {
    digits.erase(digits.begin());
    weight--;
  }
  if (digits.empty()) weight = 0;
  const bool is_minus = is_negative && !digits.empty();
  std::string bytes;
  if (scale <= 63 && weight >= -64 && weight <= 63) {
    bytes = word(0x8000u | (is_minus ? 0x2000u : 0) | scale << 7 |
                 (static_cast<unsigned>(weight) & 0x7Fu));
  } else {
    bytes = word((is_minus ? 0x4000u : 0) | scale) + word(static_cast<unsigned>(weight) & 0xFFFFu);
  }
  for (int digit : digits) bytes += word(static_cast<unsigned>(digit));
  return bytes;
}

enum class NullPattern { kNone, kAll, kFew, kMost, kAlternating, kFirstHalf, kLeading };
inline constexpr NullPattern kNullPatterns[] = {
    NullPattern::kNone,        NullPattern::kAll,       NullPattern::kFew,    NullPattern::kMost,
    NullPattern::kAlternating, NullPattern::kFirstHalf, NullPattern::kLeading};

inline bool IsNullIn(NullPattern pattern, uint32_t row, uint32_t count) {
  switch (pattern) {
    case NullPattern::kNone:
      return false;
    case NullPattern::kAll:
      return true;
    case NullPattern::kFew:
      return row % 97 == 5;
    case NullPattern::kMost:
      return row % 97 != 5;
    case NullPattern::kAlternating:
      return row % 2 == 0;
    case NullPattern::kFirstHalf:
      return row < count / 2;
    case NullPattern::kLeading:
      return row == 0;
  }
  return false;
}

/// What the values of a column look like; each type has a meaning for each.
enum class Shape { kConstant, kFewDistinct, kDistinct, kHard };
inline constexpr Shape kShapes[] = {Shape::kConstant, Shape::kFewDistinct, Shape::kDistinct,
                                    Shape::kHard};

inline std::string RandomBytes(std::mt19937_64 &random, size_t size) {
  std::string bytes(size, '\0');
  for (char &byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

inline std::string MakeString(PhysicalType type, Shape shape, uint32_t row, uint32_t width,
                              std::mt19937_64 &random) {
  const uint32_t key = shape == Shape::kConstant      ? 7
                       : shape == Shape::kFewDistinct ? row % 13
                                                      : row;
  switch (type) {
    case PhysicalType::kNumeric: {
      if (shape != Shape::kHard) return NumericBytes(std::to_string(key * 37) + ".25");
      const char *const hard[] = {"NaN",  "Infinity", "-Infinity",  "0",           "0.000",
                                  "-1.5", "99999999", "0.00000001", "123456.7890", "-0.0001"};
      return NumericBytes(hard[random() % std::size(hard)]);
    }
    case PhysicalType::kUuid: {
      if (shape == Shape::kHard) return RandomBytes(random, width);
      std::string uuid = RandomBytes(random, width);
      if (shape != Shape::kDistinct) uuid.assign(width, static_cast<char>(key));
      if (shape == Shape::kDistinct)
        for (uint32_t i = 0; i < 6; i++) uuid[i] = static_cast<char>(key >> (8 * (5 - i) % 32));
      uuid[6] = static_cast<char>(0x70 | (uuid[6] & 0x0F));
      return uuid;
    }
    case PhysicalType::kFixed: {
      if (shape == Shape::kHard) return RandomBytes(random, width);
      std::string fixed = std::to_string(key);
      fixed.resize(width, '\0');
      return fixed;
    }
    default:
      if (shape == Shape::kHard) return RandomBytes(random, random() % 40);
      return "value number " + std::to_string(key) + (key % 5 == 0 ? std::string(70, 'x') : "");
  }
}

/// A column of `count` rows, the same for the same arguments on every machine.
inline OwnedColumn MakeColumn(PhysicalType type, uint32_t count, Shape shape, NullPattern pattern,
                              uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  OwnedColumn column;
  column.type = type;
  column.width = type == PhysicalType::kUuid ? 16 : type == PhysicalType::kFixed ? 12 : 0;
  for (uint32_t row = 0; row < count; row++) {
    const int64_t key = shape == Shape::kConstant      ? 1
                        : shape == Shape::kFewDistinct ? row % 3
                                                       : int64_t{row};
    const uint64_t bits = random();
    switch (type) {
      case PhysicalType::kBool:
        column.integers.push_back(shape == Shape::kHard ? static_cast<int64_t>(bits & 1) : key & 1);
        break;
      case PhysicalType::kInt8:
        column.integers.push_back(static_cast<int8_t>(shape == Shape::kHard ? bits : key));
        break;
      case PhysicalType::kInt16:
        column.integers.push_back(static_cast<int16_t>(shape == Shape::kHard ? bits : key));
        break;
      case PhysicalType::kInt32:
        column.integers.push_back(static_cast<int32_t>(shape == Shape::kHard ? bits : key));
        break;
      case PhysicalType::kInt64:
        column.integers.push_back(shape == Shape::kHard
                                      ? static_cast<int64_t>(row % 3 == 0   ? uint64_t{1} << 63
                                                             : row % 3 == 1 ? ~(uint64_t{1} << 63)
                                                                            : bits)
                                      : key * 1000);
        break;
      case PhysicalType::kFloat64: {
        const double hard[] = {std::nan(""), -0.0,   0.0, HUGE_VAL,
                               -HUGE_VAL,    5e-324, 1.5, std::bit_cast<double>(bits)};
        column.doubles.push_back(shape == Shape::kHard ? hard[bits % 8]
                                                       : static_cast<double>(key) / 10);
        break;
      }
      case PhysicalType::kFloat32:
        column.floats.push_back(shape == Shape::kHard
                                    ? std::bit_cast<float>(static_cast<uint32_t>(bits))
                                    : static_cast<float>(key) / 4);
        break;
      default:
        column.strings.push_back(MakeString(type, shape, row, column.width, random));
        break;
    }
    if (pattern != NullPattern::kNone) column.nulls.push_back(IsNullIn(pattern, row, count));
  }
  return column;
}

/// Writes the columns as attributes 1, 2, … of one segment.
inline Status Write(std::vector<OwnedColumn> &columns, Level level, int16_t time_attribute,
                    ByteBuffer &out) {
  std::vector<SegmentColumn> input_columns;
  for (OwnedColumn &column : columns)
    input_columns.push_back({static_cast<int16_t>(input_columns.size() + 1), column.View()});
  SegmentInput input;
  input.value_id = 4711;
  input.attribute_count = static_cast<int16_t>(columns.size());
  input.time_attribute = time_attribute;
  input.level = level;
  input.columns = input_columns;
  return WriteSegment(input, out);
}

/// The head of whole segment bytes.
inline Status ParseHead(ByteSpan segment, SegmentHead &head) {
  if (segment.size() < SegmentHead::kPrefixSize) return Status::Corrupt("shorter than a prefix");
  uint64_t size = 0;
  TSEXT_RETURN_IF_ERROR(SegmentHead::HeadSize(segment.first(SegmentHead::kPrefixSize), size));
  if (size > segment.size()) return Status::Corrupt("shorter than its head");
  return head.Parse(segment.first(size));
}

/// The bytes of one block; empty when the segment is too short for it.
inline ByteSpan BlockOf(ByteSpan segment, const ColumnFooter &footer) {
  if (footer.offset > segment.size() || footer.length > segment.size() - footer.offset) return {};
  return segment.subspan(footer.offset, footer.length);
}

}  // namespace tsext::test
