#pragma once

// TODO: goes away with the landing of the store. Until then nothing can write cold rows, and these
// functions may be missing from the library: HasSegments == nullptr then.

#include "pg/base/datum.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/table/cold_scan.hpp"
#include "pg/table/segment_reader.hpp"

namespace tsext::pg {
[[gnu::weak]] bool HasSegments(Oid, Snapshot);
[[gnu::weak]] SegmentRow *LoadSegments(Oid, int64_t, int64_t, Snapshot, int *);
[[gnu::weak]] StoreTotal GetStoreTotal(Oid, Snapshot);
[[gnu::weak]] void DeleteStore(Oid);
[[gnu::weak]] Oid CatalogRelation(const char *);
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
[[gnu::weak]] DatumClass ClassOf(Form_pg_attribute);
[[gnu::weak]] Datum VectorDatum(const Vector &, uint32_t, const DatumClass &);
}  // namespace tsext::pg
