#include "pg/table/cold_blocks.hpp"

#include <algorithm>
#include <cstring>

#include "tsext/vector.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/datum.hpp"
#include "pg/table/cold_scan.hpp"
#include "pg/table/cold_tuple.hpp"
#include "pg/table/segment_reader.hpp"

extern "C" {
#include "access/htup_details.h"
}

namespace tsext::pg {

static_assert(kVectorSize % kColdBlockRows == 0, "a block never crosses a vector's border");

// Plain old data in its own memory context.
struct ColdBlocks {
  MemoryContext context;
  MemoryContext row_context;  // values of the current row
  Relation relation;
  SegmentReader *reader;
  SegmentRow *segments;
  BlockNumber *first_block;  // of each segment, ascending; one more at the end
  int segment_count;
  int current_segment;     // the one the reader has open; -1 = none
  uint32_t first_row;      // of the current block, in its segment
  uint32_t vector;         // the one of the segment that `vectors` is of
  const Vector **vectors;  // one an attribute; NULL also when the segment does not have it
  bool *vector_is_read;
  DatumClass *classes;  // one an attribute
  Datum *values;
  bool *nulls;
  Datum *missing;  // what rows of segments that are older than the attribute have
  bool *missing_is_null;
};

namespace {

BlockNumber BlocksOf(int64_t rows) {
  return static_cast<BlockNumber>((rows + kColdBlockRows - 1) / kColdBlockRows);
}

}  // namespace

ColdBlocks *ColdBlocksOpen(Relation relation, Snapshot snapshot, MemoryContext parent) {
  const Oid store = relation->rd_rel->reltoastrelid;
  if (!OidIsValid(store)) return nullptr;
  MemoryContext context =
      AllocSetContextCreate(parent, "tsext cold blocks", ALLOCSET_DEFAULT_SIZES);
  MemoryContext old = MemoryContextSwitchTo(context);
  int count;
  SegmentRow *segments = LoadSegments(store, kTimeMinimum, kTimeMaximum, snapshot, &count);
  if (count == 0) {
    MemoryContextSwitchTo(old);
    MemoryContextDelete(context);
    return nullptr;
  }
  auto *blocks = static_cast<ColdBlocks *>(palloc0(sizeof(ColdBlocks)));
  blocks->context = context;
  blocks->row_context =
      AllocSetContextCreate(context, "tsext cold block row", ALLOCSET_DEFAULT_SIZES);
  blocks->relation = relation;
  blocks->segments = segments;
  blocks->segment_count = count;
  blocks->current_segment = -1;
  blocks->first_block = static_cast<BlockNumber *>(
      palloc_extended(sizeof(BlockNumber) * (static_cast<size_t>(count) + 1), MCXT_ALLOC_HUGE));
  blocks->first_block[0] = 0;
  for (int i = 0; i < count; i++)
    blocks->first_block[i + 1] = blocks->first_block[i] + BlocksOf(segments[i].nrows);

  TupleDesc descriptor = RelationGetDescr(relation);
  const size_t natts = static_cast<size_t>(descriptor->natts);
  blocks->classes = static_cast<DatumClass *>(palloc0(sizeof(DatumClass) * natts));
  blocks->vectors = static_cast<const Vector **>(palloc0(sizeof(Vector *) * natts));
  blocks->vector_is_read = static_cast<bool *>(palloc0(sizeof(bool) * natts));
  blocks->values = static_cast<Datum *>(palloc0(sizeof(Datum) * natts));
  blocks->nulls = static_cast<bool *>(palloc0(sizeof(bool) * natts));
  blocks->missing = static_cast<Datum *>(palloc0(sizeof(Datum) * natts));
  blocks->missing_is_null = static_cast<bool *>(palloc0(sizeof(bool) * natts));
  for (int i = 0; i < descriptor->natts; i++) {
    Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
    if (attribute->attisdropped) continue;
    blocks->classes[i] = ClassOf(attribute);
    blocks->missing[i] = getmissingattr(descriptor, i + 1, &blocks->missing_is_null[i]);
  }
  blocks->reader = SegmentReaderCreate(relation, snapshot, context);
  MemoryContextSwitchTo(old);
  return blocks;
}

BlockNumber ColdBlocksCount(const ColdBlocks *blocks) {
  return blocks->first_block[blocks->segment_count];
}

uint32_t ColdBlocksSelect(ColdBlocks *blocks, BlockNumber block) {
  const BlockNumber *begin = blocks->first_block;
  const auto segment =
      static_cast<int>(std::upper_bound(begin, begin + blocks->segment_count, block) - begin - 1);
  const SegmentRow *row = &blocks->segments[segment];
  const uint32_t first_row = (block - begin[segment]) * kColdBlockRows;
  const uint32_t vector = first_row / kVectorSize;
  if (segment != blocks->current_segment || vector != blocks->vector)
    memset(blocks->vector_is_read, 0,
           sizeof(bool) * static_cast<size_t>(RelationGetDescr(blocks->relation)->natts));
  if (segment != blocks->current_segment) {
    blocks->current_segment = -1;
    SegmentReaderOpen(blocks->reader, row);
    blocks->current_segment = segment;
  }
  blocks->vector = vector;
  blocks->first_row = first_row;
  return std::min(kColdBlockRows, static_cast<uint32_t>(row->nrows) - first_row);
}

void ColdBlocksGetRow(ColdBlocks *blocks, uint32_t row, TupleTableSlot *slot) {
  const uint32_t segment_row = blocks->first_row + row;
  TupleDesc descriptor = RelationGetDescr(blocks->relation);
  MemoryContextReset(blocks->row_context);
  MemoryContext old = MemoryContextSwitchTo(blocks->row_context);
  for (int i = 0; i < descriptor->natts; i++) {
    blocks->nulls[i] = true;
    if (TupleDescAttr(descriptor, i)->attisdropped) continue;
    if (!blocks->vector_is_read[i]) {
      blocks->vectors[i] =
          SegmentReaderVector(blocks->reader, static_cast<AttrNumber>(i + 1), blocks->vector);
      blocks->vector_is_read[i] = true;
    }
    const Vector *vector = blocks->vectors[i];
    if (vector == nullptr) {
      blocks->values[i] = blocks->missing[i];
      blocks->nulls[i] = blocks->missing_is_null[i];
    } else if (!vector->IsNull(segment_row % kVectorSize)) {
      blocks->values[i] = VectorDatum(*vector, segment_row % kVectorSize, blocks->classes[i]);
      blocks->nulls[i] = false;
    }
  }
  MemoryContextSwitchTo(old);
  ItemPointerData tid;
  ItemPointerSet(
      &tid, kVirtualBlock | static_cast<uint32_t>(blocks->segments[blocks->current_segment].seg),
      static_cast<OffsetNumber>(segment_row + 1));
  StoreColdTuple(descriptor, blocks->values, blocks->nulls, &tid,
                 RelationGetRelid(blocks->relation), slot);
}

void ColdBlocksClose(ColdBlocks *blocks) {
  SegmentReaderClose(blocks->reader);
  MemoryContextDelete(blocks->context);
}

BlockNumber ColdBlocksEstimate(Oid store) {
  if (!OidIsValid(store)) return 0;
  return BlocksOf(std::max<int64_t>(0, GetStoreTotal(store, nullptr).rows));
}

}  // namespace tsext::pg
