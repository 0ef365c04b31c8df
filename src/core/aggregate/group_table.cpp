#include "tsext/group_table.hpp"

#include <cstring>

namespace tsext {

namespace {

constexpr size_t kFirstSlots = 64;

/// The finish of a multiplicative hash: every bit of the input reaches every bit of the output.
uint64_t Mix(uint64_t value) noexcept {
  value ^= value >> 32;
  value *= 0xD6E8FEB86659FD93;
  value ^= value >> 32;
  value *= 0xD6E8FEB86659FD93;
  value ^= value >> 32;
  return value;
}

uint64_t HashBytes(ByteView value) noexcept {
  uint64_t hash = value.size;
  uint32_t at = 0;
  for (; at + 8 <= value.size; at += 8) {
    uint64_t word;
    std::memcpy(&word, value.data + at, 8);
    hash = Mix(hash ^ word);
  }
  uint64_t rest = 0;
  if (at < value.size) std::memcpy(&rest, value.data + at, value.size - at);
  return Mix(hash ^ rest);
}

bool IsEqual(ByteView a, ByteView b) noexcept {
  return a.size == b.size && (a.size == 0 || std::memcmp(a.data, b.data, a.size) == 0);
}

/// Puts the numbers 0 .. hashes.size() - 1 into `slots`, which becomes twice as large.
void Rehash(const std::pmr::vector<uint32_t> &hashes, std::pmr::vector<uint32_t> &slots) {
  const size_t size = slots.empty() ? kFirstSlots : slots.size() * 2;
  slots.assign(size, 0);
  for (size_t number = 0; number < hashes.size(); number++) {
    size_t slot = hashes[number] & (size - 1);
    while (slots[slot] != 0) slot = (slot + 1) & (size - 1);
    slots[slot] = static_cast<uint32_t>(number) + 1;
  }
}

}  // namespace

GroupTable::GroupTable(uint32_t words, std::pmr::memory_resource *memory)
    : words_(words), keys_(memory), hashes_(memory), slots_(memory) {
  Grow();
}

uint64_t GroupTable::Hash(const int64_t *key, uint32_t words) noexcept {
  uint64_t hash = 0;
  for (uint32_t i = 0; i < words; i++) {
    hash = (hash + static_cast<uint64_t>(key[i])) * 0x9E3779B97F4A7C15;
    hash ^= hash >> 29;
  }
  return Mix(hash);
}

bool GroupTable::IsKey(uint32_t number, const int64_t *key) const noexcept {
  const int64_t *other = Key(number);
  for (uint32_t i = 0; i < words_; i++)
    if (other[i] != key[i]) return false;
  return true;
}

uint32_t GroupTable::Find(const int64_t *key) {
  if (last_ < size_ && IsKey(last_, key)) return last_;
  const auto hash = static_cast<uint32_t>(Hash(key, words_) >> 32);
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  for (; slots_[slot] != 0; slot = (slot + 1) & mask) {
    const uint32_t number = slots_[slot] - 1;
    if (hashes_[number] == hash && IsKey(number, key)) return last_ = number;
  }
  keys_.insert(keys_.end(), key, key + words_);
  hashes_.push_back(hash);
  slots_[slot] = ++size_;
  last_ = size_ - 1;
  if (size_t{size_} * 2 > slots_.size()) Grow();
  return last_;
}

void GroupTable::Grow() {
  Rehash(hashes_, slots_);
}

void GroupTable::Clear() noexcept {
  size_ = 0;
  last_ = 0;
  keys_.clear();
  hashes_.clear();
  if (!slots_.empty()) std::memset(slots_.data(), 0, slots_.size() * sizeof(uint32_t));
}

size_t GroupTable::memory_bytes() const noexcept {
  return keys_.capacity() * sizeof(int64_t) +
         (hashes_.capacity() + slots_.capacity()) * sizeof(uint32_t);
}

BytesTable::BytesTable(std::pmr::memory_resource *memory)
    : bytes_(memory), values_(memory), hashes_(memory), slots_(memory) {
  Grow();
}

uint32_t BytesTable::Find(ByteView value) {
  const auto hash = static_cast<uint32_t>(HashBytes(value) >> 32);
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  for (; slots_[slot] != 0; slot = (slot + 1) & mask) {
    const uint32_t number = slots_[slot] - 1;
    if (hashes_[number] == hash && IsEqual(values_[number], value)) return number;
  }
  ByteView copy{nullptr, value.size};
  if (value.size > 0) {
    void *bytes = bytes_.allocate(value.size, 1);
    std::memcpy(bytes, value.data, value.size);
    copy.data = static_cast<const std::byte *>(bytes);
  }
  values_.push_back(copy);
  hashes_.push_back(hash);
  const uint32_t number = size() - 1;
  slots_[slot] = number + 1;
  if (values_.size() * 2 > slots_.size()) Grow();
  return number;
}

void BytesTable::Grow() {
  Rehash(hashes_, slots_);
}

}  // namespace tsext
