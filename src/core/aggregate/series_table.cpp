#include "tsext/series_table.hpp"

#include <cstring>

namespace tsext {
namespace {

constexpr size_t kFirstSlots = 64;
/// The upper half of a hash chooses the pass.
constexpr uint64_t kHashEnd = uint64_t{1} << 32;

uint64_t Mix(uint64_t value) noexcept {
  value *= 0x9E3779B97F4A7C15;
  value ^= value >> 32;
  value *= 0xD6E8FEB86659FD93;
  return value ^ (value >> 29);
}

uint64_t HashOf(ByteView key) noexcept {
  uint64_t hash = key.size;
  uint32_t at = 0;
  for (; at + 8 <= key.size; at += 8) {
    uint64_t word;
    std::memcpy(&word, key.data + at, sizeof word);
    hash = Mix(hash ^ word) + at;
  }
  uint64_t word = 0;
  if (at < key.size) std::memcpy(&word, key.data + at, key.size - at);
  return Mix(Mix(hash ^ word));
}

bool AreEqual(ByteView a, ByteView b) noexcept {
  return a.size == b.size && (a.size == 0 || std::memcmp(a.data, b.data, a.size) == 0);
}

}  // namespace

SeriesTable::SeriesTable(std::pmr::memory_resource *memory)
    : end_(kHashEnd), series_(memory), keys_(memory), slots_(memory) {}

size_t SeriesTable::SlotOf(uint64_t hash, ByteView key) const noexcept {
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  while (slots_[slot] != 0) {
    const Series &series = series_[slots_[slot] - 1];
    if (series.hash == hash && AreEqual(KeyOf(series), key)) break;
    slot = (slot + 1) & mask;
  }
  return slot;
}

void SeriesTable::Rehash(size_t slot_count) {
  slots_.assign(slot_count, 0);
  const size_t mask = slot_count - 1;
  for (size_t i = 0; i < series_.size(); i++) {
    size_t slot = series_[i].hash & mask;
    while (slots_[slot] != 0) slot = (slot + 1) & mask;
    slots_[slot] = static_cast<uint32_t>(i + 1);
  }
}

uint32_t SeriesTable::Find(ByteView key) {
  const uint64_t hash = HashOf(key);
  if (!IsOfPass(hash)) return kOtherPass;
  if (slots_.size() < 2 * (series_.size() + 1))
    Rehash(slots_.empty() ? kFirstSlots : 2 * slots_.size());
  const size_t slot = SlotOf(hash, key);
  if (slots_[slot] != 0) return slots_[slot] - 1;
  series_.push_back({hash, keys_.size(), key.size, {}});
  if (key.size > 0) keys_.insert(keys_.end(), key.data, key.data + key.size);
  return (slots_[slot] = size()) - 1;
}

uint32_t SeriesTable::Lookup(ByteView key) const noexcept {
  const uint64_t hash = HashOf(key);
  if (!IsOfPass(hash)) return kOtherPass;
  if (slots_.empty()) return kUnknown;
  const uint32_t found = slots_[SlotOf(hash, key)];
  return found != 0 ? found - 1 : kUnknown;
}

size_t SeriesTable::memory_bytes() const noexcept {
  return series_.size() * sizeof(Series) + keys_.size() + slots_.size() * sizeof(uint32_t);
}

bool SeriesTable::Halve() {
  if (end_ - first_ < 2) return false;
  end_ = first_ + (end_ - first_) / 2;
  size_t kept = 0;
  size_t key_end = 0;
  for (const Series &series : series_) {
    if (!IsOfPass(series.hash)) continue;
    // Keys lie in the order of the series, so they only move down.
    if (series.key_size > 0)
      std::memmove(keys_.data() + key_end, keys_.data() + series.key_offset, series.key_size);
    Series &to = series_[kept++];
    to = series;
    to.key_offset = key_end;
    key_end += series.key_size;
  }
  series_.resize(kept);
  keys_.resize(key_end);
  size_t slot_count = kFirstSlots;
  while (slot_count < 2 * (kept + 1)) slot_count *= 2;
  Rehash(slot_count);
  return true;
}

void SeriesTable::Forget() noexcept {
  series_.clear();
  keys_.clear();
  slots_.clear();
}

bool SeriesTable::NextPass() {
  Forget();
  // Parts are as wide as the last one was in the end: the next will hardly have more series.
  const uint64_t width = end_ - first_;
  first_ = end_;
  end_ = kHashEnd - first_ < width ? kHashEnd : first_ + width;
  return first_ < kHashEnd;
}

void SeriesTable::Restart() {
  Forget();
  first_ = 0;
  end_ = kHashEnd;
}

}  // namespace tsext
