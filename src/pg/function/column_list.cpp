// What the view tsext.columns is made of: what the heads of a table's segments say of its columns.

#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/function/readable.hpp"
#include "pg/table/segment_reader.hpp"

extern "C" {
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
}

namespace tsext::pg {
namespace {

/// The codec is written in the block, not in the head: of a large table it is read of so many
/// segments, evenly spread.
constexpr int kCodecSample = 64;
constexpr int kMaxCodecs = 32;

struct ColumnSum {
  int64_t rows, nulls, bytes, distinct;
  int codec_count;
  const char *codecs[kMaxCodecs];
};

void AddCodec(ColumnSum *sum, const char *codec) {
  if (codec == nullptr) return;
  for (int i = 0; i < sum->codec_count; ++i)
    if (strcmp(sum->codecs[i], codec) == 0) return;
  if (sum->codec_count < kMaxCodecs) sum->codecs[sum->codec_count++] = pstrdup(codec);
}

void AddSegment(SegmentReader *reader, int natts, bool with_codecs, ColumnSum *sums) {
  const SegmentHead &head = SegmentReaderHead(reader);
  for (const ColumnFooter &footer : head.columns()) {
    if (footer.attribute < 1 || footer.attribute > natts) continue;
    ColumnSum *sum = &sums[footer.attribute - 1];
    sum->rows += head.row_count();
    sum->nulls += footer.null_count;
    sum->bytes += static_cast<int64_t>(footer.length);
    sum->distinct = Max(sum->distinct, static_cast<int64_t>(footer.distinct_estimate));
    if (with_codecs) AddCodec(sum, SegmentReaderEncoding(reader, footer.attribute));
  }
}

ColumnSum *SumColumns(Relation relation, Snapshot snapshot) {
  const int natts = RelationGetNumberOfAttributes(relation);
  auto *sums = static_cast<ColumnSum *>(palloc0(sizeof(ColumnSum) * Max(natts, 1)));
  int count;
  const SegmentRow *rows =
      LoadSegments(relation->rd_rel->reltoastrelid, kTimeMinimum, kTimeMaximum, snapshot, &count);
  if (count == 0) return sums;
  SegmentReader *reader = SegmentReaderCreate(relation, snapshot, CurrentMemoryContext);
  const int step = (count + kCodecSample - 1) / kCodecSample;
  for (int i = 0; i < count; ++i) {
    CHECK_FOR_INTERRUPTS();
    SegmentReaderOpen(reader, &rows[i]);
    AddSegment(reader, natts, i % step == 0, sums);
  }
  SegmentReaderClose(reader);
  return sums;
}

Datum CodecsOf(const ColumnSum &sum) {
  Datum codecs[kMaxCodecs];
  for (int i = 0; i < sum.codec_count; ++i) codecs[i] = CStringGetTextDatum(sum.codecs[i]);
  return PointerGetDatum(
      construct_array(codecs, sum.codec_count, TEXTOID, -1, false, TYPALIGN_INT));
}

}  // namespace
}  // namespace tsext::pg

using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the C function below

TSEXT_FUNCTION(tsext_column_list) {
  Relation relation = OpenReadable(PG_GETARG_OID(0));
  InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  const ColumnSum *sums = SumColumns(relation, GetActiveSnapshot());
  TupleDesc columns = RelationGetDescr(relation);
  for (int i = 0; i < columns->natts; ++i) {
    Form_pg_attribute attribute = TupleDescAttr(columns, i);
    if (attribute->attisdropped) continue;
    const ColumnSum &sum = sums[i];
    Datum values[] = {
        Int16GetDatum(attribute->attnum),
        NameGetDatum(&attribute->attname),
        CStringGetTextDatum(format_type_with_typemod(attribute->atttypid, attribute->atttypmod)),
        CodecsOf(sum),
        Int64GetDatum(sum.rows),
        Int64GetDatum(sum.nulls),
        Int64GetDatum(sum.distinct),
        Int64GetDatum(sum.bytes),
        sum.rows > 0
            ? Float8GetDatum(static_cast<double>(sum.bytes) * 8 / static_cast<double>(sum.rows))
            : 0,
    };
    bool nulls[lengthof(values)] = {};
    nulls[6] = sum.distinct == 0;
    nulls[8] = sum.rows == 0;
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
  }
  table_close(relation, AccessShareLock);
  return static_cast<Datum>(0);
}
