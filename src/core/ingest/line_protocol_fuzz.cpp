// Reads any bytes. What is read well must be written again to the same point; series that are known
// must change nothing; lines must lie in the text, in order, and good ones must be UTF-8.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "tsext/line_protocol.hpp"

namespace {

using namespace tsext;

void Require(bool condition) {
  if (!condition) std::abort();
}

struct OwnField {
  std::string key, text;
  FieldType type;
  uint64_t bits;
  bool operator==(const OwnField &) const = default;
};

struct OwnPoint {
  std::string series, measurement;
  std::vector<std::pair<std::string, std::string>> tags;
  std::vector<OwnField> fields;
  bool has_time;
  int64_t time_ns;
  LineError error;
  uint32_t error_offset;
  std::string line;
};

template <typename Function>
std::string Plain(std::string_view raw, Function &&unescape) {
  std::string text(raw.size(), '\0');
  const size_t size = unescape(raw, text.data());
  Require(size <= raw.size());
  text.resize(size);
  return text;
}

OwnPoint Own(const LinePoint &point) {
  OwnPoint own{};
  own.line = point.line;
  own.error = point.error;
  if (point.error != LineError::kNone) {
    Require(point.message != nullptr && point.error_offset <= point.line.size() + 2);
    own.error_offset = point.error_offset;
    return own;
  }
  own.series = point.series;
  if (point.known == nullptr) {
    own.measurement = Plain(point.measurement, UnescapeMeasurement);
    for (const LineTag &tag : point.tags)
      own.tags.emplace_back(Plain(tag.key, UnescapeName), Plain(tag.value, UnescapeName));
  }
  for (const LineField &field : point.fields) {
    OwnField one{Plain(field.key, UnescapeName), "", field.type, 0};
    switch (field.type) {
      case FieldType::kString:
        one.text = Plain(field.text, UnescapeString);
        Require(field.has_escapes == (field.text.find('\\') != std::string_view::npos));
        break;
      case FieldType::kBool:
        one.bits = field.bool_value ? 1 : 0;
        break;
      case FieldType::kFloat:
        std::memcpy(&one.bits, &field.float_value, sizeof one.bits);
        Require(field.float_value - field.float_value == 0);
        break;
      case FieldType::kInt:
      case FieldType::kUint:
        one.bits = field.uint_value;
    }
    own.fields.push_back(one);
  }
  own.has_time = point.has_time;
  own.time_ns = point.time_ns;
  return own;
}

std::string Escape(const std::string &text, const char *special) {
  std::string escaped;
  for (const char c : text) {
    if (std::strchr(special, c) != nullptr) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string Write(const OwnPoint &point) {
  std::string line = Escape(point.measurement, ", ");
  for (const auto &[key, value] : point.tags)
    line.append(",").append(Escape(key, ",= ")).append("=").append(Escape(value, ",= "));
  char separator = ' ';
  for (const OwnField &field : point.fields) {
    line += separator;
    line.append(Escape(field.key, ",= ")).append("=");
    separator = ',';
    char number[64] = "";
    double value;
    std::memcpy(&value, &field.bits, sizeof value);
    switch (field.type) {
      case FieldType::kString:
        line.append("\"").append(Escape(field.text, "\"\\")).append("\"");
        break;
      case FieldType::kBool:
        line += field.bits != 0 ? "TRUE" : "f";
        break;
      case FieldType::kFloat:
        std::snprintf(number, sizeof number, "%.17g", value);
        break;
      case FieldType::kInt:
        std::snprintf(number, sizeof number, "%lldi", static_cast<long long>(field.bits));
        break;
      case FieldType::kUint:
        std::snprintf(number, sizeof number, "%lluu", static_cast<unsigned long long>(field.bits));
        break;
    }
    line += number;
  }
  if (point.has_time) line.append(" ").append(std::to_string(point.time_ns));
  return line;
}

std::vector<OwnPoint> ReadAll(std::string_view text, TimePrecision precision,
                              SeriesLookup lookup = {}) {
  LineReader reader(std::pmr::new_delete_resource());
  reader.Start(text, precision, lookup);
  std::vector<OwnPoint> points;
  LinePoint point;
  const char *end = text.data();
  while (reader.Next(&point)) {
    Require(!point.line.empty() || point.error != LineError::kNone);
    Require(point.line.data() >= end);
    end = point.line.data() + point.line.size();
    Require(end <= text.data() + text.size());
    points.push_back(Own(point));
  }
  Require(reader.position() == text.size());
  return points;
}

bool SameValues(const OwnPoint &a, const OwnPoint &b) {
  return a.error == b.error && a.fields == b.fields && a.has_time == b.has_time &&
         a.time_ns == b.time_ns;
}

void RequireSame(const std::vector<OwnPoint> &again, const OwnPoint &point) {
  Require(again.size() == 1 && SameValues(again[0], point));
  Require(again[0].measurement == point.measurement && again[0].tags == point.tags);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  const auto precision = static_cast<TimePrecision>(data[0] % 6);
  // A copy of its own: reading outside it is found.
  const std::vector<char> copy(data + 1, data + size);
  const std::string_view text(copy.data(), copy.size());
  const std::vector<OwnPoint> points = ReadAll(text, precision);

  std::set<std::string> known;
  for (const OwnPoint &point : points) {
    if (point.error != LineError::kNone) continue;
    Require(point.line.find('\0') == std::string::npos);
    known.insert(point.series);
    RequireSame(ReadAll(point.line, precision), point);
    RequireSame(ReadAll(Write(point), TimePrecision::kNanosecond), point);
  }

  SeriesLookup lookup;
  lookup.context = &known;
  lookup.find = [](void *context, std::string_view series) -> void * {
    auto *set = static_cast<std::set<std::string> *>(context);
    return set->count(std::string(series)) != 0 ? context : nullptr;
  };
  const std::vector<OwnPoint> second = ReadAll(text, precision, lookup);
  Require(second.size() == points.size());
  for (size_t i = 0; i < points.size(); i++) {
    Require(second[i].line == points[i].line && SameValues(second[i], points[i]));
    Require(second[i].error_offset == points[i].error_offset);
  }
  return 0;
}
