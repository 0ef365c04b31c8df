#pragma once

// Bucketing of time: fixed widths and calendar months. Plain int64 arithmetic in the proleptic
// Gregorian calendar, day 0 is 2000-01-01; no time zones.

#include <cstdint>
#include <optional>

namespace tsext {

/// Where buckets of `width` begin when they are counted from `origin` and then moved by `offset`.
///
/// width: > 0; all three in the same unit, any values.
/// Returns a phase in [0, width): one begins at each phase + k * width. Never overflows.
[[nodiscard]] int64_t BucketPhase(int64_t width, int64_t origin, int64_t offset) noexcept;

/// Start of the bucket that holds `time`: the greatest phase + k * width <= time.
///
/// width > 0; phase as returned by BucketPhase() for this width.
/// Returns nothing when that start is below the least int64.
[[nodiscard]] std::optional<int64_t> FixedBucket(int64_t time, int64_t width,
                                                 int64_t phase) noexcept;

/// Start of the bucket of calendar months that holds `time`. Bucket k begins k * months after
/// `origin`: at the same day of the month and time of day; on the month's last day where the month
/// is too short.
///
/// months:        > 0.
/// origin_months: moves the origin's month, not its day: with origin 2000-01-31 and 1 the buckets
///                begin on the 31st still.
/// units_per_day: of `time`, `origin` and the result: 1 for dates, 86,400,000,000 for microseconds;
///                > 0.
/// Returns nothing when midnight of the start does not fit int64, or for days beyond +-2^40.
[[nodiscard]] std::optional<int64_t> MonthBucket(int64_t time, int32_t months, int64_t origin,
                                                 int32_t origin_months,
                                                 int64_t units_per_day) noexcept;

}  // namespace tsext
