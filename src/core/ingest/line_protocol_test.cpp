#include "tsext/line_protocol.hpp"

#include <gtest/gtest.h>

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <sstream>
#include <string>

namespace tsext {
namespace {

std::string Name(std::string_view raw) {
  std::string text(raw.size(), '\0');
  text.resize(UnescapeName(raw, text.data()));
  return text;
}

std::string Measurement(std::string_view raw) {
  std::string text(raw.size(), '\0');
  text.resize(UnescapeMeasurement(raw, text.data()));
  return text;
}

std::string String(std::string_view raw) {
  std::string text(raw.size(), '\0');
  text.resize(UnescapeString(raw, text.data()));
  return text;
}

std::string Value(const LineField &field) {
  char text[64];
  switch (field.type) {
    case FieldType::kFloat:
      std::snprintf(text, sizeof text, "float %.17g", field.float_value);
      return text;
    case FieldType::kInt:
      return std::string("int ").append(std::to_string(field.int_value));
    case FieldType::kUint:
      return std::string("uint ").append(std::to_string(field.uint_value));
    case FieldType::kBool:
      return field.bool_value ? "bool true" : "bool false";
    case FieldType::kString:
      return std::string("string ").append(field.has_escapes ? String(field.text) : field.text);
  }
  return "?";
}

/// A point in words: "m {tag=value} {field=type value} time", in the order of names.
std::string Words(const LinePoint &point) {
  std::map<std::string, std::string> tags, fields;
  for (const LineTag &tag : point.tags) tags[Name(tag.key)] = Name(tag.value);
  for (const LineField &field : point.fields) fields[Name(field.key)] = Value(field);
  std::string words = Measurement(point.measurement);
  for (const auto *part : {&tags, &fields}) {
    words += " {";
    for (const auto &[key, value] : *part) words += key + "=" + value + ";";
    words += "}";
  }
  return words + " " + (point.has_time ? std::to_string(point.time_ns) : "now");
}

/// Reads everything; errors as "error CLASS at OFFSET".
std::vector<std::string> ReadAll(std::string_view text,
                                 TimePrecision precision = TimePrecision::kNanosecond) {
  std::vector<std::string> all;
  LineReader reader(std::pmr::new_delete_resource());
  reader.Start(text, precision);
  LinePoint point;
  while (reader.Next(&point)) {
    if (point.error == LineError::kNone)
      all.push_back(Words(point));
    else
      all.push_back(std::string("error ") + LineErrorName(point.error) + " at " +
                    std::to_string(point.error_offset));
  }
  return all;
}

std::vector<std::string> Lines(std::initializer_list<std::string> lines) {
  return lines;
}

// ---------------------------------------------------------------------------------------------
// The cases of test/data/line_protocol_cases.tsv

/// Just enough JSON for that file.
struct Json {
  enum Kind { kNull, kBool, kNumber, kString, kArray, kObject } kind = kNull;
  std::string text;  // of strings and numbers, "true", "false"
  std::vector<Json> items;
  std::vector<std::string> keys;

  const Json *Find(const std::string &key) const {
    for (size_t i = 0; i < keys.size(); i++)
      if (keys[i] == key) return &items[i];
    return nullptr;
  }
};

class JsonReader {
 public:
  explicit JsonReader(const std::string &text) : text_(text) {}

  Json Read() {
    Json json;
    SkipBlanks();
    const char c = text_.at(at_);
    if (c == '"') {
      json.kind = Json::kString;
      json.text = ReadString();
    } else if (c == '[' || c == '{') {
      json.kind = c == '[' ? Json::kArray : Json::kObject;
      for (at_++;; at_++) {
        SkipBlanks();
        if (text_.at(at_) == ']' || text_.at(at_) == '}') break;
        if (c == '{') {
          json.keys.push_back(ReadString());
          SkipBlanks();
          EXPECT_EQ(text_.at(at_), ':');
          at_++;
        }
        json.items.push_back(Read());
        SkipBlanks();
        if (text_.at(at_) != ',') break;
      }
      at_++;
    } else {
      const size_t end = text_.find_first_of(",]} ", at_);
      json.text = text_.substr(at_, end - at_);
      at_ = end == std::string::npos ? text_.size() : end;
      json.kind = json.text == "null"                           ? Json::kNull
                  : json.text == "true" || json.text == "false" ? Json::kBool
                                                                : Json::kNumber;
    }
    return json;
  }

 private:
  void SkipBlanks() {
    while (at_ < text_.size() && text_[at_] == ' ') at_++;
  }
  std::string ReadString() {
    std::string result;
    for (at_++; text_.at(at_) != '"'; at_++) {
      if (text_[at_] != '\\') {
        result += text_[at_];
        continue;
      }
      switch (text_.at(++at_)) {
        case 'n':
          result += '\n';
          break;
        case 'r':
          result += '\r';
          break;
        case 't':
          result += '\t';
          break;
        case '"':
        case '\\':
          result += text_[at_];
          break;
        default:
          ADD_FAILURE() << "escape in the cases file that the test does not know";
      }
    }
    at_++;
    return result;
  }

  const std::string &text_;
  size_t at_ = 0;
};

std::string WordsOf(const Json &point) {
  std::string words = point.Find("measurement")->text;
  std::map<std::string, std::string> tags, fields;
  const Json &tag_list = *point.Find("tags"), &field_list = *point.Find("fields");
  for (size_t i = 0; i < tag_list.keys.size(); i++) tags[tag_list.keys[i]] = tag_list.items[i].text;
  for (size_t i = 0; i < field_list.keys.size(); i++) {
    const std::string type = field_list.items[i].items[0].text;
    std::string value = field_list.items[i].items[1].text;
    if (type == "float") {
      char text[64];
      std::snprintf(text, sizeof text, "%.17g", std::strtod(value.c_str(), nullptr));
      value = text;
    }
    fields[field_list.keys[i]] = type + " " + value;
  }
  for (const auto *part : {&tags, &fields}) {
    words += " {";
    for (const auto &[key, value] : *part) words += key + "=" + value + ";";
    words += "}";
  }
  const Json &time = *point.Find("time_ns");
  return words + " " + (time.kind == Json::kNull ? "now" : time.text);
}

std::string InputOf(const Json &input) {
  if (input.kind == Json::kString) return input.text;
  const std::string &hex = input.Find("hex")->text;
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

TEST(LineProtocol, Cases) {
  std::ifstream file("test/data/line_protocol_cases.tsv");
  ASSERT_TRUE(file.is_open());
  std::string line;
  int cases = 0;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#' || line.rfind("id\t", 0) == 0) continue;
    std::vector<std::string> columns;
    std::stringstream stream(line);
    for (std::string column; std::getline(stream, column, '\t');) columns.push_back(column);
    ASSERT_GE(columns.size(), 5U) << line;
    SCOPED_TRACE(columns[0]);
    cases++;
    TimePrecision precision;
    ASSERT_TRUE(ParseTimePrecision(columns[1], &precision));
    const std::string input = InputOf(JsonReader(columns[2]).Read());
    std::vector<std::string> points, errors, expected;
    for (const std::string &words : ReadAll(input, precision))
      (words.rfind("error ", 0) == 0 ? errors : points).push_back(words);
    for (const Json &point : JsonReader(columns[4]).Read().items)
      expected.push_back(WordsOf(point));
    EXPECT_EQ(points, expected);
    if (columns[3] == "ok") {
      EXPECT_TRUE(errors.empty());
      continue;
    }
    ASSERT_EQ(errors.size(), 1U);
    if (columns[3] == "partial") continue;
    const std::string error_class = columns[3].substr(columns[3].find(':') + 1);
    EXPECT_EQ(errors[0].substr(0, 6 + error_class.size() + 1), "error " + error_class + " ");
  }
  EXPECT_EQ(cases, 60);
}

TEST(LineProtocol, RealLines) {
  for (const auto &[name, count] : {std::pair("test/data/influx_metrics.lp", 1000U),
                                    std::pair("test/data/influx_prometheus.lp", 554U)}) {
    std::ifstream file(name);
    ASSERT_TRUE(file.is_open());
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    const std::vector<std::string> points = ReadAll(text);
    EXPECT_EQ(points.size(), count);
    for (const std::string &words : points) EXPECT_NE(words.substr(0, 6), "error ");
  }
}

// ---------------------------------------------------------------------------------------------

TEST(LineProtocol, Positions) {
  EXPECT_EQ(ReadAll("m x=1,y=abc 1"), Lines({"error syntax at 8"}));
  EXPECT_EQ(ReadAll("  m,=v x=1 1"), Lines({"error syntax at 2"}));
  EXPECT_EQ(ReadAll("m,a=1,b=2,a=3 x=1"), Lines({"error duplicate_tag at 10"}));
  EXPECT_EQ(ReadAll("m x=1 12y"), Lines({"error syntax at 8"}));
  EXPECT_EQ(ReadAll("m x=99999999999999999999i 1"), Lines({"error range at 4"}));
  EXPECT_EQ(ReadAll("m time=1"), Lines({"error reserved at 2"}));
  EXPECT_EQ(ReadAll("m x=1 1\nm,t=\xc3\x28 x=1"),
            Lines({"m {} {x=float 1;} 1", "error encoding at 4"}));
}

TEST(LineProtocol, GoesOnBehindBadLines) {
  const std::string good = "m {} {x=float 3;} 3";
  // What is in a string is no line, also when the line is bad already.
  EXPECT_EQ(ReadAll("m x=bad,s=\"a\nm x=9 9\n\" 2\nm x=3 3"), Lines({"error syntax at 4", good}));
  EXPECT_EQ(ReadAll("m,=v s=\"a\nm x=9 9\n\" 2\nm x=3 3"), Lines({"error syntax at 2", good}));
  // Quotes before the fields, or inside a value, open nothing.
  EXPECT_EQ(ReadAll("m,=v,t=\"a x=1\nm x=3 3"), Lines({"error syntax at 2", good}));
  EXPECT_EQ(ReadAll("m x=5\" 1\nm x=3 3"), Lines({"error syntax at 5", good}));
  EXPECT_EQ(ReadAll("m x=1 \"\nm x=3 3"), Lines({"error syntax at 6", good}));
  EXPECT_EQ(ReadAll("m\nm x=3 3"), Lines({"error syntax at 1", good}));
  EXPECT_EQ(ReadAll("m,t\r\nm x=3 3"), Lines({"error syntax at 3", good}));
  EXPECT_EQ(ReadAll("m,t=a\x01 x=1\nm x=3 3"), Lines({"error syntax at 5", good}));
  // An open string takes the rest.
  EXPECT_EQ(ReadAll("m x=3 3\nm s=\"a 1\nm x=4 4"), Lines({good, "error syntax at 4"}));
}

TEST(LineProtocol, LineEnds) {
  EXPECT_EQ(ReadAll(""), Lines({}));
  EXPECT_EQ(ReadAll("\r\n \n#\r\n # x"), Lines({}));
  EXPECT_EQ(ReadAll("m x=1\r"), Lines({"m {} {x=float 1;} now"}));
  EXPECT_EQ(ReadAll("m x=1 \r\nm x=2 2 \r\n").size(), 2U);
  EXPECT_EQ(ReadAll("m x=1\rm x=2"), Lines({"error syntax at 5"}));
}

TEST(LineProtocol, TheLineIsReportedWhole) {
  LineReader reader(std::pmr::new_delete_resource());
  LinePoint point;
  const std::string_view text = "  m x=1 1\r\n\nm x=bad,s=\"\n\" 5 \r\nm s=\"\n";
  reader.Start(text, TimePrecision::kNanosecond);
  ASSERT_TRUE(reader.Next(&point));
  EXPECT_EQ(point.line, "m x=1 1");
  EXPECT_EQ(LineNumberAt(text, static_cast<size_t>(point.line.data() - text.data())), 1);
  ASSERT_TRUE(reader.Next(&point));
  EXPECT_EQ(point.line, "m x=bad,s=\"\n\" 5 ");
  EXPECT_EQ(LineNumberAt(text, static_cast<size_t>(point.line.data() - text.data())), 3);
  ASSERT_TRUE(reader.Next(&point));
  EXPECT_EQ(point.line, "m s=\"");
  EXPECT_EQ(LineNumberAt(text, static_cast<size_t>(point.line.data() - text.data())), 5);
  EXPECT_FALSE(reader.Next(&point));
  EXPECT_EQ(reader.position(), text.size());
}

TEST(LineProtocol, Numbers) {
  const auto value = [](const std::string &number) {
    const auto all = ReadAll("m x=" + number + " 1");
    const std::string &words = all.at(0);
    if (words.rfind("error ", 0) == 0) return words.substr(6, words.find(" at ") - 6);
    return words.substr(8, words.find(";}") - 8);
  };
  EXPECT_EQ(value("-0"), "float -0");
  EXPECT_EQ(value("-0.0e5"), "float -0");
  EXPECT_EQ(value("-0i"), "int 0");
  EXPECT_EQ(value("0.1"), "float 0.10000000000000001");
  EXPECT_EQ(value("9007199254740993"), "float 9007199254740992");
  EXPECT_EQ(value("9007199254740993.00000000000000000000001"), "float 9007199254740994");
  EXPECT_EQ(value("1e+5"), "float 100000");
  EXPECT_EQ(value("5e-324"), "float 4.9406564584124654e-324");
  EXPECT_EQ(value("1e-400"), "float 0");
  EXPECT_EQ(value("-1e-99999999999"), "float -0");
  EXPECT_EQ(value("0e99999999999"), "float 0");
  EXPECT_EQ(value("1.7976931348623157e308"), "float 1.7976931348623157e+308");
  EXPECT_EQ(value("1.7976931348623159e308"), "range");
  EXPECT_EQ(value("0." + std::string(400, '0') + "1e400"), "float 0.10000000000000001");
  EXPECT_EQ(value(std::string(400, '9')), "range");
  EXPECT_EQ(value("-9223372036854775809i"), "range");
  EXPECT_EQ(value("000000000000000000000000000012i"), "int 12");
  EXPECT_EQ(value("18446744073709551616u"), "range");
  EXPECT_EQ(value("10000000000000000000u"), "uint 10000000000000000000");
  EXPECT_EQ(value("99999999999999999999999u"), "range");
  for (const char *bad :
       {"-",      ".",   "-.", "1e",  "1e-", "e5",  "1.5i", "1.5u", "-0u",  "--1",  "1..2",
        "1e400x", "Inf", "i",  "1 i", "0x1", "1_0", "t1",   "tr",   "fals", "truee"})
    EXPECT_EQ(value(bad), "syntax") << bad;
}

TEST(LineProtocol, Times) {
  const auto time = [](const std::string &text, TimePrecision precision) {
    const std::string words = ReadAll("m x=1 " + text, precision).at(0);
    return words.substr(words.find_last_of('}') + 1);
  };
  EXPECT_EQ(time("-9223372036854775808", TimePrecision::kNanosecond), " -9223372036854775808");
  EXPECT_EQ(time("2562047", TimePrecision::kHour), " 9223369200000000000");
  EXPECT_EQ(time("2562048", TimePrecision::kHour), "error range at 6");
  EXPECT_EQ(time("-153722868", TimePrecision::kMinute), "error range at 6");
  EXPECT_EQ(time("-", TimePrecision::kSecond), "error syntax at 7");
  EXPECT_EQ(TruncateTime(-1, TimePrecision::kSecond), -1'000'000'000);
  EXPECT_EQ(TruncateTime(1'999'999'999, TimePrecision::kSecond), 1'000'000'000);
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(TruncateTime(kLeast, TimePrecision::kHour), kLeast);
}

TEST(LineProtocol, Precisions) {
  TimePrecision precision;
  for (const auto &[name, unit] :
       {std::pair("n", 1LL), std::pair("ns", 1LL), std::pair("u", 1'000LL),
        std::pair("us", 1'000LL), std::pair("µ", 1'000LL), std::pair("µs", 1'000LL),
        std::pair("ms", 1'000'000LL), std::pair("s", 1'000'000'000LL),
        std::pair("m", 60'000'000'000LL), std::pair("h", 3'600'000'000'000LL)}) {
    ASSERT_TRUE(ParseTimePrecision(name, &precision)) << name;
    EXPECT_EQ(NanosecondsIn(precision), unit) << name;
  }
  for (const char *name : {"", "d", "NS", "ns ", "min"})
    EXPECT_FALSE(ParseTimePrecision(name, &precision)) << name;
}

TEST(LineProtocol, ManyTagsAndFields) {
  std::string line = "m", twice, fields;
  for (int i = 0; i < 3000; i++) line += ",t" + std::to_string(i) + "=" + std::to_string(i);
  twice = line + ",t1700=x";
  for (int i = 0; i < 3000; i++) fields += (i == 0 ? " f" : ",f") + std::to_string(i) + "=1i";
  LineReader reader(std::pmr::new_delete_resource());
  LinePoint point;
  const std::string text = line + fields + "\n" + twice + fields + "\nm x=1";
  reader.Start(text, TimePrecision::kNanosecond);
  ASSERT_TRUE(reader.Next(&point));
  EXPECT_EQ(point.error, LineError::kNone);
  EXPECT_EQ(point.tags.size(), 3000U);
  EXPECT_EQ(point.fields.size(), 3000U);
  EXPECT_EQ(point.fields[2999].key, "f2999");
  ASSERT_TRUE(reader.Next(&point));
  EXPECT_EQ(point.error, LineError::kDuplicateTag);
  EXPECT_EQ(point.error_offset, line.size() + 1);
  ASSERT_TRUE(reader.Next(&point));
  EXPECT_EQ(point.error, LineError::kNone);
  EXPECT_EQ(point.fields.size(), 1U);
}

TEST(LineProtocol, TooManyTagsOrFields) {
  for (const size_t count : {kMostLineParts, kMostLineParts + 1}) {
    std::string tags, fields;
    for (size_t i = 0; i < count; i++) {
      tags.append(",t").append(std::to_string(i)).append("=1");
      fields.append(i == 0 ? "f" : ",f").append(std::to_string(i)).append("=1");
    }
    const std::string good = "m {} {x=float 1;} now";
    const std::string expected = count > kMostLineParts ? "error range" : "m";
    for (const std::string &line : {"m" + tags + " x=1", "m " + fields}) {
      const std::vector<std::string> all = ReadAll(line + "\nm x=1");
      ASSERT_EQ(all.size(), 2U);
      EXPECT_EQ(all[0].substr(0, expected.size()), expected);
      EXPECT_EQ(all[1], good);
    }
  }
}

TEST(LineProtocol, KnownSeriesAreNotReadAgain) {
  struct Known {
    std::string series;
    int asked = 0;
  } known{"m,a=1,b=x\\ y"};
  SeriesLookup lookup;
  lookup.context = &known;
  lookup.find = [](void *context, std::string_view series) -> void * {
    auto *self = static_cast<Known *>(context);
    self->asked++;
    return series == self->series ? self : nullptr;
  };
  LineReader reader(std::pmr::new_delete_resource());
  LinePoint point;
  reader.Start("m,a=1,b=x\\ y v=1 5\nm,a=2 v=2 6\nm,a=1,b=x\\ y\nm,a=1,b=x\\ y v=3",
               TimePrecision::kNanosecond, lookup);
  ASSERT_TRUE(reader.Next(&point));
  EXPECT_EQ(point.known, &known);
  EXPECT_EQ(point.series, known.series);
  EXPECT_EQ(point.time_ns, 5);
  ASSERT_TRUE(reader.Next(&point));
  EXPECT_EQ(point.known, nullptr);
  EXPECT_EQ(point.series, "m,a=2");
  EXPECT_EQ(point.measurement, "m");
  ASSERT_TRUE(reader.Next(&point));
  EXPECT_EQ(point.error, LineError::kSyntax);
  ASSERT_TRUE(reader.Next(&point));
  EXPECT_EQ(point.known, &known);
  EXPECT_FALSE(reader.Next(&point));
  EXPECT_EQ(known.asked, 4);
}

TEST(LineProtocol, Encoding) {
  const auto is_good = [](const std::string &bytes) {
    return ReadAll("m s=\"" + bytes + "\" 1").at(0).rfind("error encoding", 0) != 0;
  };
  for (const char *good : {"\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(is_good(good));
  for (const char *bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2",
                          "\xc2"
                          "a",
                          "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe1\x80", "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"})
    EXPECT_FALSE(is_good(bad));
  EXPECT_FALSE(is_good(std::string(1, '\0')));
  EXPECT_FALSE(is_good(std::string(20, 'a') + '\0' + std::string(20, 'a')));
  EXPECT_EQ(ReadAll("m s=\"\t\x01\x7f\" 1").at(0), "m {} {s=string \t\x01\x7f;} 1");
}

/// Short numbers take another way than long ones, and both another near the end of the text.
TEST(LineProtocol, ShortNumbers) {
  uint64_t random = 1;
  const std::string characters = "0123456789.-iue5 ,=x";
  for (int round = 0; round < 50'000; round++) {
    std::string number;
    const auto size = static_cast<size_t>(1 + round % 9);
    for (size_t i = 0; i < size; i++) {
      random = random * 6364136223846793005 + 1442695040888963407;
      // Mostly digits, or few would be numbers.
      const size_t most = random >> 63 != 0 ? 11 : characters.size();
      number += characters[(random >> 33) % most];
    }
    // Behind eight zeros: the other way.
    const bool negative = number[0] == '-';
    const std::string digits = number.substr(negative ? 1 : 0);
    const std::string longer = (negative ? "-00000000" : "00000000") + digits;
    const size_t first_digit = !digits.empty() && digits[0] == '.' ? 1 : 0;
    if (digits.size() <= first_digit || std::isdigit(digits[first_digit]) == 0) continue;
    std::vector<std::string> expected = ReadAll("m x=" + longer + " 1");
    for (const char *tail : {"", "          "}) {
      std::vector<std::string> got = ReadAll("m x=" + number + " 1" + tail);
      ASSERT_EQ(got.size(), expected.size()) << number;
      const bool is_error = got[0].rfind("error ", 0) == 0;
      ASSERT_EQ(is_error, expected[0].rfind("error ", 0) == 0) << number;
      if (!is_error) {
        ASSERT_EQ(got, expected) << number;
      }
    }
  }
}

/// The loops over 16 bytes and over single ones find the same ends.
TEST(LineProtocol, AnyDistanceToTheEnd) {
  for (int size = 1; size < 70; size++) {
    const std::string name(static_cast<size_t>(size), 'n');
    const std::string expected =
        name + " {" + name + "=" + name + ";} {" + name + "=string " + name + ";} 7";
    const std::string line = name + "," + name + "=" + name + " " + name + "=\"" + name + "\" 7";
    for (int padding = 0; padding < 20; padding++) {
      const std::string text = line + std::string(static_cast<size_t>(padding), ' ');
      EXPECT_EQ(ReadAll(text), Lines({expected}));
      EXPECT_EQ(ReadAll(text + "\n" + line), Lines({expected, expected}));
    }
  }
}

}  // namespace
}  // namespace tsext
