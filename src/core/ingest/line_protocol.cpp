// The line protocol reader. One pass from left to right. The ends of names come from a bit mask of
// the next 64 bytes; ends of strings, and of series that are known, are searched sixteen bytes at a
// time. No byte outside the text is read.

#include "tsext/line_protocol.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <system_error>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace tsext {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr size_t kFirstParts = 32;  // tags or fields that there is room for at first

/// Bytes that end a step of the search through names, by bit.
enum ByteSet : uint8_t {
  kInName = 1,    // , = \ blank, control characters
  kInSeries = 2,  // \ blank, control characters
  kInString = 4,  // " and backslash
};

struct ByteTable {
  uint8_t sets[256] = {};
  constexpr ByteTable() {
    for (int c = 0; c <= ' '; c++) sets[c] = kInName | kInSeries;
    sets[0x7f] = kInName | kInSeries;
    sets[static_cast<int>('\\')] = kInName | kInSeries | kInString;
    sets[static_cast<int>(',')] = kInName;
    sets[static_cast<int>('=')] = kInName;
    sets[static_cast<int>('"')] = kInString;
  }
};
constexpr ByteTable kBytes;

#ifdef __SSE2__
template <ByteSet Set>
uint32_t Matches(const char *at) noexcept {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
  const auto equal = [bytes](char c) { return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)); };
  __m128i found = equal('\\');
  if constexpr (Set == kInString) {
    found = _mm_or_si128(found, equal('"'));
  } else {
    found = _mm_or_si128(found, equal(0x7f));
    found = _mm_or_si128(found, _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(' ')), bytes));
    if constexpr (Set == kInName) found = _mm_or_si128(found, _mm_or_si128(equal(','), equal('=')));
  }
  return static_cast<uint32_t>(_mm_movemask_epi8(found));
}
#endif

/// The first byte of the set, or `end`.
template <ByteSet Set>
const char *Find(const char *at, const char *end) noexcept {
#ifdef __SSE2__
  while (end - at >= 16) {
    const uint32_t matches = Matches<Set>(at);
    if (matches != 0) return at + std::countr_zero(matches);
    at += 16;
  }
#endif
  while (at < end && (kBytes.sets[static_cast<uint8_t>(*at)] & Set) == 0) at++;
  return at;
}

bool IsControl(char c) noexcept {
  return static_cast<uint8_t>(c) < ' ' || c == 0x7f;
}

bool IsDigit(char c) noexcept {
  return c >= '0' && c <= '9';
}

/// LF, CR LF, a CR at the end of the text, or the end itself.
bool IsLineEnd(const char *at, const char *end) noexcept {
  if (at == end || *at == '\n') return true;
  return *at == '\r' && (at + 1 == end || at[1] == '\n');
}

const char *FindNewline(const char *at, const char *end) noexcept {
  const void *found = at == end ? nullptr : std::memchr(at, '\n', static_cast<size_t>(end - at));
  return found == nullptr ? end : static_cast<const char *>(found);
}

std::string_view View(const char *from, const char *to) noexcept {
  return {from, static_cast<size_t>(to - from)};
}

/// Names are short: calling memcmp would cost more than comparing.
bool IsTime(std::string_view name) noexcept {
  return name.size() == 4 && std::memcmp(name.data(), "time", 4) == 0;
}

/// The first byte that is not UTF-8 or is NUL, or `end`.
const char *FindBadEncoding(const char *at, const char *end) noexcept {
  while (at < end) {
    if (end - at >= 8) {
      constexpr uint64_t kHigh = 0x8080808080808080, kOnes = 0x0101010101010101;
      uint64_t bytes;
      std::memcpy(&bytes, at, sizeof bytes);
      if (((bytes | (bytes - kOnes)) & kHigh) == 0) {
        at += 8;
        continue;
      }
    }
    const auto first = static_cast<uint8_t>(*at);
    if (first == 0) return at;
    if (first < 0x80) {
      at++;
      continue;
    }
    // The second byte's range keeps out overlong forms, surrogates and what is above U+10FFFF.
    int size;
    uint8_t low = 0x80, high = 0xbf;
    if (first >= 0xc2 && first <= 0xdf) {
      size = 2;
    } else if (first >= 0xe0 && first <= 0xef) {
      size = 3;
      if (first == 0xe0) low = 0xa0;
      if (first == 0xed) high = 0x9f;
    } else if (first >= 0xf0 && first <= 0xf4) {
      size = 4;
      if (first == 0xf0) low = 0x90;
      if (first == 0xf4) high = 0x8f;
    } else {
      return at;
    }
    if (end - at < size) return at;
    const auto second = static_cast<uint8_t>(at[1]);
    if (second < low || second > high) return at;
    for (int i = 2; i < size; i++)
      if ((static_cast<uint8_t>(at[i]) & 0xc0) != 0x80) return at;
    at += size;
  }
  return end;
}

/// False: plain ASCII without NUL.
bool MayBeBadEncoding(std::string_view text) noexcept {
  const char *at = text.data(), *end = at + text.size();
#ifdef __SSE2__
  __m128i bad = _mm_setzero_si128();
  for (; end - at >= 16; at += 16) {
    // Not positive as a signed byte: 0x80 and above, or 0.
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
    bad = _mm_or_si128(bad, _mm_cmplt_epi8(bytes, _mm_set1_epi8(1)));
  }
  if (_mm_movemask_epi8(bad) != 0) return true;
#endif
  for (; at < end; at++)
    if (static_cast<int8_t>(*at) < 1) return true;
  return false;
}

// ---------------------------------------------------------------------------------------------
// Numbers

constexpr double kPowersOfTen[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
constexpr uint64_t kExactMantissa = uint64_t{1} << 53;
constexpr int kSafeDigits = 19;  // of any decimal number that fits uint64

enum class NumberResult : uint8_t { kOk, kBad, kRange };

// Eight characters as a little-endian word, the first in its low byte.
constexpr bool kHasWords = std::endian::native == std::endian::little;
constexpr uint64_t kWordOfZeros = 0x3030303030303030;

uint64_t LoadWord(const char *at) noexcept {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

bool AreDigits(uint64_t word) noexcept {
  constexpr uint64_t kHigh = 0xf0f0f0f0f0f0f0f0, kSix = 0x0606060606060606;
  return (((word & kHigh) ^ kWordOfZeros) | (((word + kSix) & kHigh) ^ kWordOfZeros)) == 0;
}

/// The number that eight digits make: pairs, then fours, then all.
uint64_t ValueOfDigits(uint64_t word) noexcept {
  word -= kWordOfZeros;
  word = word * 10 + (word >> 8);
  constexpr uint64_t kPairs = 0x000000ff000000ff;
  constexpr uint64_t kFirst = 100 + (uint64_t{1'000'000} << 32);
  constexpr uint64_t kSecond = 1 + (uint64_t{10'000} << 32);
  return ((word & kPairs) * kFirst + ((word >> 16) & kPairs) * kSecond) >> 32;
}

/// Digits without leading zeros, in order, as far as they are sure to fit.
struct Digits {
  uint64_t value = 0;
  int64_t count = 0;  // significant ones
  bool any = false;

  const char *Read(const char *at, const char *end) noexcept {
    while (kHasWords && end - at >= 8 && count <= kSafeDigits - 8 && (value != 0 || *at != '0')) {
      const uint64_t word = LoadWord(at);
      if (!AreDigits(word)) break;
      value = value * 100'000'000 + ValueOfDigits(word);
      count += 8;
      at += 8;
      any = true;
    }
    for (; at < end && IsDigit(*at); at++) {
      any = true;
      if (value == 0 && *at == '0') continue;
      if (count < kSafeDigits) value = value * 10 + static_cast<uint64_t>(*at - '0');
      count++;
    }
    return at;
  }
};

NumberResult ReadUnsigned(const char *at, const char *end, uint64_t *value) noexcept {
  uint64_t result = 0;
  for (; at < end; at++) {
    if (__builtin_mul_overflow(result, uint64_t{10}, &result) ||
        __builtin_add_overflow(result, static_cast<uint64_t>(*at - '0'), &result))
      return NumberResult::kRange;
  }
  *value = result;
  return NumberResult::kOk;
}

/// The value of a float [start, end) of the right form, correctly rounded; `exponent` is of the
/// last digit.
NumberResult RoundFloat(const char *start, const char *end, const Digits &digits, int64_t exponent,
                        bool negative, double *value) noexcept {
  if (digits.count <= kSafeDigits && digits.value <= kExactMantissa && exponent >= -22 &&
      exponent <= 22) {
    auto magnitude = static_cast<double>(digits.value);
    if (exponent < 0)
      magnitude /= kPowersOfTen[-exponent];
    else
      magnitude *= kPowersOfTen[exponent];
    *value = negative ? -magnitude : magnitude;
    return NumberResult::kOk;
  }
  const auto result = std::from_chars(start, end, *value);
  if (result.ec == std::errc()) return NumberResult::kOk;
  // Out of range: below the least, or above the greatest.
  if (digits.count != 0 && exponent + digits.count > 0) return NumberResult::kRange;
  *value = negative ? -0.0 : 0.0;
  return NumberResult::kOk;
}

/// Reads an integer or a float without an exponent that fills `size` <= 8 bytes, of eight that may
/// be read. False, with nothing said about it: ReadNumber() has to look.
bool ReadShortNumber(const char *start, size_t size, LineField *field) noexcept {
  uint64_t word = LoadWord(start);
  const bool negative = *start == '-';
  word >>= negative ? 8 : 0;
  size -= negative ? 1 : 0;
  if (size == 0) return false;
  const bool is_integer = (word >> (8 * (size - 1)) & 0xff) == 'i';
  size -= is_integer ? 1 : 0;
  if (size == 0) return false;
  word &= ~uint64_t{0} >> (64 - 8 * size);
  constexpr uint64_t kOnes = 0x0101010101010101, kHighBits = 0x8080808080808080;
  const uint64_t difference = word ^ (kOnes * '.');
  const uint64_t points = (difference - kOnes) & ~difference & kHighBits;
  size_t fraction = 0;
  if (points != 0) {
    const auto before = static_cast<size_t>(std::countr_zero(points)) / 8;
    size--;
    if (is_integer || size == 0) return false;
    const uint64_t low = (uint64_t{1} << (8 * before)) - 1;
    word = (word & low) | (word >> 8 & ~low);
    fraction = size - before;
  }
  if (size < 8) word = word << (64 - 8 * size) | kWordOfZeros >> (8 * size);
  if (!AreDigits(word)) return false;
  const auto value = static_cast<int64_t>(ValueOfDigits(word));
  if (is_integer) {
    field->type = FieldType::kInt;
    field->int_value = negative ? -value : value;
    return true;
  }
  const double magnitude = static_cast<double>(value) / kPowersOfTen[fraction];
  field->type = FieldType::kFloat;
  field->float_value = negative ? -magnitude : magnitude;
  return true;
}

/// Reads a number with its type; *stop is set to the byte behind it or the one that is wrong.
NumberResult ReadNumber(const char *start, const char *end, const char **stop,
                        LineField *field) noexcept {
  const char *at = start;
  const bool negative = *at == '-';
  if (negative) at++;
  const char *const first_digit = at;
  Digits digits;
  at = digits.Read(at, end);
  *stop = at;
  if (digits.any && at < end && *at == 'i') {
    *stop = at + 1;
    field->type = FieldType::kInt;
    constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
    if (digits.count > kSafeDigits || digits.value > kMost + (negative ? 1 : 0))
      return NumberResult::kRange;
    field->int_value = static_cast<int64_t>(negative ? 0 - digits.value : digits.value);
    return NumberResult::kOk;
  }
  if (digits.any && at < end && *at == 'u') {
    if (negative) return NumberResult::kBad;
    *stop = at + 1;
    field->type = FieldType::kUint;
    field->uint_value = digits.value;
    return digits.count <= kSafeDigits ? NumberResult::kOk
                                       : ReadUnsigned(first_digit, at, &field->uint_value);
  }
  field->type = FieldType::kFloat;
  int64_t exponent = 0;
  if (at < end && *at == '.') {
    const char *fraction = at + 1;
    at = digits.Read(fraction, end);
    exponent = fraction - at;
  }
  *stop = at;
  if (!digits.any) return NumberResult::kBad;
  if (at < end && (*at == 'e' || *at == 'E')) {
    at++;
    const bool is_small = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at++;
    Digits power;
    at = power.Read(at, end);
    *stop = at;
    if (!power.any) return NumberResult::kBad;
    // More would overflow below; it is out of range anyway, or the number is 0.
    const auto by =
        static_cast<int64_t>(power.count > 9 ? uint64_t{1'000'000'000'000} : power.value);
    exponent += is_small ? -by : by;
  }
  *stop = at;
  if (digits.value == 0) {
    field->float_value = negative ? -0.0 : 0.0;
    return NumberResult::kOk;
  }
  return RoundFloat(start, at, digits, exponent, negative, &field->float_value);
}

/// The length of a truth value at `at`, 0 when there is none; *value is set.
size_t ReadBool(const char *at, const char *end, bool *value) noexcept {
  *value = *at == 't' || *at == 'T';
  const auto left = static_cast<size_t>(end - at);
  const auto is = [&](std::string_view word) {
    return left >= word.size() && std::memcmp(at, word.data(), word.size()) == 0;
  };
  if (is("true") || is("True") || is("TRUE")) return 4;
  if (is("false") || is("False") || is("FALSE")) return 5;
  return 1;
}

size_t Unescape(std::string_view text, char *to, std::string_view escaped) noexcept {
  size_t size = 0;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == '\\' && i + 1 < text.size() &&
        escaped.find(text[i + 1]) != std::string_view::npos)
      i++;
    to[size++] = text[i];
  }
  return size;
}

/// The end of "measurement,tags": the first blank or control character without a backslash.
const char *FindSeriesEnd(const char *at, const char *end) noexcept {
  for (;;) {
    at = Find<kInSeries>(at, end);
    if (at == end || *at != '\\') return at;
    at++;
    if (at < end && *at == ' ') at++;
  }
}

/// The quote that closes a string, or `end`.
const char *FindStringEnd(const char *at, const char *end, bool *has_escapes) noexcept {
  for (;;) {
    at = Find<kInString>(at, end);
    if (at == end || *at == '"') return at;
    *has_escapes = true;
    at++;
    if (at < end && (*at == '"' || *at == '\\')) at++;
  }
}

}  // namespace

bool ParseTimePrecision(std::string_view name, TimePrecision *precision) noexcept {
  struct Spelling {
    std::string_view name;
    TimePrecision precision;
  };
  static constexpr Spelling kSpellings[] = {
      {"n", TimePrecision::kNanosecond},
      {"ns", TimePrecision::kNanosecond},
      {"u", TimePrecision::kMicrosecond},
      {"us", TimePrecision::kMicrosecond},
      {"\xc2\xb5", TimePrecision::kMicrosecond},
      {"\xc2\xb5s", TimePrecision::kMicrosecond},
      {"\xce\xbc", TimePrecision::kMicrosecond},
      {"\xce\xbcs", TimePrecision::kMicrosecond},
      {"ms", TimePrecision::kMillisecond},
      {"s", TimePrecision::kSecond},
      {"m", TimePrecision::kMinute},
      {"h", TimePrecision::kHour},
  };
  for (const Spelling &spelling : kSpellings) {
    if (spelling.name != name) continue;
    *precision = spelling.precision;
    return true;
  }
  return false;
}

int64_t NanosecondsIn(TimePrecision precision) noexcept {
  static constexpr int64_t kUnits[] = {1,         1'000,          1'000'000,
                                       kSecondNs, 60 * kSecondNs, 3600 * kSecondNs};
  return kUnits[static_cast<size_t>(precision)];
}

int64_t TruncateTime(int64_t time_ns, TimePrecision precision) noexcept {
  const int64_t unit = NanosecondsIn(precision);
  int64_t rest = time_ns % unit;
  if (rest < 0) rest += unit;
  int64_t result;
  return __builtin_sub_overflow(time_ns, rest, &result) ? time_ns : result;
}

const char *LineErrorName(LineError error) noexcept {
  static constexpr const char *kNames[] = {"",         "syntax",        "range",
                                           "encoding", "duplicate_tag", "reserved"};
  return kNames[static_cast<size_t>(error)];
}

// ---------------------------------------------------------------------------------------------
// Ends of names

uint64_t LineReader::NameMask(const char *at) noexcept {
  uint64_t mask = 0;
#ifdef __SSE2__
  for (int i = 0; i < 4; i++) mask |= uint64_t{Matches<kInName>(at + 16 * i)} << (16 * i);
#else
  for (int i = 0; i < 64; i++)
    mask |= uint64_t{(kBytes.sets[static_cast<uint8_t>(at[i])] & kInName) != 0} << i;
#endif
  return mask;
}

/// The first , = \ blank or control character, or the end of the text.
inline const char *LineReader::FindInName(const char *at) noexcept {
  for (;;) {
    const auto offset = static_cast<size_t>(at - block_);  // huge when `at` is before it
    if (offset < 64) {
      const uint64_t mask = block_mask_ >> offset;
      if (mask != 0) return at + std::countr_zero(mask);
      at = block_ + 64;
    }
    if (at >= end_) return end_;
    block_ = at;
    if (end_ - at >= 64) {
      block_mask_ = NameMask(at);
    } else {
      char tail[64] = {};
      std::memcpy(tail, at, static_cast<size_t>(end_ - at));
      block_mask_ = NameMask(tail);  // the zeros stand for the end
    }
  }
}

/// The end of a name: its first , = blank or control character without a backslash before it.
/// (A backslash shields only a comma, a blank or an equals sign.)
inline const char *LineReader::FindNameEnd(const char *at) noexcept {
  for (;;) {
    at = FindInName(at);
    if (at == end_ || *at != '\\') return at;
    at++;
    if (at < end_ && (*at == ',' || *at == '=' || *at == ' ')) at++;
  }
}

/// The same for a measurement, which an equals sign does not end.
inline const char *LineReader::FindMeasurementEnd(const char *at) noexcept {
  for (;;) {
    at = FindNameEnd(at);
    if (at == end_ || *at != '=') return at;
    at++;
  }
}

// ---------------------------------------------------------------------------------------------

/// Part of a line: where an error lies decides how the end of the line is found.
enum class LinePart : uint8_t { kSeries, kFields, kRest, kOpenString };

struct LineReader::Failure {
  LineError error = LineError::kNone;
  const char *message = nullptr;
  const char *at = nullptr;
  LinePart part = LinePart::kSeries;

  bool Set(LineError new_error, const char *new_message, const char *new_at,
           LinePart new_part) noexcept {
    error = new_error;
    message = new_message;
    at = new_at;
    part = new_part;
    return false;
  }
  bool Syntax(const char *new_message, const char *new_at, LinePart new_part) noexcept {
    return Set(LineError::kSyntax, new_message, new_at, new_part);
  }
};

void LineReader::Start(std::string_view text, TimePrecision precision,
                       SeriesLookup lookup) noexcept {
  begin_ = at_ = text.data();
  end_ = begin_ + text.size();
  block_ = end_;  // none yet: what is searched lies before it
  block_mask_ = 0;
  unit_ns_ = NanosecondsIn(precision);
  check_encoding_ = MayBeBadEncoding(text);
  lookup_ = lookup;
}

bool LineReader::Next(LinePoint *point) {
  // Blanks, empty lines and comments.
  for (;; at_++) {
    while (at_ < end_ && *at_ == ' ') at_++;
    if (at_ == end_) return false;
    if (*at_ == '#') at_ = FindNewline(at_, end_);
    if (at_ == end_) return false;
    if (*at_ == '\r' && IsLineEnd(at_, end_)) {
      if (++at_ == end_) return false;
    }
    if (*at_ != '\n') break;
  }

  const char *const start = at_;
  Failure failure;
  const bool is_good =
      ReadTags(point, &failure) && ReadFields(point, &failure) && ReadTime(point, &failure);
  if (!is_good) SkipBadLine(failure);
  const char *line_end = at_;  // at the end of the line now
  if (check_encoding_) {
    const char *bad = FindBadEncoding(start, line_end);
    if (bad != line_end && (is_good || bad <= failure.at))
      failure.Set(LineError::kEncoding, *bad == '\0' ? "NUL character" : "invalid UTF-8", bad,
                  LinePart::kRest);
  }
  if (at_ < end_ && *at_ == '\r') at_++;
  if (at_ < end_ && *at_ == '\n') at_++;
  while (!is_good && line_end > start && (line_end[-1] == '\r' || line_end[-1] == '\n')) line_end--;
  point->line = View(start, line_end);
  point->error = failure.error;
  if (failure.error != LineError::kNone) {
    point->message = failure.message;
    point->error_offset = static_cast<uint32_t>(failure.at - start);
  }
  return true;
}

bool LineReader::ReadTags(LinePoint *point, Failure *failure) {
  constexpr LinePart kPart = LinePart::kSeries;
  const char *const start = at_;
  point->known = nullptr;
  if (lookup_.find != nullptr) {
    const char *end = FindSeriesEnd(start, end_);
    point->series = View(start, end);
    point->known = lookup_.find(lookup_.context, point->series);
    if (point->known != nullptr) {
      point->tags = {};
      at_ = end;
      return true;
    }
  }
  const char *at = FindMeasurementEnd(start);
  if (at == start && *at == ',') return failure->Syntax("the measurement is missing", at, kPart);
  point->measurement = View(start, at);
  size_t count = 0;
  while (at < end_ && *at == ',') {
    const char *key = at + 1;
    at = FindNameEnd(key);
    if (at == end_ || *at != '=') {
      const bool is_control = at < end_ && IsControl(*at) && !IsLineEnd(at, end_);
      return failure->Syntax(is_control  ? "control character in a tag's key"
                             : at == key ? "a tag is missing after a comma"
                                         : "a tag has no value",
                             at, kPart);
    }
    if (at == key) return failure->Syntax("a tag has no key", at, kPart);
    const char *value = at + 1;
    const char *value_end = FindNameEnd(value);
    if (value_end < end_ && *value_end == '=')
      return failure->Syntax("unescaped equals sign in a tag's value", value_end, kPart);
    if (value_end == value) return failure->Syntax("a tag has no value", value, kPart);
    if (count == tags_.size()) {
      if (count == kMostLineParts)
        return failure->Set(LineError::kRange, "more tags than a line may have", key, kPart);
      tags_.resize(std::clamp(count * 2, kFirstParts, kMostLineParts));
    }
    tags_[count++] = {View(key, at), View(value, value_end)};
    at = value_end;
  }
  point->series = View(start, at);
  point->tags = {tags_.data(), count};
  at_ = at;
  if (at < end_ && *at != ' ' && !IsLineEnd(at, end_))
    return failure->Syntax("control character in the measurement or a tag", at, kPart);
  for (const LineTag &tag : point->tags)
    if (IsTime(tag.key))
      return failure->Set(LineError::kReserved, "a tag may not be named \"time\"", tag.key.data(),
                          kPart);
  if (count > 1) CheckDuplicateTags(point->tags, failure);
  return failure->error == LineError::kNone;
}

void LineReader::CheckDuplicateTags(std::span<const LineTag> tags, Failure *failure) {
  const auto report = [failure](std::string_view key) {
    if (failure->error == LineError::kNone || key.data() < failure->at)
      failure->Set(LineError::kDuplicateTag, "a tag is given twice", key.data(), LinePart::kSeries);
  };
  // What is escaped must be, so equal names are equal as sent.
  constexpr size_t kFew = 16;
  if (tags.size() <= kFew) {
    for (size_t i = 1; i < tags.size() && failure->error == LineError::kNone; i++)
      for (size_t j = 0; j < i; j++)
        if (tags[i].key == tags[j].key) report(tags[i].key);
    return;
  }
  order_.resize(tags.size());
  for (uint32_t i = 0; i < order_.size(); i++) order_[i] = i;
  std::sort(order_.begin(), order_.end(), [tags](uint32_t a, uint32_t b) {
    const int order = tags[a].key.compare(tags[b].key);
    return order != 0 ? order < 0 : a < b;
  });
  for (size_t i = 1; i < order_.size(); i++)
    if (tags[order_[i]].key == tags[order_[i - 1]].key) report(tags[order_[i]].key);
}

bool LineReader::ReadFields(LinePoint *point, Failure *failure) {
  constexpr LinePart kPart = LinePart::kFields;
  const char *at = at_;
  if (at < end_ && *at != ' ' && !IsLineEnd(at, end_))
    return failure->Syntax("control character in the measurement or a tag", at, LinePart::kSeries);
  while (at < end_ && *at == ' ') at++;
  if (IsLineEnd(at, end_)) return failure->Syntax("a line needs a field", at, kPart);
  size_t count = 0;
  for (;; at++) {
    const char *key = at;
    at = FindNameEnd(key);
    if (at == end_ || *at != '=') {
      const bool is_control = at < end_ && IsControl(*at) && !IsLineEnd(at, end_);
      return failure->Syntax(is_control  ? "control character in a field's key"
                             : at == key ? "a field is missing"
                                         : "a field has no value",
                             at, kPart);
    }
    if (at == key) return failure->Syntax("a field has no key", at, kPart);
    if (count == fields_.size()) {
      if (count == kMostLineParts)
        return failure->Set(LineError::kRange, "more fields than a line may have", key, kPart);
      fields_.resize(std::clamp(count * 2, kFirstParts, kMostLineParts));
    }
    LineField &field = fields_[count++];
    field.key = View(key, at);
    if (IsTime(field.key))
      return failure->Set(LineError::kReserved, "a field may not be named \"time\"", key, kPart);
    const char *const value = ++at;
    if (at == end_) return failure->Syntax("a field has no value", at, kPart);
    switch (*at) {
      case '"':
        field.type = FieldType::kString;
        field.has_escapes = false;
        at = FindStringEnd(at + 1, end_, &field.has_escapes);
        if (at == end_)
          return failure->Syntax("a string is not closed", value, LinePart::kOpenString);
        field.text = View(value + 1, at);
        at++;
        break;
      case 't':
      case 'T':
      case 'f':
      case 'F':
        field.type = FieldType::kBool;
        at += ReadBool(at, end_, &field.bool_value);
        break;
      case '-':
      case '.':
      case '0':
      case '1':
      case '2':
      case '3':
      case '4':
      case '5':
      case '6':
      case '7':
      case '8':
      case '9': {
        const char *const number_end = FindInName(value);
        const auto size = static_cast<size_t>(number_end - value);
        if (kHasWords && size <= 8 && end_ - value >= 8 && ReadShortNumber(value, size, &field)) {
          at = number_end;
          break;
        }
        const NumberResult result = ReadNumber(value, end_, &at, &field);
        if (result == NumberResult::kBad)
          return failure->Syntax("a field's value is not a number", at, kPart);
        // A number that goes on with something else is none.
        if (result == NumberResult::kRange &&
            (at == end_ || *at == ',' || *at == ' ' || IsLineEnd(at, end_)))
          return failure->Set(LineError::kRange, "a field's value is out of its type's range",
                              value, kPart);
        break;
      }
      case ',':
      case ' ':
        return failure->Syntax("a field has no value", at, kPart);
      default:
        return failure->Syntax(
            IsLineEnd(at, end_) ? "a field has no value" : "a field's value is of no known form",
            at, kPart);
    }
    if (at == end_ || *at != ',') break;
  }
  if (at < end_ && *at != ' ' && !IsLineEnd(at, end_))
    return failure->Syntax("unexpected character after a field's value", at, kPart);
  point->fields = {fields_.data(), count};
  at_ = at;
  return true;
}

bool LineReader::ReadTime(LinePoint *point, Failure *failure) noexcept {
  constexpr LinePart kPart = LinePart::kRest;
  const char *at = at_;
  while (at < end_ && *at == ' ') at++;
  point->has_time = !IsLineEnd(at, end_);
  point->time_ns = 0;
  if (point->has_time) {
    const char *const start = at;
    const bool negative = *at == '-';
    if (negative) at++;
    Digits digits;
    at = digits.Read(at, end_);
    if (!digits.any) return failure->Syntax("the time is not an integer", at, kPart);
    const char *const digits_end = at;
    while (at < end_ && *at == ' ') at++;
    if (!IsLineEnd(at, end_)) {
      const bool is_more = at > digits_end;
      return failure->Syntax(
          is_more ? "unexpected text after the time" : "the time is not an integer", at, kPart);
    }
    constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
    if (digits.count > kSafeDigits || digits.value > kMost + (negative ? 1 : 0) ||
        __builtin_mul_overflow(static_cast<int64_t>(negative ? 0 - digits.value : digits.value),
                               unit_ns_, &point->time_ns))
      return failure->Set(LineError::kRange, "the time is out of range", start, kPart);
  }
  at_ = at;
  return true;
}

void LineReader::SkipBadLine(const Failure &failure) noexcept {
  const char *at = failure.at;
  switch (failure.part) {
    case LinePart::kOpenString:
      at_ = end_;
      return;
    case LinePart::kSeries:
      // Quotes mean nothing before the first blank. Other control characters do not end it here.
      for (;; at++) {
        at = FindSeriesEnd(at, end_);
        if (at == end_ || *at == ' ' || *at == '\n') break;
      }
      [[fallthrough]];
    case LinePart::kFields:
      // A quote right after an equals sign opens a string, which line ends belong to.
      for (; at < end_ && *at != '\n'; at++) {
        if (*at != '"' || at - begin_ < 2 || at[-1] != '=' || at[-2] == '\\') continue;
        bool has_escapes;
        at = FindStringEnd(at + 1, end_, &has_escapes);
        if (at == end_) break;
      }
      break;
    case LinePart::kRest:
      at = FindNewline(at, end_);
      break;
  }
  at_ = at;
}

int64_t LineNumberAt(std::string_view text, size_t offset) noexcept {
  return 1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(offset), '\n');
}

size_t UnescapeName(std::string_view name, char *to) noexcept {
  return Unescape(name, to, ",= ");
}

size_t UnescapeMeasurement(std::string_view name, char *to) noexcept {
  return Unescape(name, to, ", ");
}

size_t UnescapeString(std::string_view text, char *to) noexcept {
  return Unescape(text, to, "\"\\");
}

}  // namespace tsext
