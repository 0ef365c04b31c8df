#pragma once

// Cold rows as blocks that can be read in any order, for those who sample: ANALYZE and TABLESAMPLE.
// A block is a run of 64 rows of a segment, about what a page of a heap holds, so that blocks of
// both kinds weigh the same.

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/segment.hpp"

namespace tsext::pg {

struct ColdBlocks;

inline constexpr uint32_t kColdBlockRows = 64;

/// Opens the segments of `relation` that `snapshot` sees (an MVCC snapshot that stays registered
/// until the end); NULL when there is none. Memory lives in a child of `context`.
ColdBlocks *ColdBlocksOpen(Relation relation, Snapshot snapshot, MemoryContext context);
BlockNumber ColdBlocksCount(const ColdBlocks *blocks);
/// Moves to a block, 0 .. count - 1, and returns how many rows it has, 1 .. 64.
uint32_t ColdBlocksSelect(ColdBlocks *blocks, BlockNumber block);
/// Stores a row of the current block, counted from 0, in `slot`.
void ColdBlocksGetRow(ColdBlocks *blocks, uint32_t row, TupleTableSlot *slot);
void ColdBlocksClose(ColdBlocks *blocks);

/// Blocks that so many cold rows make, without opening anything: an estimate.
BlockNumber ColdBlocksEstimate(Oid store);

}  // namespace tsext::pg
