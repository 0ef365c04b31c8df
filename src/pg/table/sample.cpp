#include "pg/table/sample.hpp"

#include "pg/base/boundary.hpp"
#include "pg/table/cold_blocks.hpp"
#include "pg/table/delegation.hpp"
#include "pg/table/scan.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/tsmapi.h"
#include "nodes/execnodes.h"
#include "pgstat.h"
}

namespace tsext::pg {

namespace {

// Heap asks the method itself which block comes next; it is given the one that was chosen among
// the blocks of both kinds.
BlockNumber chosen_block;

BlockNumber ChosenBlock(SampleScanState *, BlockNumber) {
  return chosen_block;
}

bool SelectHeapBlock(TableScanDesc heap, SampleScanState *state, BlockNumber block) {
  TsmRoutine method = *state->tsmroutine;
  SampleScanState asked = *state;
  method.NextSampleBlock = ChosenBlock;
  asked.tsmroutine = &method;
  chosen_block = block;
  return Heap()->scan_sample_next_block(heap, &asked);
}

bool SelectColdBlock(TsextScan *scan, BlockNumber block) {
  scan->cold_block = block;
  scan->cold_block_rows = ColdBlocksSelect(scan->cold_blocks, block);
  return true;
}

bool SampleNextColdOrHotBlock(TsextScan *scan, SampleScanState *state) {
  const BlockNumber cold_blocks = ColdBlocksCount(scan->cold_blocks);
  if (state->tsmroutine->NextSampleBlock != nullptr) {
    const BlockNumber block =
        state->tsmroutine->NextSampleBlock(state, scan->hot_blocks + cold_blocks);
    if (block != InvalidBlockNumber && block >= scan->hot_blocks)
      return SelectColdBlock(scan, block - scan->hot_blocks);
    scan->cold_block = InvalidBlockNumber;
    return SelectHeapBlock(scan->heap, state, block);
  }
  BlockNumber next = 0;
  if (scan->cold_block != InvalidBlockNumber)
    next = scan->cold_block + 1;
  else if (Heap()->scan_sample_next_block(scan->heap, state))
    return true;
  return next < cold_blocks && SelectColdBlock(scan, next);
}

bool SampleNextBlock(TableScanDesc base, SampleScanState *state) {
  TsextScan *scan = AsTsextScan(base);
  return Enter([&] {
    if (!scan->cold_is_known) {
      scan->cold_blocks = ColdBlocksOpen(base->rs_rd, base->rs_snapshot, scan->context);
      scan->hot_blocks = reinterpret_cast<HeapScanDesc>(scan->heap)->rs_nblocks;
      scan->cold_is_known = true;
    }
    return scan->cold_blocks != nullptr ? SampleNextColdOrHotBlock(scan, state)
                                        : Heap()->scan_sample_next_block(scan->heap, state);
  });
}

bool SampleNextTuple(TableScanDesc base, SampleScanState *state, TupleTableSlot *slot) {
  TsextScan *scan = AsTsextScan(base);
  if (scan->cold_block == InvalidBlockNumber)
    return Heap()->scan_sample_next_tuple(scan->heap, state, slot);
  return Enter([&] {
    for (;;) {
      CHECK_FOR_INTERRUPTS();
      const OffsetNumber offset =
          state->tsmroutine->NextSampleTuple(state, scan->hot_blocks + scan->cold_block,
                                             static_cast<OffsetNumber>(scan->cold_block_rows));
      if (!OffsetNumberIsValid(offset)) {
        ExecClearTuple(slot);
        return false;
      }
      if (offset > scan->cold_block_rows) continue;
      ColdBlocksGetRow(scan->cold_blocks, offset - 1u, slot);
      pgstat_count_heap_getnext(base->rs_rd);
      return true;
    }
  });
}

}  // namespace

void SetSampleCallbacks(TableAmRoutine *routine) {
  routine->scan_sample_next_block = SampleNextBlock;
  routine->scan_sample_next_tuple = SampleNextTuple;
}

}  // namespace tsext::pg
