#pragma once

// Holds: chunks that decompress_chunk() made hot again and that background compaction leaves alone
// until compress_chunk() or tsext.compact() is called.

#include <cstdint>

#include "pg/base/postgres.hpp"

namespace tsext::pg {

void HoldChunk(Oid store, int64_t start, int64_t end);
/// Removes the holds that meet [from, until).
void ReleaseHolds(Oid store, int64_t from, int64_t until);
/// True when a hold meets [start, end).
bool ChunkIsOnHold(Oid store, int64_t start, int64_t end);

}  // namespace tsext::pg
