#pragma once

// A cold row as a tuple in a slot of any kind.

#include "pg/base/postgres.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/transam.h"
#include "executor/tuptable.h"
}

namespace tsext::pg {

/// Forms a tuple of `values` with a header as old frozen rows have: xmin is FrozenTransactionId,
/// there is no xmax, t_ctid and t_self are the virtual tuple id. In the current memory context.
inline HeapTuple FormColdTuple(TupleDesc descriptor, const Datum *values, const bool *nulls,
                               const ItemPointerData *tid, Oid relation_id) {
  HeapTuple tuple =
      heap_form_tuple(descriptor, const_cast<Datum *>(values), const_cast<bool *>(nulls));
  HeapTupleHeader header = tuple->t_data;
  // heap_form_tuple leaves the header of a composite datum: every field of it must go, or the mark
  // that minor releases since 15.19 put into the xmax bits makes a reader look for a row version.
  header->t_infomask &= static_cast<uint16>(~HEAP_XACT_MASK);
  header->t_infomask |= HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID;
  HeapTupleHeaderSetXmin(header, FrozenTransactionId);
  HeapTupleHeaderSetXmax(header, InvalidTransactionId);
  HeapTupleHeaderSetCmin(header, FirstCommandId);
  header->t_ctid = *tid;
  tuple->t_self = *tid;
  tuple->t_tableOid = relation_id;
  return tuple;
}

/// Stores such a tuple in `slot`, of any kind. `values` and `nulls` may be the slot's own arrays.
inline void StoreColdTuple(TupleDesc descriptor, const Datum *values, const bool *nulls,
                           const ItemPointerData *tid, Oid relation_id, TupleTableSlot *slot) {
  MemoryContext old = MemoryContextSwitchTo(slot->tts_mcxt);
  HeapTuple tuple = FormColdTuple(descriptor, values, nulls, tid, relation_id);
  MemoryContextSwitchTo(old);
  if (TTS_IS_BUFFERTUPLE(slot)) {
    // As ExecForceStoreHeapTuple does, but without its copy.
    ExecClearTuple(slot);
    reinterpret_cast<BufferHeapTupleTableSlot *>(slot)->base.tuple = tuple;
    slot->tts_flags &= static_cast<uint16>(~TTS_FLAG_EMPTY);
    slot->tts_flags |= TTS_FLAG_SHOULDFREE;
  } else {
    ExecForceStoreHeapTuple(tuple, slot, true);
  }
  slot->tts_tid = *tid;
  slot->tts_tableOid = relation_id;
}

}  // namespace tsext::pg
