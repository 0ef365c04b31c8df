#pragma once

// A hash map from byte strings to pointers, for what a router remembers. It only grows; its memory
// goes with its context. The seed keeps senders from choosing strings that collide.

#include <cstdint>
#include <cstring>
#include <string_view>

#include "pg/base/postgres.hpp"

namespace tsext::pg {

struct ByteMap {
  struct Slot {
    const char *key;  // nullptr: free
    uint32_t size, hash;
    void *value;
  };
  MemoryContext context = nullptr;
  uint64_t seed = 0;
  Slot *slots = nullptr;
  uint32_t mask = 0, count = 0;
};

inline uint64_t MixBytes(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint32_t HashOfBytes(uint64_t seed, std::string_view key) {
  constexpr uint64_t kFactor = 0xd6e8feb86659fd93;
  uint64_t hash = seed ^ key.size();
  const char *at = key.data();
  size_t left = key.size();
  for (; left > 8; left -= 8, at += 8) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    hash = MixBytes(hash ^ word, kFactor);
  }
  uint64_t word = 0;
  memcpy(&word, at, left);
  hash = MixBytes(hash ^ word, kFactor);
  return static_cast<uint32_t>(hash ^ hash >> 32);
}

/// nullptr: not in it.
inline void *ByteMapFind(const ByteMap &map, std::string_view key) {
  if (map.slots == nullptr) return nullptr;
  const uint32_t hash = HashOfBytes(map.seed, key);
  for (uint32_t at = hash & map.mask; map.slots[at].key != nullptr; at = (at + 1) & map.mask) {
    const ByteMap::Slot &slot = map.slots[at];
    if (slot.hash == hash && slot.size == key.size() &&
        memcmp(slot.key, key.data(), key.size()) == 0)
      return slot.value;
  }
  return nullptr;
}

/// Adds a key that is not in it; its bytes must stay where they are.
inline void ByteMapAdd(ByteMap *map, std::string_view key, void *value) {
  if (map->count * 2 >= map->mask) {
    const uint32_t old_size = map->slots == nullptr ? 0 : map->mask + 1;
    const uint32_t size = old_size == 0 ? 16 : old_size * 2;
    ByteMap::Slot *old = map->slots;
    auto *slots = static_cast<ByteMap::Slot *>(MemoryContextAllocExtended(
        map->context, size * sizeof(ByteMap::Slot), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO));
    for (uint32_t i = 0; i < old_size; i++) {
      if (old[i].key == nullptr) continue;
      uint32_t at = old[i].hash & (size - 1);
      while (slots[at].key != nullptr) at = (at + 1) & (size - 1);
      slots[at] = old[i];
    }
    map->slots = slots;
    map->mask = size - 1;
    if (old != nullptr) pfree(old);
  }
  const uint32_t hash = HashOfBytes(map->seed, key);
  uint32_t at = hash & map->mask;
  while (map->slots[at].key != nullptr) at = (at + 1) & map->mask;
  map->slots[at] = {key.data(), static_cast<uint32_t>(key.size()), hash, value};
  map->count++;
}

}  // namespace tsext::pg
