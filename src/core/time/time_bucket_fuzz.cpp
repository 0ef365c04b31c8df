#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "tsext/time_bucket.hpp"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

/// The same floor by the slow way, in 128 bits.
void CheckFixed(int64_t time, int64_t width, int64_t origin, int64_t offset) {
  const __int128 phase = tsext::BucketPhase(width, origin, offset);
  Require(phase >= 0 && phase < width);
  Require((static_cast<__int128>(origin) + offset - phase) % width == 0);
  __int128 expected = static_cast<__int128>(time) - phase;
  expected -= (expected % width + width) % width;
  expected += phase;
  const auto start = tsext::FixedBucket(time, width, static_cast<int64_t>(phase));
  Require(start.has_value() == (expected >= std::numeric_limits<int64_t>::min()));
  Require(!start.has_value() || *start == expected);
}

void CheckMonths(int64_t time, int32_t months, int64_t origin, int32_t origin_months,
                 int64_t units_per_day) {
  const auto start = tsext::MonthBucket(time, months, origin, origin_months, units_per_day);
  if (!start.has_value()) return;
  Require(*start <= time);
  const auto again = tsext::MonthBucket(*start, months, origin, origin_months, units_per_day);
  Require(!again.has_value() || *again == *start);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int64_t v[4];
  if (size < sizeof v) return 0;
  std::memcpy(v, data, sizeof v);
  if (v[1] > 0) CheckFixed(v[0], v[1], v[2], v[3]);
  const auto months = static_cast<int32_t>(v[1]);
  const auto origin_months = static_cast<int32_t>(v[3]);
  if (months > 0) {
    CheckMonths(v[0], months, v[2], origin_months, 1);
    CheckMonths(v[0], months, v[2], origin_months, 86'400'000'000);
  }
  return 0;
}
