// The totals of stores as the planner wants them: kept per session, so that planning a query does
// not read a table.
//
// Whoever adds to a store's totals sends a relcache invalidation for the store, the TOAST relation.
// It arrives with the commit, goes with the rollback, and makes nobody's plan invalid. A session
// hears of it when it next takes a lock; until then its plans are made with the totals from before.
// Estimates may be late like that, visibility may not: who must know which segments there are reads
// the directory.

#include "pg/base/boundary.hpp"
#include "pg/base/oid_table.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "storage/sinval.h"
#include "utils/inval.h"
#include "utils/memutils.h"
}

namespace tsext::pg {
namespace {

struct Entry {
  Oid store;
  StoreTotal total;
};

/// Entries that are kept; beyond that all are thrown away.
constexpr long kMaxEntries = 1024;

HTAB *cache = nullptr;

void ForgetAll() {
  HASH_SEQ_STATUS scan;
  hash_seq_init(&scan, cache);
  while (auto *entry = static_cast<Entry *>(hash_seq_search(&scan)))
    hash_search(cache, &entry->store, HASH_REMOVE, nullptr);
}

void Forget(Datum, Oid relation_id) {
  if (OidIsValid(relation_id))
    hash_search(cache, &relation_id, HASH_REMOVE, nullptr);
  else
    ForgetAll();
}

void MakeCache() {
  cache = NewOidTable<Entry>("tsext store totals");
  CacheRegisterRelcacheCallback(Forget, 0);
}

}  // namespace

StoreTotal CachedStoreTotal(Oid store) {
  if (cache == nullptr) MakeCache();
  auto *entry = static_cast<Entry *>(hash_search(cache, &store, HASH_FIND, nullptr));
  if (entry != nullptr) return entry->total;
  const uint64 messages = SharedInvalidMessageCounter;
  const StoreTotal total = GetStoreTotal(store, nullptr);
  // A message that came while we read may have been about what we read.
  if (messages != SharedInvalidMessageCounter) return total;
  if (hash_get_num_entries(cache) >= kMaxEntries) ForgetAll();
  entry = static_cast<Entry *>(hash_search(cache, &store, HASH_ENTER, nullptr));
  entry->total = total;
  return total;
}

}  // namespace tsext::pg
