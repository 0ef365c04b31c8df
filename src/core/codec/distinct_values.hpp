#pragma once

// The distinct values of a segment and each row's index among them: what a dictionary is made of.

#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

namespace tsext {

class DistinctValues {
 public:
  explicit DistinctValues(std::pmr::memory_resource *memory)
      : values_(memory), counts_(memory), indexes_(memory) {}
  DistinctValues(const DistinctValues &) = delete;
  DistinctValues &operator=(const DistinctValues &) = delete;

  /// A guess from a sample, erring on the side of yes: whether at most half of `values` are
  /// distinct and leave gaps, so that codes may be narrower than they.
  static bool FewLikely(std::span<const int64_t> values, uint32_t count,
                        std::pmr::memory_resource *memory);

  /// False when there are more than `limit` distinct values.
  bool Collect(std::span<const int64_t> values, uint32_t limit);
  /// entries: the distinct values, ascending or the most frequent first; codes: each row's entry.
  void Arrange(bool by_frequency, std::pmr::vector<int64_t> &entries,
               std::pmr::vector<int64_t> &codes) const;
  std::pmr::vector<uint32_t> DescendingCounts() const;

 private:
  std::pmr::vector<int64_t> values_;    // in order of appearance
  std::pmr::vector<uint32_t> counts_;   // rows of each
  std::pmr::vector<uint32_t> indexes_;  // of each row
};

}  // namespace tsext
