#pragma once

// Hash tables keyed by an Oid, for what a session keeps in mind about relations.

#include "pg/base/postgres.hpp"

extern "C" {
#include "utils/hsearch.h"
}

namespace tsext::pg {

/// An empty table in the session's memory. Entry: its first member is the Oid.
template <typename Entry>
HTAB *NewOidTable(const char *name) {
  HASHCTL control = {};
  control.keysize = sizeof(Oid);
  control.entrysize = sizeof(Entry);
  control.hcxt = TopMemoryContext;
  return hash_create(name, 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

}  // namespace tsext::pg
