#pragma once

// TODO: goes away with the landing of segment readers. Until then nothing can write cold rows, and
// these functions may be missing from the library.

#include "pg/table/cold_scan.hpp"
#include "pg/table/segment_reader.hpp"

namespace tsext::pg {
[[gnu::weak]] ColdScan *ColdScanBegin(Relation, Snapshot, const Bitmapset *, int64_t, int64_t,
                                      pg_atomic_uint32 *, MemoryContext);
[[gnu::weak]] bool ColdScanNext(ColdScan *, ScanDirection, TupleTableSlot *);
[[gnu::weak]] void ColdScanRescan(ColdScan *);
[[gnu::weak]] void ColdScanEnd(ColdScan *);
[[gnu::weak]] bool ColdFetchRow(Relation, ItemPointer, Snapshot, TupleTableSlot *);
[[gnu::weak]] SegmentReader *SegmentReaderCreate(Relation, Snapshot, MemoryContext);
[[gnu::weak]] void SegmentReaderOpen(SegmentReader *, const SegmentRow *);
[[gnu::weak]] const Vector *SegmentReaderVector(SegmentReader *, AttrNumber, uint32_t);
[[gnu::weak]] void SegmentReaderClose(SegmentReader *);
}  // namespace tsext::pg
