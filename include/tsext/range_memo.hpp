#pragma once

// What is known of a function of integers that is constant over ranges, such as a calendar bucket.

#include <algorithm>
#include <cstdint>
#include <memory_resource>
#include <vector>

namespace tsext {

/// Disjoint ranges with the function's value over each.
class RangeMemo {
 public:
  struct Range {
    int64_t from, to;  ///< both inclusive
    int64_t word;
    bool is_null;
  };

  explicit RangeMemo(std::pmr::memory_resource *memory) : ranges_(memory) {}

  void Clear() noexcept {
    ranges_.clear();
    last_ = 0;
  }

  /// The range that holds `value`, nullptr when it is not known. Valid until the next change.
  const Range *Find(int64_t value) noexcept {
    if (last_ < ranges_.size() && Holds(ranges_[last_], value)) return &ranges_[last_];
    const size_t at = Position(value);
    if (at == ranges_.size() || !Holds(ranges_[at], value)) return nullptr;
    last_ = at;
    return &ranges_[at];
  }

  /// Notes the function's value at `value`, which no range holds, and returns the range it has come
  /// to be in. joins_from: the function rises from there up to `value`, so a range before it with
  /// the same word that reaches that far is the same range.
  Range Add(int64_t value, int64_t word, bool is_null, int64_t joins_from) {
    const size_t at = Position(value);
    if (at > 0) {
      Range &before = ranges_[at - 1];
      if (before.word == word && before.is_null == is_null && before.to >= joins_from) {
        before.to = value;
        last_ = at - 1;
        return before;
      }
    }
    ranges_.insert(ranges_.begin() + static_cast<std::ptrdiff_t>(at),
                   {value, value, word, is_null});
    last_ = at;
    return ranges_[at];
  }

  /// Notes that the function is constant over the whole of `range`, and returns the union of what
  /// is known there.
  Range Join(Range range) {
    size_t begin = Position(range.from);
    size_t end = begin;
    while (end < ranges_.size() && ranges_[end].from <= range.to) {
      range.from = std::min(range.from, ranges_[end].from);
      range.to = std::max(range.to, ranges_[end].to);
      end++;
    }
    const auto first = ranges_.begin() + static_cast<std::ptrdiff_t>(begin);
    if (begin == end) {
      ranges_.insert(first, range);
    } else {
      *first = range;
      ranges_.erase(first + 1, ranges_.begin() + static_cast<std::ptrdiff_t>(end));
    }
    last_ = begin;
    return range;
  }

  size_t size() const noexcept { return ranges_.size(); }

 private:
  static bool Holds(const Range &range, int64_t value) noexcept {
    return range.from <= value && value <= range.to;
  }
  /// The first range that does not end before `value`.
  size_t Position(int64_t value) const noexcept {
    const auto at = std::partition_point(ranges_.begin(), ranges_.end(),
                                         [value](const Range &range) { return range.to < value; });
    return static_cast<size_t>(at - ranges_.begin());
  }

  std::pmr::vector<Range> ranges_;  // ascending
  size_t last_ = 0;
};

}  // namespace tsext
