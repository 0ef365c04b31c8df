#include "tsext/time_bucket.hpp"

#include <algorithm>

namespace tsext {

namespace {

constexpr int64_t kMaxDay = int64_t{1} << 40;

constexpr int64_t FloorDivide(int64_t value, int64_t divisor) noexcept {
  return value / divisor - (value % divisor < 0 ? 1 : 0);
}

constexpr int64_t FloorModulo(int64_t value, int64_t divisor) noexcept {
  if (value >= 0 && value < divisor) return value;  // spares a division, which is all the cost
  const int64_t rest = value % divisor;
  return rest < 0 ? rest + divisor : rest;
}

/// A day of the calendar; the month counts from January of year 0.
struct CivilDay {
  int64_t month;
  int32_t day;  ///< 1..31
};

// Both conversions count from 1 March of year 0: February and its leap day end the year, so the
// days before each month follow one line, (153 * month + 2) / 5. A cycle of the calendar is 400
// years.
constexpr int64_t kDaysPerCycle = 146097;
constexpr int64_t kEpochDay = 730425;  // 2000-01-01, counted from 0000-03-01

constexpr int64_t DayOfCivil(CivilDay civil) noexcept {
  const int64_t march_month = civil.month - 2;
  const int64_t year = FloorDivide(march_month, 12);
  const int64_t cycle = FloorDivide(year, 400);
  const int64_t year_of_cycle = year - cycle * 400;
  const int64_t day_of_year = (153 * FloorModulo(march_month, 12) + 2) / 5 + civil.day - 1;
  return cycle * kDaysPerCycle + year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 +
         day_of_year - kEpochDay;
}

constexpr CivilDay CivilOfDay(int64_t day) noexcept {
  const int64_t march_day = day + kEpochDay;
  const int64_t cycle = FloorDivide(march_day, kDaysPerCycle);
  const int64_t day_of_cycle = march_day - cycle * kDaysPerCycle;
  // Take the leap days out: one in 1461 days, less one in 36,524, and the last day of the cycle.
  const int64_t year_of_cycle =
      (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36524 - day_of_cycle / 146096) / 365;
  const int64_t day_of_year =
      day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
  const int64_t march_month = (5 * day_of_year + 2) / 153;
  return {(cycle * 400 + year_of_cycle) * 12 + march_month + 2,
          static_cast<int32_t>(day_of_year - (153 * march_month + 2) / 5 + 1)};
}

static_assert(DayOfCivil({24'000, 1}) == 0);
static_assert(CivilOfDay(0).month == 24'000 && CivilOfDay(0).day == 1);

/// The day in `month` that answers to `day`: the last one where the month is too short.
int64_t DayInMonth(int64_t month, int32_t day) noexcept {
  const int64_t first = DayOfCivil({month, 1});
  const int64_t length = DayOfCivil({month + 1, 1}) - first;
  return first + std::min<int64_t>(day, length) - 1;
}

}  // namespace

int64_t BucketPhase(int64_t width, int64_t origin, int64_t offset) noexcept {
  const int64_t from_origin = FloorModulo(origin, width);
  const int64_t from_offset = FloorModulo(offset, width);
  // Their sum may exceed int64, so compare before adding.
  return from_origin >= width - from_offset ? from_origin - (width - from_offset)
                                            : from_origin + from_offset;
}

std::optional<int64_t> FixedBucket(int64_t time, int64_t width, int64_t phase) noexcept {
  int64_t into_bucket = FloorModulo(time, width) - phase;
  if (into_bucket < 0) into_bucket += width;
  int64_t start;
  if (__builtin_sub_overflow(time, into_bucket, &start)) return std::nullopt;
  return start;
}

std::optional<int64_t> MonthBucket(int64_t time, int32_t months, int64_t origin,
                                   int32_t origin_months, int64_t units_per_day) noexcept {
  const int64_t day = FloorDivide(time, units_per_day);
  const int64_t origin_day = FloorDivide(origin, units_per_day);
  if (day < -kMaxDay || day > kMaxDay || origin_day < -kMaxDay || origin_day > kMaxDay)
    return std::nullopt;
  const int64_t origin_time_of_day = FloorModulo(origin, units_per_day);
  const CivilDay origin_civil = CivilOfDay(origin_day);

  const int64_t phase = BucketPhase(months, origin_civil.month, origin_months);
  // Months are within +-2^37 here: nothing below overflows before the conversion back to units.
  int64_t month = *FixedBucket(CivilOfDay(day).month, months, phase);
  int64_t start_day = DayInMonth(month, origin_civil.day);
  const bool begins_later =
      start_day > day ||
      (start_day == day && origin_time_of_day > FloorModulo(time, units_per_day));
  if (begins_later) {
    month -= months;
    start_day = DayInMonth(month, origin_civil.day);
  }
  int64_t start;
  if (__builtin_mul_overflow(start_day, units_per_day, &start) ||
      __builtin_add_overflow(start, origin_time_of_day, &start))
    return std::nullopt;
  return start;
}

}  // namespace tsext
