#pragma once

// A cold row as a tuple in a slot of any kind.

#include "pg/base/postgres.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/transam.h"
#include "executor/tuptable.h"
}

namespace tsext::pg {

/// Forms a tuple of `values` and stores it in `slot`, with a header as old frozen rows have: xmin
/// is FrozenTransactionId, there is no xmax, t_ctid and t_self are the virtual tuple id.
inline void StoreColdTuple(TupleDesc descriptor, const Datum *values, const bool *nulls,
                           const ItemPointerData *tid, Oid relation_id, TupleTableSlot *slot) {
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
  ExecForceStoreHeapTuple(tuple, slot, true);
  slot->tts_tid = *tid;
  slot->tts_tableOid = relation_id;
}

}  // namespace tsext::pg
