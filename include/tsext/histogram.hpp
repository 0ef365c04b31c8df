#pragma once

// The state of the aggregate histogram(): counts of values in equal steps between two bounds.

#include <cstdint>
#include <span>

#include "tsext/bytes.hpp"
#include "tsext/status.hpp"

namespace tsext {

inline constexpr int32_t kMaxHistogramBuckets = 1'000'000;

/// `buckets` steps of equal width from `min` (included) to `max` (excluded).
struct HistogramBounds {
  double min;
  double max;
  int32_t buckets;

  bool operator==(const HistogramBounds &) const = default;
};

/// kInvalid unless both bounds are finite, min < max and buckets >= 1; kTooLarge above
/// kMaxHistogramBuckets.
Status CheckHistogramBounds(const HistogramBounds &bounds) noexcept;

/// Entries of a histogram: one for values below min, one a bucket, one for values from max on.
constexpr uint32_t HistogramEntries(const HistogramBounds &bounds) noexcept {
  return static_cast<uint32_t>(bounds.buckets) + 2;
}

/// The entry that counts `value`. NaN is greater than every number, as in PostgreSQL's order.
///
/// bounds: as accepted by CheckHistogramBounds().
[[nodiscard]] uint32_t HistogramEntry(double value, const HistogramBounds &bounds) noexcept;

/// Adds counts of one histogram to those of another of equal bounds. Commutative and associative.
///
/// into, from: of equal length.
/// Returns kTooLarge when a count exceeds int64; `into` is undefined then.
Status MergeHistogram(std::span<int64_t> into, std::span<const int64_t> from) noexcept;

/// Copies the counts to 32-bit integers. out: of the same length.
/// Returns kTooLarge when one does not fit; `out` is undefined then.
Status NarrowHistogram(std::span<const int64_t> counts, std::span<int32_t> out) noexcept;

/// Bytes of a histogram: f64 min, f64 max, i32 buckets, i64 counts[buckets + 2], little-endian,
/// without padding.
size_t HistogramSize(const HistogramBounds &bounds) noexcept;

/// counts: HistogramEntries(bounds); out: HistogramSize(bounds) bytes.
void WriteHistogram(const HistogramBounds &bounds, std::span<const int64_t> counts,
                    std::span<std::byte> out) noexcept;

/// Reads the bounds of bytes that WriteHistogram() made and checks their length; kCorrupt if they
/// cannot be a histogram.
Status ReadHistogramBounds(ByteSpan bytes, HistogramBounds &bounds) noexcept;

/// Reads the counts. bytes: accepted by ReadHistogramBounds(); counts: HistogramEntries(bounds).
/// kCorrupt if one is negative.
Status ReadHistogramCounts(ByteSpan bytes, std::span<int64_t> counts) noexcept;

}  // namespace tsext
