#include "core/codec/distinct_values.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>

namespace tsext {

namespace {
constexpr uint32_t kSampleSize = 2048;
constexpr uint32_t kFree = ~uint32_t{0};
}  // namespace

bool DistinctValues::Collect(std::span<const int64_t> values, uint32_t limit) {
  values_.clear();
  counts_.clear();
  indexes_.resize(values.size());
  // Open addressing, at most half full.
  std::pmr::vector<uint32_t> slots(std::bit_ceil(size_t{limit} * 2 + 2), kFree,
                                   values_.get_allocator());
  const size_t mask = slots.size() - 1;
  for (size_t i = 0; i < values.size(); i++) {
    const int64_t value = values[i];
    size_t at = static_cast<size_t>((static_cast<uint64_t>(value) * 0x9E3779B97F4A7C15) >> 32);
    for (at &= mask; slots[at] != kFree && values_[slots[at]] != value;) at = (at + 1) & mask;
    if (slots[at] == kFree) {
      if (values_.size() == limit) return false;
      slots[at] = static_cast<uint32_t>(values_.size());
      values_.push_back(value);
      counts_.push_back(0);
    }
    indexes_[i] = slots[at];
    counts_[slots[at]]++;
  }
  return true;
}

bool DistinctValues::FewLikely(std::span<const int64_t> values, uint32_t count,
                               std::pmr::memory_resource *memory) {
  const uint32_t stride = std::max(1U, count / kSampleSize);
  std::pmr::vector<int64_t> sample(memory);
  for (uint32_t i = 0; i < count; i += stride) sample.push_back(values[i]);
  DistinctValues distinct(memory);
  if (!distinct.Collect(sample, stride == 1 ? count / 2 : static_cast<uint32_t>(sample.size())))
    return false;
  const auto sampled = static_cast<double>(sample.size());
  const auto found = static_cast<double>(distinct.values_.size());
  // Were half of all rows distinct, a sample would hold about this many equal pairs; half of that
  // is asked for.
  if (stride > 1 && sampled - found < sampled * sampled / count / 2) return false;
  const auto [min, max] = std::minmax_element(distinct.values_.begin(), distinct.values_.end());
  const uint64_t range = static_cast<uint64_t>(*max) - static_cast<uint64_t>(*min);
  return range / 2 >= distinct.values_.size();
}

void DistinctValues::Arrange(bool by_frequency, std::pmr::vector<int64_t> &entries,
                             std::pmr::vector<int64_t> &codes) const {
  std::pmr::vector<uint32_t> order(values_.size(), values_.get_allocator());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    if (by_frequency && counts_[a] != counts_[b]) return counts_[a] > counts_[b];
    return values_[a] < values_[b];
  });
  entries.resize(values_.size());
  std::pmr::vector<uint32_t> rank(values_.size(), values_.get_allocator());
  for (uint32_t i = 0; i < order.size(); i++) {
    entries[i] = values_[order[i]];
    rank[order[i]] = i;
  }
  codes.resize(indexes_.size());
  for (size_t i = 0; i < indexes_.size(); i++) codes[i] = rank[indexes_[i]];
}

std::pmr::vector<uint32_t> DistinctValues::DescendingCounts() const {
  std::pmr::vector<uint32_t> counts(counts_, counts_.get_allocator());
  std::sort(counts.begin(), counts.end(), std::greater<>());
  return counts;
}

}  // namespace tsext
