#include "tsext/histogram.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace tsext {

namespace {

constexpr size_t kHeadSize = 2 * sizeof(double) + sizeof(int32_t);

}  // namespace

Status CheckHistogramBounds(const HistogramBounds &bounds) noexcept {
  if (!std::isfinite(bounds.min) || !std::isfinite(bounds.max))
    return Status::Invalid("histogram bounds must be finite");
  if (!(bounds.min < bounds.max))
    return Status::Invalid("lower bound of a histogram must be less than its upper bound");
  if (bounds.buckets < 1) return Status::Invalid("number of buckets must be greater than zero");
  if (bounds.buckets > kMaxHistogramBuckets)
    return Status::TooLarge("number of buckets exceeds the maximum of 1000000");
  return Status::Ok();
}

uint32_t HistogramEntry(double value, const HistogramBounds &bounds) noexcept {
  if (value < bounds.min) return 0;
  if (!(value < bounds.max)) return static_cast<uint32_t>(bounds.buckets) + 1;  // NaN as well
  double share = (value - bounds.min) / (bounds.max - bounds.min);
  // The difference of the bounds may exceed every double; halves do not.
  if (std::isinf(bounds.max - bounds.min))
    share = (value / 2 - bounds.min / 2) / (bounds.max / 2 - bounds.min / 2);
  const auto bucket = static_cast<int32_t>(share * bounds.buckets);
  // The quotient may round up to 1, although value < max.
  return static_cast<uint32_t>(std::min(bucket, bounds.buckets - 1)) + 1;
}

Status MergeHistogram(std::span<int64_t> into, std::span<const int64_t> from) noexcept {
  for (size_t i = 0; i < into.size(); i++) {
    if (__builtin_add_overflow(into[i], from[i], &into[i]))
      return Status::TooLarge("count of a histogram exceeds the range of bigint");
  }
  return Status::Ok();
}

Status NarrowHistogram(std::span<const int64_t> counts, std::span<int32_t> out) noexcept {
  for (size_t i = 0; i < counts.size(); i++) {
    if (counts[i] > std::numeric_limits<int32_t>::max())
      return Status::TooLarge("count of a histogram exceeds the range of integer");
    out[i] = static_cast<int32_t>(counts[i]);
  }
  return Status::Ok();
}

size_t HistogramSize(const HistogramBounds &bounds) noexcept {
  return kHeadSize + size_t{HistogramEntries(bounds)} * sizeof(int64_t);
}

void WriteHistogram(const HistogramBounds &bounds, std::span<const int64_t> counts,
                    std::span<std::byte> out) noexcept {
  std::byte *at = out.data();
  std::memcpy(at, &bounds.min, sizeof bounds.min);
  std::memcpy(at + 8, &bounds.max, sizeof bounds.max);
  std::memcpy(at + 16, &bounds.buckets, sizeof bounds.buckets);
  std::memcpy(at + kHeadSize, counts.data(), counts.size_bytes());
}

Status ReadHistogramBounds(ByteSpan bytes, HistogramBounds &bounds) noexcept {
  ByteReader reader(bytes);
  HistogramBounds found;
  if (!reader.Read(found.min) || !reader.Read(found.max) || !reader.Read(found.buckets))
    return Status::Corrupt("histogram is too short");
  if (!CheckHistogramBounds(found).ok()) return Status::Corrupt("histogram has impossible bounds");
  if (bytes.size() != HistogramSize(found)) return Status::Corrupt("histogram has a wrong length");
  bounds = found;
  return Status::Ok();
}

Status ReadHistogramCounts(ByteSpan bytes, std::span<int64_t> counts) noexcept {
  std::memcpy(counts.data(), bytes.data() + kHeadSize, counts.size_bytes());
  for (const int64_t count : counts) {
    if (count < 0) return Status::Corrupt("histogram has a negative count");
  }
  return Status::Ok();
}

}  // namespace tsext
