#pragma once

// Reading InfluxDB's line protocol:
//
//   measurement[,tag=value]... field=value[,field=value]... [time]
//
// A reader walks over a text and gives one point a line. Names and strings are views into the text,
// as sent: escapes are taken out on demand. Nothing is allocated for a point; the arrays of tags
// and fields are the reader's and grow to the widest line. The dialect is in README.md of src/core.

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <string_view>
#include <vector>

namespace tsext {

enum class TimePrecision : uint8_t {
  kNanosecond,
  kMicrosecond,
  kMillisecond,
  kSecond,
  kMinute,
  kHour
};

/// Reads n, ns, u, us, µ, µs, ms, s, m or h. False: it is none of them.
[[nodiscard]] bool ParseTimePrecision(std::string_view name, TimePrecision *precision) noexcept;
[[nodiscard]] int64_t NanosecondsIn(TimePrecision precision) noexcept;
/// The greatest multiple of the precision that is not after `time_ns`; kept in int64's range.
[[nodiscard]] int64_t TruncateTime(int64_t time_ns, TimePrecision precision) noexcept;

/// Tags of a line at most, and fields: far more than a table's columns. It bounds a reader's
/// memory.
inline constexpr size_t kMostLineParts = 4096;

/// Why a line is no point.
enum class LineError : uint8_t {
  kNone = 0,
  kSyntax,        ///< not of the form above, or a control character outside a string
  kRange,         ///< a number or time that its type cannot hold; too many tags or fields
  kEncoding,      ///< not UTF-8, or NUL
  kDuplicateTag,  ///< one tag key twice
  kReserved,      ///< a tag or field named "time"
};
/// syntax, range, encoding, duplicate_tag, reserved; "" for kNone.
[[nodiscard]] const char *LineErrorName(LineError error) noexcept;

/// A tag as sent; see UnescapeName().
struct LineTag {
  std::string_view key, value;
};

enum class FieldType : uint8_t { kFloat, kInt, kUint, kBool, kString };

/// A field. Its type says which member of the union holds the value.
struct LineField {
  std::string_view key;  ///< as sent; see UnescapeName()
  FieldType type;
  bool has_escapes;  ///< strings: there is a backslash in `text`
  union {
    double float_value;
    int64_t int_value;
    uint64_t uint_value;
    bool bool_value;
  };
  std::string_view text;  ///< strings: between the quotes, as sent; see UnescapeString()
};

/// A line. Views are good as long as the text, spans until the next point.
struct LinePoint {
  std::string_view line;          ///< without leading blanks and the end of the line
  std::string_view series;        ///< "measurement,tags" as sent; equal bytes are equal series
  std::string_view measurement;   ///< as sent; set only when `known` is not
  void *known;                    ///< what the reader's SeriesLookup said; tags are not read then
  std::span<const LineTag> tags;  ///< in the order sent
  std::span<const LineField> fields;  ///< in the order sent; of equal keys the last one counts
  bool has_time;
  int64_t time_ns;  ///< 0 without a time

  LineError error;        ///< not kNone: of the rest only `line` and what is below is set
  const char *message;    ///< of an error: lower case, no full stop
  uint32_t error_offset;  ///< of an error: its first byte in `line`
};

/// Asked for every series before its tags are read: not nullptr when it was read without error
/// before. Must not throw.
struct SeriesLookup {
  void *(*find)(void *context, std::string_view series) = nullptr;
  void *context = nullptr;
};

class LineReader {
 public:
  explicit LineReader(std::pmr::memory_resource *memory)
      : tags_(memory), fields_(memory), order_(memory) {}

  /// Starts on a text. `text` must stay where it is.
  void Start(std::string_view text, TimePrecision precision, SeriesLookup lookup = {}) noexcept;
  /// Reads the next line that is not blank or a comment; it may have an error. False: there is
  /// none. After an error reading goes on behind the line's end; an open quote takes the rest of
  /// the text. Throws std::bad_alloc only.
  [[nodiscard]] bool Next(LinePoint *point);
  /// Bytes read so far.
  [[nodiscard]] size_t position() const noexcept { return static_cast<size_t>(at_ - begin_); }

 private:
  struct Failure;
  bool ReadTags(LinePoint *point, Failure *failure);
  bool ReadFields(LinePoint *point, Failure *failure);
  bool ReadTime(LinePoint *point, Failure *failure) noexcept;
  void CheckDuplicateTags(std::span<const LineTag> tags, Failure *failure);
  void SkipBadLine(const Failure &failure) noexcept;
  const char *FindInName(const char *at) noexcept;
  const char *FindNameEnd(const char *at) noexcept;
  const char *FindMeasurementEnd(const char *at) noexcept;
  static uint64_t NameMask(const char *at) noexcept;

  const char *begin_ = nullptr, *at_ = nullptr, *end_ = nullptr;
  const char *block_ = nullptr;  // 64 bytes, with a bit for each that may end a name
  uint64_t block_mask_ = 0;
  int64_t unit_ns_ = 1;
  bool check_encoding_ = false;
  SeriesLookup lookup_;
  std::pmr::vector<LineTag> tags_;
  std::pmr::vector<LineField> fields_;
  std::pmr::vector<uint32_t> order_;
};

/// Number of the line, counted from 1, that `offset` lies in; line ends in strings count too.
[[nodiscard]] int64_t LineNumberAt(std::string_view text, size_t offset) noexcept;

/// Measurements, tag keys and values, field keys: takes the backslash from \, \= and "\ " (for a
/// measurement \= stays). Writes at most name.size() bytes; returns how many.
[[nodiscard]] size_t UnescapeName(std::string_view name, char *to) noexcept;
[[nodiscard]] size_t UnescapeMeasurement(std::string_view name, char *to) noexcept;
/// Strings: takes the backslash from \" and \\ only.
[[nodiscard]] size_t UnescapeString(std::string_view text, char *to) noexcept;

}  // namespace tsext
